"""How a fastText ``.bin`` is laid out: its settings, its words, and where its matrix is.

Enters: a file. Leaves: a :class:`FastTextLayout`, or the reason why it can't be one. Layout after fastText's
``FastText::saveModel``, ``Args::save`` and ``Dictionary::save``, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.errors import Errors, ModelFormatError

_MAGIC = struct.pack("<i", 793712314)
_SETTINGS = struct.Struct("<12id")  # dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, …
_COUNTS = struct.Struct("<3iq")  # entries, words, labels, tokens
_AFTER_WORD = 9  # bytes: an int64 count and an int8 kind
_SUPERVISED = 3
_FIRST_WITH_NGRAMS = 12  # version of the format from which on classifiers may have n-grams
_QUANTISED_HEAD = struct.Struct("<?qq")  # whether norms are apart, rows, columns


@dataclass(frozen=True)
class FastTextLayout:
    """What stands before the numbers of a fastText model.

    :param words: the words, as bytes.
    :param rows: the row of each in the matrix.
    :param min_n: shortest n-gram in characters.
    :param max_n: longest n-gram in characters; 0 for a model without.
    :param n_buckets: rows for n-grams, the last ones of the matrix.
    :param n_rows: rows of the matrix.
    :param width: numbers per row.
    :param offset: where the matrix begins, in bytes: its numbers, or of a quantised one what stands before them.
    :param quantised: whether it is quantised (``.ftz``).
    :param pruned: ``(n, 2)`` int32 numbers of the buckets that have a row, and which of the last rows that is; ``None``
        where every bucket has one.
    """

    words: List[bytes]
    rows: List[int]
    min_n: int
    max_n: int
    n_buckets: int
    n_rows: int
    width: int
    offset: int
    quantised: bool = False
    pruned: Optional[NDArray[np.int32]] = None


def is_fasttext(head: bytes) -> bool:
    """Recognise a fastText model, also of the first format, which had no magic number.

    :param head: the first bytes of a file.
    :return: whether it looks like one.
    """
    if head.startswith(_MAGIC):
        return True
    if len(head) < _SETTINGS.size + _COUNTS.size:
        return False
    dim, ws, _, _, _, _, loss, model, bucket, min_n, max_n, _, _ = _SETTINGS.unpack_from(head)
    plausible = 0 < dim < 1 << 16 and 0 < ws < 1 << 16 and bucket >= 0 and 0 <= min_n <= max_n
    return plausible and loss in (1, 2, 3) and model in (1, 2, _SUPERVISED)


def read_layout(path: Path, plain: Path) -> FastTextLayout:
    """Read a model up to its matrix, and see that this is complete, where it is not quantised.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :return: the layout.
    :raises ModelFormatError: if the file ends before the matrix does, or its parts do not fit together.
    """
    with plain.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        n_bytes = len(data)
        try:
            layout = _read(path, data)
        except struct.error as error:
            raise _damaged(path, f"truncated: {n_bytes} bytes", "a complete file") from error
    if layout.quantised:
        return layout
    n_least = layout.offset + 4 * layout.n_rows * layout.width
    if n_bytes < n_least:
        raise _damaged(path, f"truncated: {n_bytes} bytes", f"at least {n_least} bytes")
    return layout


def _read(path: Path, data: mmap.mmap) -> FastTextLayout:
    # Raises struct.error where the file ends within what has to be read.
    is_new = data[:4] == _MAGIC
    version = struct.unpack_from("<i", data, 4)[0] if is_new else 0
    offset = 8 if is_new else 0
    dim, _, _, _, _, _, _, model, n_buckets, min_n, max_n, _, _ = _SETTINGS.unpack_from(data, offset)
    if model == _SUPERVISED and version < _FIRST_WITH_NGRAMS:
        max_n = 0
    offset += _SETTINGS.size
    n_entries = _COUNTS.unpack_from(data, offset)[0]
    offset += _COUNTS.size
    n_pruned = -1
    if is_new:
        n_pruned = struct.unpack_from("<q", data, offset)[0]
        offset += 8
    words, places, offset = _read_words(data, offset, n_entries)
    pruned, offset = _read_pruned(data, offset, n_pruned)
    quantised = is_new and struct.unpack_from("<?", data, offset)[0]
    offset += is_new
    if quantised:
        _, n_rows, width = _QUANTISED_HEAD.unpack_from(data, offset)
    else:
        n_rows, width = struct.unpack_from("<2q", data, offset)
    # Labels come last and have no row; a matrix that has one for each entry is taken at its word.
    n_ngrams = n_buckets if pruned is None else len(pruned)
    n_first = n_rows - n_ngrams
    if width != dim or width < 1 or not words or n_buckets < 0 or n_first not in (len(words), n_entries):
        found = f"damaged: a matrix of {n_rows} rows and {width} columns"
        raise _damaged(path, found, f"{len(words) + n_ngrams} rows and {dim} columns, by what stands before it")
    if pruned is not None and not _is_index(pruned, n_buckets):
        raise _damaged(path, "damaged: its index of n-grams names others than it has", f"{n_ngrams} of {n_buckets}")
    rows = list(range(len(words))) if n_first == len(words) else places
    offset += 0 if quantised else 16
    return FastTextLayout(words, rows, min_n, max_n, n_buckets, n_rows, width, offset, quantised, pruned)


def _read_pruned(data: mmap.mmap, offset: int, n: int) -> Tuple[Optional[NDArray[np.int32]], int]:
    # Pairs of bucket and row, and the offset after them; none where all buckets are there.
    if n < 0:
        return None, offset
    end = offset + 8 * n
    if end > len(data):
        raise struct.error("an index without an end")
    return np.frombuffer(data[offset:end], np.dtype("<i4")).astype(np.int32).reshape(n, 2), end


def _is_index(pruned: NDArray[np.int32], n_buckets: int) -> bool:
    buckets, rows = pruned[:, 0], pruned[:, 1]
    each = np.array_equal(np.sort(rows), np.arange(len(rows)))
    return each and bool(((buckets >= 0) & (buckets < n_buckets)).all()) and len(set(buckets.tolist())) == len(buckets)


def _read_words(data: mmap.mmap, offset: int, n_entries: int) -> Tuple[List[bytes], List[int], int]:
    # The words, their places among the entries, and the offset after them. Entries of kind 1 are labels: also found
    # in models of plain text that had words such as __label__x in it.
    words, places = [], []
    for place in range(n_entries):
        end = data.find(b"\0", offset)
        if end < 0 or end + _AFTER_WORD >= len(data):
            raise struct.error("a word without an end")
        if not data[end + _AFTER_WORD]:
            words.append(data[offset:end])
            places.append(place)
        offset = end + 1 + _AFTER_WORD
    return words, places, offset


def _damaged(path: Path, found: str, expected: str) -> ModelFormatError:
    return ModelFormatError(
        Errors.E013.format(
            file=path, item="the fastText model", found=found, expected=expected, fix="fetch or save it again"
        )
    )
