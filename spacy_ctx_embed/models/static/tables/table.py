"""A table of word vectors: what every reader gives, and what lookups read.

Enters: words and a matrix from any reader. Leaves: a :class:`VectorTable`, checked once, each word once; in memory as
float32, or mapped from a folder of our own (:mod:`spacy_ctx_embed.models.static.tables.folder`).
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import srsly
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError, Warnings, unreadable
from spacy_ctx_embed.models.static.tables.index import Rows1d, WordIndex, first_of_each, index_words, word_ids
from spacy_ctx_embed.models.static.tables.numbers import Factors1d, blocks, take_rows
from spacy_ctx_embed.models.static.tables.subwords import WordParts

_ACCEPTED, _FIX = "a complete file, as it was written", "fetch or save it again"

_BLOCK = 4096  # rows converted at a time


@dataclass(frozen=True)
class VectorTable:
    """Word vectors. Make one with :func:`make_table`, which checks what it is given, or open a folder of them.

    :param words: ``n_words`` words, each once; word i has row i, where ``shared`` does not say otherwise.
    :param vectors: ``(n_rows, width)`` numbers, C order, all finite: float32 in memory; of a folder also float16 or
        int8, mapped from its files.
    :param subwords: fastText's n-grams, where the table has them and they were asked for; or, of a table without
        words, what every word's row is made of.
    :param scales: ``(n_rows,)`` float32 factors of int8 rows.
    :param index: where each word is, if that is known; made when it is first asked for otherwise.
    :param known_digest: what :meth:`digest` gives, if that is known.
    :param shared: ``(n_words,)`` int32 row of each word, where words share rows, as in spaCy's pruned tables. What
        :attr:`word_index` and the methods call a row is the number of a word then too.
    """

    words: Sequence[str]
    vectors: NDArray[Any]
    subwords: Optional[WordParts] = None
    scales: Optional[Factors1d] = None
    index: Optional[WordIndex] = None
    known_digest: Optional[str] = None
    shared: Optional[NDArray[np.int32]] = None

    @property
    def width(self) -> int:
        """Size of a row."""
        return int(self.vectors.shape[1])

    @cached_property
    def word_index(self) -> WordIndex:
        """The map from spaCy's word ids to rows."""
        return index_words(self.words) if self.index is None else self.index

    @property
    def word_parts(self) -> Optional[WordParts]:
        """What every word's row is made of, where the table has no words of its own."""
        return self.subwords if self.subwords is not None and self.subwords.for_all else None

    @property
    def n_rows(self) -> int:
        """How many rows there are: of words, or of their parts."""
        return len(self.words) if self.word_parts is None else len(self.word_parts.ngrams)

    def take(self, places: Rows1d) -> Floats2d:
        """Copy rows.

        :param places: ``(n,)`` row numbers; a negative one gives any row.
        :return: ``(n, width)`` float32; zeros of a table without words.
        """
        if self.word_parts is not None:
            return np.zeros((len(places), self.width), np.float32)
        rows: NDArray[Any] = places if self.shared is None else self.shared.take(places, mode="clip")
        return take_rows(self.vectors, self.scales, rows)

    def blocks(self) -> Iterator[Tuple[int, Floats2d]]:
        """Go through all rows, so many at a time that memory stays small.

        :return: the number of the first row, and ``(n, width)`` float32, block by block.
        """
        if self.word_parts is not None:
            return blocks(self.word_parts.ngrams, self.word_parts.scales)
        if self.shared is not None:
            starts = range(0, len(self.words), _BLOCK)
            return ((at, self.take(np.arange(at, min(at + _BLOCK, len(self.words))))) for at in starts)
        return blocks(self.vectors, self.scales)

    def mean(self) -> NDArray[np.float32]:
        """Compute the mean of all rows: of words, or of their parts.

        :return: ``(width,)`` float32.
        """
        total = np.zeros(self.width, np.float64)
        for _, block in self.blocks():
            total += block.sum(axis=0, dtype=np.float64)
        return (total / max(self.n_rows, 1)).astype(np.float32)

    def digest(self) -> str:
        """Hash the content: the same for a table and its saved copy, and with the word list beside a matrix in it.

        :return: SHA-256 (hex) of words, vectors and n-grams.
        """
        if self.known_digest is not None:
            return self.known_digest
        found = hashlib.sha256(srsly.msgpack_dumps([list(self.words), list(self.vectors.shape)]))
        parts = [self.vectors, self.scales, self.shared]
        if self.subwords is not None:
            parts += self.subwords.content
        for part in parts:
            if part is not None:
                found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


def make_table(
    file: Path,
    words: List[str],
    vectors: NDArray[Any],
    subwords: Optional[WordParts] = None,
    limit: Optional[int] = None,
) -> VectorTable:
    """Check words and matrix, and make them a table. Of a repeated word the first row counts, as in gensim.

    :param file: where they come from, for messages.
    :param words: ``n_words`` words.
    :param vectors: ``(n_words, width)`` numbers of any type.
    :param subwords: fastText's n-grams, if any.
    :param limit: how many words to keep, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if the lengths differ, the table is empty, or a word or number is none.
    """
    check_lengths(file, len(words), vectors)
    if limit is not None and limit < len(words):
        words, vectors = words[:limit], vectors[:limit]
    if set(map(type, words)) != {str}:
        row, word = next((row, word) for row, word in enumerate(words) if not isinstance(word, str))
        raise ModelFormatError(
            Errors.E013.format(
                file=file,
                item=f"word {row + 1}",
                found=f"{word!r} ({type(word).__name__})",
                expected="a string",
                fix="repair the word list",
            )
        )
    numbers = to_float32(file, vectors)
    _check_finite(file, words, numbers)
    try:
        ids = word_ids(words)
    except UnicodeEncodeError as error:
        raise unreadable(file, f"a word that UTF-8 can't hold ({error})", accepted=_ACCEPTED, fix=_FIX) from error
    kept = first_of_each(ids)
    if len(kept) < len(words):
        _warn_of_repeated(file, words, kept)
        words, numbers, ids = [words[row] for row in kept.tolist()], numbers[kept], ids[kept]
    return VectorTable(words, numbers, subwords, index=index_words(words, ids))


def table_of_shared(file: Path, words: List[str], rows: Rows1d, vectors: NDArray[Any]) -> VectorTable:
    """Make a table in which several words may have one row.

    :param file: where they come from, for messages.
    :param words: ``n_words`` words, each once.
    :param rows: ``(n_words,)`` the row of each; rows of no word are left out.
    :param vectors: ``(n_rows, width)`` numbers of any type.
    :return: the table.
    :raises ModelFormatError: if it is empty, or a word or number is none.
    """
    used, shared = np.unique(rows, return_inverse=True)
    if len(used) == len(words):
        return make_table(file, words, vectors[rows])
    owners = make_table(file, [words[i] for i in np.unique(shared, return_index=True)[1].tolist()], vectors[used])
    return VectorTable(words, owners.vectors, index=index_words(words), shared=shared.astype(np.int32).reshape(-1))


def table_of_parts(file: Path, parts: WordParts) -> VectorTable:
    """Make a table without words, in which every word's row is made of parts.

    :param file: where they come from, for messages.
    :param parts: the parts.
    :return: the table.
    :raises ModelFormatError: if they have no rows, or a number is none.
    """
    check_lengths(file, len(parts.ngrams) if parts.ngrams.ndim else 0, parts.ngrams)
    if parts.ngrams.dtype.kind == "f":
        _check_finite(file, None, parts.ngrams)
    scales = None if parts.scales is None else parts.scales[:0]
    return VectorTable([], np.empty((0, parts.ngrams.shape[1]), parts.ngrams.dtype), parts, scales)


def check_lengths(file: Path, n_words: int, vectors: NDArray[Any]) -> None:
    """Refuse a matrix that is none, is empty, or has not one row per word.

    :param file: where it comes from, for messages.
    :param n_words: length of the word list.
    :param vectors: the matrix.
    :raises ModelFormatError: if that is so.
    """
    item, expected, fix = "the matrix", "float numbers of shape (n_words, width)", "name a table of word vectors"
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        found = f"of type {vectors.dtype} and shape {vectors.shape}"
    elif 0 in vectors.shape:
        found = f"empty, of shape {vectors.shape}"
    elif len(vectors) != n_words:
        found, expected = f"{len(vectors)} rows long", f"one row for each of the {n_words} words in the list"
        fix = "give the matrix and the word list that belong together"
    else:
        return
    raise ModelFormatError(Errors.E013.format(file=file, item=item, found=found, expected=expected, fix=fix))


def open_matrix(file: Path) -> NDArray[Any]:
    """Map an ``.npy`` file into memory.

    :param file: the file.
    :return: the array, read-only, of any shape and type.
    :raises ModelFormatError: if it is missing, truncated, or holds Python objects.
    """
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # what a damaged head makes NumPy raise has no type in common
        raise unreadable(file, error, accepted=_ACCEPTED, fix=_FIX) from error


def to_float32(file: Path, matrix: NDArray[Any]) -> Floats2d:
    """Copy a matrix into memory as float32 in C order (a row of a Fortran-ordered one is slow to gather).

    :param file: where it comes from, for messages.
    :param matrix: ``(n_rows, width)`` numbers.
    :return: ``(n_rows, width)`` float32; the matrix itself where it is that already and no mapped file.
    :raises ModelFormatError: if it is no matrix of numbers.
    """
    check_lengths(file, len(matrix) if matrix.ndim else 0, matrix)
    if matrix.dtype == np.float32 and matrix.flags.c_contiguous and not isinstance(matrix, np.memmap):
        return matrix
    numbers = np.empty(matrix.shape, np.float32)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes inf, which the check for finite rows names
        for start in range(0, len(matrix), _BLOCK):
            numbers[start : start + _BLOCK] = matrix[start : start + _BLOCK]
    return numbers


def _warn_of_repeated(file: Path, words: Sequence[str], kept: Rows1d) -> None:
    again = np.ones(len(words), dtype=bool)
    again[kept] = False
    places = [place for place in np.flatnonzero(again).tolist() if "\ufffd" not in words[place]]  # of those CW004 tells
    if places:
        first = places[0]
        message = Warnings.W007.format(
            file=file, count=len(places), total=len(words), word=words[first][:40], row=first + 1
        )
        warnings.warn(message, stacklevel=3)


def _check_finite(file: Path, words: Optional[List[str]], vectors: Floats2d) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(vectors.sum()):  # four times as fast as a look at each; only finite numbers sum to one
            return
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        row = int(bad[0])
        number = vectors[row][~np.isfinite(vectors[row])][0]
        owner = f"part {row + 1} (" if words is None else f"{words[row]!r} (word {row + 1}; "
        raise ModelFormatError(
            Errors.E013.format(
                file=file,
                item=f"the vector of {owner}{bad.size} such in all)",
                found=f"not finite, it holds {number}",
                expected="finite numbers within float32",
                fix="repair the table or leave such words out",
            )
        )
