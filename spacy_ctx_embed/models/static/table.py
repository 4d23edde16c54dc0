"""A table of word vectors in memory, and its own folder format on disk.

Enters: words and a matrix from any reader. Leaves: a :class:`VectorTable`, checked once, float32, each word once.
The folder holds data only, no pickle, and needs nothing beside it: ``table.json``, ``words.msgpack`` (exact for
any word), ``vectors.npy`` and, for fastText, ``ngrams.npy``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import numpy as np
import srsly
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.static.word_index import first_of_each, word_ids

_ACCEPTED, _FIX = "a complete file, as it was written", "fetch or save it again"

if TYPE_CHECKING:
    from gensim.models.fasttext import FastTextKeyedVectors

META, WORDS, VECTORS, NGRAMS = "table.json", "words.msgpack", "vectors.npy", "ngrams.npy"
_FORMAT, _VERSION = "spacy_ctx_embed.VectorTable", 1
_BLOCK = 4096  # rows converted at a time


class SubWords:
    """fastText's character n-grams, from which a word outside the table gets a row.

    :param ngrams: ``(n_buckets, width)`` float32 rows.
    :param min_n: shortest n-gram in characters.
    :param max_n: longest n-gram in characters.
    """

    def __init__(self, ngrams: Floats2d, min_n: int, max_n: int) -> None:
        self.ngrams = ngrams
        self.min_n = min_n
        self.max_n = max_n
        self._keyed_vectors: Optional[FastTextKeyedVectors] = None

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_keyed_vectors": None}

    def row(self, word: str) -> Optional[NDArray[np.float32]]:
        """Make a word's row as gensim does: the mean of its n-grams.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32 row, or ``None`` where the word has no n-gram.
        """
        from gensim.models.fasttext import FastTextKeyedVectors, ft_ngram_hashes

        n_buckets, width = self.ngrams.shape
        if self._keyed_vectors is None:
            self._keyed_vectors = FastTextKeyedVectors(width, self.min_n, self.max_n, n_buckets)
            self._keyed_vectors.vectors_ngrams = self.ngrams
        if not ft_ngram_hashes(word, self.min_n, self.max_n, n_buckets):
            return None
        return np.asarray(self._keyed_vectors.get_vector(word), dtype=np.float32)


@dataclass(frozen=True)
class VectorTable:
    """Word vectors. Make one with :func:`make_table` or :meth:`load`, which check what they are given.

    :param words: ``n_words`` words, each once; word i has row i.
    :param vectors: ``(n_words, width)`` float32, C order, all finite.
    :param subwords: fastText's n-grams, where the table has them and they were asked for.
    """

    words: List[str]
    vectors: Floats2d
    subwords: Optional[SubWords] = None

    @property
    def width(self) -> int:
        """Size of a row."""
        return int(self.vectors.shape[1])

    def digest(self) -> str:
        """Hash the content: the same for a table and its saved copy, and with the word list beside a matrix in it.

        :return: SHA-256 (hex) of words, vectors and n-grams.
        """
        found = hashlib.sha256(srsly.msgpack_dumps([self.words, list(self.vectors.shape)]))
        found.update(self.vectors.data)
        if self.subwords is not None:
            found.update(self.subwords.ngrams.data)
        return found.hexdigest()

    def save(self, directory: Path) -> None:
        """Write the table into an existing folder.

        :param directory: the folder.
        """
        meta: Dict[str, Any] = {
            "format": _FORMAT,
            "version": _VERSION,
            "n_words": len(self.words),
            "width": self.width,
            "ngrams": None,
        }
        np.save(directory / VECTORS, self.vectors, allow_pickle=False)
        srsly.write_msgpack(directory / WORDS, self.words)
        if self.subwords is not None:
            meta["ngrams"] = {"min_n": self.subwords.min_n, "max_n": self.subwords.max_n}
            np.save(directory / NGRAMS, self.subwords.ngrams, allow_pickle=False)
        srsly.write_json(directory / META, meta)

    @classmethod
    def load(cls, directory: Path, limit: Optional[int] = None) -> "VectorTable":
        """Read what :meth:`save` wrote.

        :param directory: the folder.
        :param limit: how many words to keep, from the first on; null for all.
        :return: the table.
        :raises ModelFormatError: if a file is missing, damaged or does not fit the others.
        """
        try:
            meta = srsly.read_json(directory / META)
            words = srsly.read_msgpack(directory / WORDS)
        except Exception as error:  # srsly passes on what its parsers raise, of many types
            raise unreadable(directory, error, accepted=_ACCEPTED, fix=_FIX) from error
        if not is_saved_meta(meta) or not isinstance(words, list):
            raise unreadable(directory, "not a folder of this package's table format", accepted=_ACCEPTED, fix=_FIX)
        subwords = None
        if meta["ngrams"] is not None:
            ngrams = to_float32(directory / NGRAMS, open_matrix(directory / NGRAMS))
            subwords = SubWords(ngrams, meta["ngrams"]["min_n"], meta["ngrams"]["max_n"])
        return make_table(directory / VECTORS, words, open_matrix(directory / VECTORS), subwords, limit)


def is_saved_meta(meta: object) -> bool:
    """Tell whether the content of a ``table.json`` is ours and of a version that we read.

    :param meta: what the file holds.
    :return: whether it is.
    """
    return isinstance(meta, dict) and meta.get("format") == _FORMAT and meta.get("version") == _VERSION


def make_table(
    file: Path,
    words: List[str],
    vectors: NDArray[Any],
    subwords: Optional[SubWords] = None,
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
        kept = first_of_each(word_ids(words))
    except UnicodeEncodeError as error:
        raise unreadable(file, f"a word that UTF-8 can't hold ({error})", accepted=_ACCEPTED, fix=_FIX) from error
    if len(kept) < len(words):
        words, numbers = [words[row] for row in kept.tolist()], numbers[kept]
    return VectorTable(words, numbers, subwords)


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
    except (OSError, ValueError, EOFError) as error:
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


def _check_finite(file: Path, words: List[str], vectors: Floats2d) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(vectors.sum()):  # four times as fast as a look at each; only finite numbers sum to one
            return
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        row = int(bad[0])
        number = vectors[row][~np.isfinite(vectors[row])][0]
        raise ModelFormatError(
            Errors.E013.format(
                file=file,
                item=f"the vector of {words[row]!r} (word {row + 1}; {bad.size} such in all)",
                found=f"not finite, it holds {number}",
                expected="finite numbers within float32",
                fix="repair the table or leave such words out",
            )
        )
