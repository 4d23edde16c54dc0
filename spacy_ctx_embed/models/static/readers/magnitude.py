"""Magnitude's ``.magnitude`` files: an SQLite database with a row per word, in whole numbers of a decimal place.

Enters: a file. Leaves: a :class:`VectorTable` with rows of unit length, as pymagnitude gives them unless it is told
otherwise. Its tables for unknown words and for approximate search are not used.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import ModelFormatError, unreadable
from spacy_ctx_embed.models.static.readers.word_bytes import WordDecoder
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_ACCEPTED = "a .magnitude file: the table magnitude with key and dim_0 to the last, and the table magnitude_format"
_FIX = "fetch or convert it again"
_BLOCK = 4096  # words read at a time
_MOST_PLACES, _MOST_COLUMNS = 30, 1 << 15
_ODD = (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, OverflowError, MemoryError, OSError)


def read_magnitude(path: Path, plain: Path, *, limit: Optional[int]) -> VectorTable:
    """Read a table.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if it is another database, or a damaged one.
    """
    decoder = WordDecoder(path)
    try:
        with _opened(plain) as database:
            width, factor = _format(path, database)
            blocks = [_block(path, decoder, rows, factor) for rows in _rows(database, width, limit)]
    except ModelFormatError:
        raise
    except _ODD as error:
        raise unreadable(path, error, accepted=_ACCEPTED, fix=_FIX) from error
    decoder.warn()
    matrix = np.concatenate(blocks) if blocks else np.empty((0, width), np.float32)
    return make_table(path, decoder.words, matrix)


@contextlib.contextmanager
def _opened(plain: Path) -> Iterator[sqlite3.Connection]:
    # As a file that does not change: without a lock, and without files beside it.
    database = sqlite3.connect(f"{plain.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    database.text_factory = bytes
    try:
        yield database
    finally:
        database.close()


def _format(path: Path, database: sqlite3.Connection) -> Tuple[int, float]:
    # Numbers per row, and what each is multiplied with.
    found: Dict[Any, Any] = {}
    for key, value in database.execute("SELECT key, value FROM magnitude_format"):
        found.setdefault(key, value)
    if found.get(b"elmo"):
        reason = "it is an ELMo model, whose vectors depend on the text"
        raise unreadable(
            path, reason, accepted=_ACCEPTED, fix="take the model that it was made from, for elmo_embeddings"
        )
    width, places = found.get(b"dim"), found.get(b"precision", 0)
    for key, value, most in (("dim", width, _MOST_COLUMNS), ("precision", places, _MOST_PLACES)):
        if not isinstance(value, int) or not (key == "dim") <= value <= most:
            raise unreadable(path, f"in magnitude_format {key} is {value!r}", accepted=_ACCEPTED, fix=_FIX)
    return int(width or 0), 10.0 ** -int(places)


def _rows(database: sqlite3.Connection, width: int, limit: Optional[int]) -> Iterator[List[Tuple[Any, ...]]]:
    columns = ", ".join(f"dim_{place}" for place in range(width))
    found = database.execute(
        f"SELECT key, {columns} FROM magnitude ORDER BY rowid LIMIT ?", [-1 if limit is None else limit]
    )
    while rows := found.fetchmany(_BLOCK):
        yield rows


def _block(path: Path, decoder: WordDecoder, rows: List[Tuple[Any, ...]], factor: float) -> Floats2d:
    start = len(decoder.words)
    keys = [row[0] for row in rows]
    if not all(isinstance(key, bytes) for key in keys):
        row = next(place for place, key in enumerate(keys) if not isinstance(key, bytes))
        raise unreadable(path, f"the key of row {start + row + 1} is {keys[row]!r}", accepted=_ACCEPTED, fix=_FIX)
    decoder.add(keys)
    return (np.array([row[1:] for row in rows], np.float64) * factor).astype(np.float32)
