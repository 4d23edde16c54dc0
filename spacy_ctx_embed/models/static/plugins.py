"""Formats of word vectors that other packages bring, by entry points in the group ``spacy_ctx_embed_static_formats``.

Enters: a file. Leaves: the format that knows it, if one does. An entry point names a :class:`StaticFormat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from spacy_ctx_embed.models.installed import entry_points
from spacy_ctx_embed.models.static.tables.table import VectorTable

ENTRY_POINT_GROUP = "spacy_ctx_embed_static_formats"
_HEAD = 4096  # bytes that a format is told by


@dataclass(frozen=True)
class TableFile:
    """A file of word vectors, and how it is to be read.

    :param named: the file that the config names.
    :param plain: the same, or an unpacked copy of it.
    :param limit: how many words to read, from the first on; ``None`` for all.
    :param allow_pickle: whether a format that is a pickle may be loaded.
    :param subwords: whether to keep what gives rows to unknown words.
    """

    named: Path
    plain: Path
    limit: Optional[int]
    allow_pickle: bool
    subwords: bool


@dataclass(frozen=True)
class StaticFormat:
    """A format: how it is recognised, and how it is read.

    :param matches: takes the first 4,096 bytes of a file, and tells whether it is of this format.
    :param read: reads it; raises :class:`~spacy_ctx_embed.errors.ModelFormatError` for a damaged one.
    """

    matches: Callable[[bytes], bool]
    read: Callable[[TableFile], VectorTable]


def plugin_format(path: Path) -> Optional[StaticFormat]:
    """Find the format of another package that a file is in.

    :param path: the file.
    :return: the format; ``None`` where no package brings one, or none that knows the file.
    """
    brought = entry_points(group=ENTRY_POINT_GROUP)
    if not brought:
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    formats = (entry.load() for entry in brought)
    return next((format for format in formats if format.matches(head)), None)
