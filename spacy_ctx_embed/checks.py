"""Checks of config values, made when an encoder or component is built, before any file is opened; and of paths that
files and archives give, before they are followed.
"""

from __future__ import annotations

import math
import re
from pathlib import PureWindowsPath
from typing import Any, List, Optional, Sequence

from spacy_ctx_embed.errors import Errors


def check_one_of(owner: str, key: str, value: Any, accepted: Sequence[Any]) -> None:
    """Refuse a value that is not in a list.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :param accepted: the values allowed.
    :raises ValueError: if it is none of them.
    """
    if value not in accepted:
        raise ValueError(
            Errors.E001.format(owner=owner, key=key, value=value, accepted=", ".join(repr(a) for a in accepted))
        )


def check_some_of(owner: str, key: str, value: Any, accepted: Sequence[Any]) -> None:
    """Refuse what is not a list of values allowed, each at most once.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :param accepted: the values allowed.
    :raises ValueError: if it is something else.
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or any(item not in accepted for item in value) or len(set(value)) < len(value):
        listed = f"a list of some of {', '.join(repr(a) for a in accepted)}, each at most once"
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted=listed))


def check_positive(owner: str, key: str, value: Any, *, minimum: int = 1, optional: bool = False) -> None:
    """Refuse what is not a whole number of at least ``minimum``.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :param minimum: the smallest number allowed.
    :param optional: whether null is allowed too.
    :raises ValueError: if it is something else.
    """
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        accepted = f"a whole number of at least {minimum}" + (", or null" if optional else "")
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted=accepted))


def check_share(owner: str, key: str, value: Any) -> None:
    """Refuse what is not a number from 0 up to, but not including, 1.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :raises ValueError: if it is something else.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        accepted = "a number of at least 0 and below 1"
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted=accepted))


def check_layers(owner: str, value: Any) -> None:
    """Refuse what is not ``"all"`` or a list of layer numbers.

    :param owner: registered name, for the message.
    :param value: what the config says.
    :raises ValueError: if it is something else.
    """
    numbers = isinstance(value, (list, tuple)) and len(value) > 0 and all(type(v) is int for v in value)
    if value != "all" and not numbers:
        raise ValueError(
            Errors.E001.format(
                owner=owner, key="layers", value=value, accepted="'all', or a list of layer numbers such as [-2, -1]"
            )
        )


def check_number(owner: str, key: str, value: Any, *, most: float) -> None:
    """Refuse what is not a number above 0 and up to ``most``.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :param most: the largest number allowed.
    :raises ValueError: if it is something else.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= most:
        accepted = f"a number above 0 and up to {most:g}"
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted=accepted))


def check_not_negative(owner: str, key: str, value: Any) -> None:
    """Refuse what is not a number of at least 0.

    :param owner: component or registered name, for the message.
    :param key: the config key.
    :param value: what the config says.
    :raises ValueError: if it is something else.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted="a number of at least 0"))


def parts_inside(path: str) -> Optional[List[str]]:
    """Take a path apart that may name what is below a folder, and nothing else.

    :param path: names of folders and, last, of a file, with "/" or, as Windows has it, with a backslash between them.
    :return: the names, none for the folder itself; ``None`` where the path leads elsewhere on any system, by a root, a
        drive of Windows or "..".
    """
    parts = [part for part in re.split(r"[/\\]", path) if part not in ("", ".")]
    # Windows takes ".. " for "..".
    leads_out = any(not part.strip(". ") or PureWindowsPath(part).drive for part in parts)
    return None if leads_out or path.startswith(("/", "\\")) else parts
