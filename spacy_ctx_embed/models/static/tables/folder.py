"""The folder of a table that opens at once: its arrays are mapped into memory, and read where a word is looked up.

Enters: a table, or such a folder. Leaves: the folder, or the table. Data only, no pickle:

- ``table.json``: format, version, sizes, types, and the SHA-256 of the content; written last, so that a folder has it
  when it is whole;
- ``vectors.npy`` ``(n_words, width)`` float32, float16 or int8, and for int8 ``scales.npy``, a factor per row;
- ``shared.npy``: the row of each word, where words share rows;
- ``ids.npy`` and ``rows.npy``: spaCy's 64-bit word ids in order, and the row of each, for binary search;
- ``words.npy`` and ``ends.npy``: the words' UTF-8 bytes, and where each ends;
- for fastText ``ngrams.npy``, ``ngram_scales.npy`` and, where pruning left some, ``ngram_buckets.npy``; for floret the
  former two, and no words; for pieces also ``tokenizer.json``, and ``piece_rows.npy`` and ``piece_weights.npy`` where
  there are such.

Pages of the files are read when they are first touched, and all processes of a machine share them. Folders of version 1
(``words.msgpack``, no index), as pipelines had them, are read into memory.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, cast

import numpy as np
import srsly
from numpy.typing import NDArray

from spacy_ctx_embed.errors import unreadable
from spacy_ctx_embed.models.static.tables.floret import HOW as FLORET_HOW
from spacy_ctx_embed.models.static.tables.floret import Floret
from spacy_ctx_embed.models.static.tables.index import WordIndex
from spacy_ctx_embed.models.static.tables.numbers import DTYPES
from spacy_ctx_embed.models.static.tables.pieces import HOW, Pieces
from spacy_ctx_embed.models.static.tables.subwords import SubWords, WordParts
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table, open_matrix, to_float32
from spacy_ctx_embed.models.static.tables.words import StoredWords, join_words

META, VECTORS, SCALES, IDS, ROWS = "table.json", "vectors.npy", "scales.npy", "ids.npy", "rows.npy"
SHARED = "shared.npy"
WORDS, ENDS, NGRAMS = "words.npy", "ends.npy", "ngrams.npy"
NGRAM_SCALES, NGRAM_BUCKETS, OLD_WORDS = "ngram_scales.npy", "ngram_buckets.npy", "words.msgpack"
PIECE_ROWS, PIECE_WEIGHTS, TOKENIZER = "piece_rows.npy", "piece_weights.npy", "tokenizer.json"
_ARRAYS = (
    VECTORS,
    SCALES,
    SHARED,
    IDS,
    ROWS,
    WORDS,
    ENDS,
    NGRAMS,
    NGRAM_SCALES,
    NGRAM_BUCKETS,
    PIECE_ROWS,
    PIECE_WEIGHTS,
)
FILES = (META, *_ARRAYS, TOKENIZER, OLD_WORDS)
_FORMAT, _VERSION, _OLD_VERSION = "spacy_ctx_embed.VectorTable", 2, 1
_ACCEPTED, _FIX = "a complete folder, as it was written", "convert or save the table again"


def write_table(directory: Path, table: VectorTable) -> None:
    """Write a table into a folder. A table that is mapped from that folder is as it was meanwhile, and afterwards.

    :param directory: an existing folder; files of a table that is in it are replaced.
    :param table: the table.
    :raises OSError: if it can't be written: as on a full disk, or on Windows, where a table in the folder can't be
        replaced while it is open. That one is then as it was.
    """
    parts = table.subwords
    meta: Dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "n_words": len(table.words),
        "n_rows": len(table.vectors),
        "width": table.width,
        "dtype": str(table.vectors.dtype),
        "digest": table.digest(),
        "ngrams": None if parts is None else parts.settings,
    }
    arrays = table_arrays(table)
    # Beside their places first: whoever has the old files mapped keeps them, and a full disk leaves the old table.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as folder:
        new = Path(folder)
        for name, array in arrays.items():
            _write_array(new / name, array)
        srsly.write_json(new / META, meta)
        _put(new, directory, list(arrays))


def table_arrays(table: VectorTable) -> Dict[str, NDArray[Any]]:
    """Give what :func:`write_table` writes beside ``table.json``.

    :param table: the table.
    :return: the arrays by file name, the vectors first.
    """
    content, ends = join_words(table.words)
    index, parts = table.word_index, table.subwords
    arrays: Dict[str, Optional[NDArray[Any]]] = {
        VECTORS: table.vectors,
        SCALES: table.scales,
        SHARED: table.shared,
        IDS: index.ids,
        ROWS: index.rows.astype(np.int32, copy=False),
        WORDS: content,
        ENDS: ends,
        NGRAMS: None if parts is None else parts.ngrams,
        NGRAM_SCALES: None if parts is None else parts.scales,
        NGRAM_BUCKETS: getattr(parts, "buckets", None),
        PIECE_ROWS: getattr(parts, "places", None),
        PIECE_WEIGHTS: getattr(parts, "weights", None),
        TOKENIZER: getattr(parts, "tokenizer", None),
    }
    return {name: array for name, array in arrays.items() if array is not None}


def read_table(directory: Path, limit: Optional[int] = None) -> VectorTable:
    """Open what :func:`write_table` wrote.

    :param directory: the folder.
    :param limit: how many words to keep, from the first on; null for all.
    :return: the table, mapped from the files.
    :raises ModelFormatError: if a file is missing, damaged or does not fit the others.
    """
    try:
        meta = srsly.read_json(directory / META)
    except (OSError, ValueError) as error:
        raise unreadable(directory, error, accepted=_ACCEPTED, fix=_FIX) from error
    if not is_saved_meta(meta):
        raise unreadable(directory, "not a folder of this package's table format", accepted=_ACCEPTED, fix=_FIX)
    if meta["version"] == _OLD_VERSION:
        return _read_old(directory, meta, limit)
    try:
        table = _map_table(directory, meta)
    except (KeyError, TypeError) as error:  # of a table.json that lacks something
        raise unreadable(directory / META, error, accepted=_ACCEPTED, fix=_FIX) from error
    if limit is None or limit >= len(table.words):
        return table
    words = cast(StoredWords, table.words).head(limit)
    index = table.word_index.head(limit)
    if table.shared is not None:
        return VectorTable(words, table.vectors, table.subwords, table.scales, index, shared=table.shared[:limit])
    scales = None if table.scales is None else table.scales[:limit]
    return VectorTable(words, table.vectors[:limit], table.subwords, scales, index)


def is_saved_meta(meta: object) -> bool:
    """Tell whether the content of a ``table.json`` is ours and of a version that we read.

    :param meta: what the file holds.
    :return: whether it is.
    """
    return isinstance(meta, dict) and meta.get("format") == _FORMAT and meta.get("version") in (_OLD_VERSION, _VERSION)


def _write_array(file: Path, array: NDArray[Any]) -> None:
    with file.open("wb") as stream:
        if file.suffix == ".npy":
            np.save(stream, array, allow_pickle=False)
        else:
            stream.write(array.data)
        stream.flush()
        os.fsync(stream.fileno())


def _put(new: Path, directory: Path, names: Sequence[str]) -> None:
    # Moves files to their places. The old table.json goes first and the new one comes last: a folder with one is whole.
    old_meta = new / "old"
    if (directory / META).is_file():
        (directory / META).replace(old_meta)
    for nth, name in enumerate(names):
        try:
            (new / name).replace(directory / name)
        except OSError:
            if not nth and old_meta.is_file():  # nothing is replaced yet
                old_meta.replace(directory / META)
            raise
    for name in {*_ARRAYS, TOKENIZER, OLD_WORDS} - set(names):
        (directory / name).unlink(missing_ok=True)
    (new / META).replace(directory / META)


def _map_table(directory: Path, meta: Dict[str, Any]) -> VectorTable:
    n_words, width = meta["n_words"], meta["width"]
    n_rows = meta.get("n_rows", n_words)
    vectors = _map_array(directory / VECTORS, (n_rows, width), DTYPES)
    scales = _map_array(directory / SCALES, (n_rows,), ["float32"]) if vectors.dtype == np.int8 else None
    has_shared = n_rows != n_words or (directory / SHARED).is_file()
    shared = _map_array(directory / SHARED, (n_words,), ["int32"]) if has_shared else None
    ids = _map_array(directory / IDS, (None,), ["uint64"])
    rows = _map_array(directory / ROWS, ids.shape, ["int32"])
    content = _map_array(directory / WORDS, (None,), ["uint8"])
    ends = _map_array(directory / ENDS, (n_words + 1,), ["int64"])
    if ends[-1] != len(content) or not len(ids) or ids[-1] != 0:
        raise unreadable(directory, "its files do not belong together", accepted=_ACCEPTED, fix=_FIX)
    parts = None
    if meta["ngrams"] is not None:
        parts = _map_parts(directory, meta["ngrams"], width)
    index = WordIndex(ids, rows, n_words)  # earlier versions wrote the words beyond a limit too
    index = index if len(ids) <= n_words + 1 else index.head(n_words)
    return VectorTable(StoredWords(content, ends), vectors, parts, scales, index, meta["digest"], shared)


def _map_parts(directory: Path, meta: Dict[str, Any], width: int) -> WordParts:
    ngrams = _map_array(directory / NGRAMS, (None, width), DTYPES)
    n_rows, scales, buckets = ngrams.shape[:1], None, None
    if ngrams.dtype == np.int8:
        scales = _map_array(directory / NGRAM_SCALES, n_rows, ["float32"])
    if meta.get("kind") == "pieces":
        return _map_pieces(directory, meta, ngrams, scales)
    if meta.get("kind") == "floret":
        return Floret(ngrams, scales, lower=meta["lower"], how={key: meta[key] for key in FLORET_HOW})
    if n_rows[0] != meta["n_buckets"]:
        buckets = _map_array(directory / NGRAM_BUCKETS, n_rows, ["int64"])
    return SubWords(ngrams, meta["min_n"], meta["max_n"], scales=scales, buckets=buckets, n_buckets=meta["n_buckets"])


def _map_pieces(
    directory: Path, meta: Dict[str, Any], ngrams: NDArray[Any], scales: Optional[NDArray[np.float32]]
) -> Pieces:
    places = _map_array(directory / PIECE_ROWS, (None,), ["int64"]) if meta["mapped"] else None
    weights = _map_array(directory / PIECE_WEIGHTS, (None,), ["float32"]) if meta["weighted"] else None
    try:
        tokenizer = np.fromfile(directory / TOKENIZER, np.uint8)
    except OSError as error:
        raise unreadable(directory, error, accepted=_ACCEPTED, fix=_FIX) from error
    if len(tokenizer) != meta["n_bytes"]:
        reason = f"it has {len(tokenizer)} bytes, where {META} has {meta['n_bytes']}"
        raise unreadable(directory / TOKENIZER, reason, accepted=_ACCEPTED, fix=_FIX)
    how = {key: meta[key] for key in HOW}
    return Pieces(ngrams, tokenizer, scales=scales, places=places, weights=weights, **how)


def _map_array(file: Path, shape: Sequence[Optional[int]], dtypes: Sequence[str]) -> NDArray[Any]:
    array = open_matrix(file).view(np.ndarray)  # the map stays open as long as the array
    fits = array.ndim == len(shape) and all(n in (None, found) for n, found in zip(shape, array.shape))
    if fits and str(array.dtype) in dtypes and array.flags.c_contiguous:
        return array
    found = f"it has numbers of type {array.dtype} and shape {array.shape}, where {META} has {tuple(shape)}"
    raise unreadable(file, found, accepted=_ACCEPTED, fix=_FIX)


def _read_old(directory: Path, meta: Dict[str, Any], limit: Optional[int]) -> VectorTable:
    try:
        words = srsly.read_msgpack(directory / OLD_WORDS)
    except Exception as error:  # srsly passes on what its parsers raise, of many types
        raise unreadable(directory, error, accepted=_ACCEPTED, fix=_FIX) from error
    if not isinstance(words, list):
        raise unreadable(directory, "not a folder of this package's table format", accepted=_ACCEPTED, fix=_FIX)
    parts = None
    if meta["ngrams"] is not None:
        ngrams = to_float32(directory / NGRAMS, open_matrix(directory / NGRAMS))
        parts = SubWords(ngrams, meta["ngrams"]["min_n"], meta["ngrams"]["max_n"])
    return make_table(directory / VECTORS, words, open_matrix(directory / VECTORS), parts, limit)
