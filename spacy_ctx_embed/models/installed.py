"""What installed packages bring: their entry points, read once in a process, as spaCy's registry reads its own."""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from importlib.metadata import EntryPoint
from typing import Tuple


@lru_cache(maxsize=None)
def entry_points(*, group: str) -> Tuple[EntryPoint, ...]:
    """Find the entry points of a group. Python reads a file of each installed package for it.

    :param group: as in a package's metadata.
    :return: in the order in which Python gives them.
    """
    return tuple(importlib.metadata.entry_points(group=group))
