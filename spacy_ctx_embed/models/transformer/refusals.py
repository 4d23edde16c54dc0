"""Turns what transformers, tokenizers, safetensors and torch raise while a model is read into errors of our own."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator

from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError, unreadable
from spacy_ctx_embed.models.hub.client import in_hub_cache, offline
from spacy_ctx_embed.models.transformer.code import KEY

ACCEPTED = "a folder with config.json, weights (model.safetensors) and a fast tokenizer (tokenizer.json)"
_SECRET = ("token", "use_auth_token")
_LONGEST = 400  # characters of another library's message


def refusal(folder: Path, reason: str, fix: str) -> ModelFormatError:
    """Make the error for a folder that can't be read.

    :param folder: the folder of a transformer.
    :param reason: what is wrong with it.
    :param fix: what to do.
    :return: the error.
    """
    return unreadable(folder, reason, accepted=ACCEPTED, fix=fix)


def lacking(folder: Path, what: str, fix: str) -> ModelFormatError:
    """Make the error for a file that is not there, or not there yet.

    :param folder: the folder of a transformer.
    :param what: the file that it lacks.
    :param fix: what to do, where it is no folder of the hub cache.
    :return: the error.
    """
    reason = f"it has no {what}"
    if in_hub_cache(folder) and offline():
        reason += "; HF_HUB_OFFLINE is set, so it is not fetched"
        fix = "unset HF_HUB_OFFLINE, so that the rest of the repository is fetched"
    elif in_hub_cache(folder):
        fix = "download the repository again where there is a network, if the file is in it at all"
    return refusal(folder, reason, fix)


@contextlib.contextmanager
def explained(folder: Path, part: str, key: str, settings: Dict[str, Any], hint: str = "") -> Iterator[None]:
    """Turn whatever is raised into an error that names the folder, the part and the setting.

    :param folder: the folder of a transformer.
    :param part: what is read, "the model" or "the tokenizer".
    :param key: the config key that has a say in it.
    :param settings: its value.
    :param hint: another fix, may be empty.
    :yields: nothing.
    :raises ModelFormatError: in place of what was raised.
    """
    try:
        yield
    except (ModelFormatError, ModelNotFoundError):
        raise
    except BaseException as error:
        # A panic of the tokenizers library is no Exception; an interrupt by the user is none of ours.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        fix = f"download or save {part} again"
        shown = {name: "…" if name in _SECRET else value for name, value in settings.items() if name != KEY}
        if shown:
            fix = f"change {key} = {shown!r} in the config, if that is the cause; or {fix}"
        raise refusal(folder, f"of {part}, {message_of(error)}", fix + hint) from error


def message_of(error: BaseException) -> str:
    """Tell what a library said, in one line.

    :param error: what it raised.
    :return: its type and the beginning of its text.
    """
    text = " ".join(str(error).split())
    short = text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " …"
    return f"transformers says {type(error).__name__}: {short}".rstrip(" .:")
