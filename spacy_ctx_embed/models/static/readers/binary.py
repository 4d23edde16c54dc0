"""word2vec's binary format: a line with two counts, then per word its bytes, a space, and float32 numbers.

Enters: a file. Leaves: a :class:`VectorTable`. Nothing marks where a word ends but
the space, so a word with a space in it, or a wrong count, shifts all that comes after. A block of words is read at a
stretch; where its words or numbers look shifted, it is read again, word by word, and looked at from all sides.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.static.readers.text import AGAIN, check_header, check_size
from spacy_ctx_embed.models.static.readers.word_bytes import BOM, WordDecoder, is_utf8
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_Record = Callable[[int, int], Tuple[bytes, int]]
_BLOCK = 4096  # words read at a stretch
_N_SPACES = 16  # spaces that a word may hold
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_GOOD = 2
_LARGEST, _SMALLEST = 1e9, 1e-15  # beyond these a number is rather a piece of text, or of two other numbers


def read_binary(path: Path, plain: Path, *, limit: Optional[int]) -> VectorTable:
    """Read a table.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if it is truncated, or its words are not where they should be.
    """
    with plain.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = len(BOM) if data[: len(BOM)] == BOM else 0
        while data[start : start + 1].isspace():
            start += 1
        end = data.find(b"\n", start) + 1
        n_words, width = check_header(path, data[start:end])
        n_wanted = min(n_words, limit or n_words)
        check_size(path, plain, n_wanted * (4 * width + 1), n_words, width)  # a space, and the numbers
        words, rows = _Reading(path, data, n_words, width).read(n_wanted, end)
    words.warn()
    return make_table(path, words.words, rows)


class _Reading:
    # One file on its way into memory.

    def __init__(self, path: Path, data: mmap.mmap, n_words: int, width: int) -> None:
        self._path, self._data = path, data
        self._n_words, self._width, self._n_bytes = n_words, width, 4 * width

    def read(self, n_wanted: int, offset: int) -> Tuple[WordDecoder, Floats2d]:
        words, matrix = WordDecoder(self._path), np.empty((n_wanted, self._width), np.dtype("<f4"))
        for start in range(0, n_wanted, _BLOCK):
            rows = range(start, min(start + _BLOCK, n_wanted))
            raw, end = self._block(rows, offset, matrix, self._record)
            likely = _all_text(raw) and _are_likely(matrix[start : rows.stop])
            if not likely or self._fit(rows.stop, end) != _GOOD:
                raw, end = self._block(rows, offset, matrix, self._sought)
            words.add(raw)
            offset = end
        if n_wanted == self._n_words and self._left_over(offset):
            raise self._error(f"not at its end after the {self._n_words} words that its header counts")
        return words, matrix

    def _block(self, rows: range, offset: int, matrix: Floats2d, record: _Record) -> Tuple[List[bytes], int]:
        # Words and matrix rows from here on, and the offset after them.
        into, n_bytes, words = matrix.view(np.uint8).reshape(-1).data, self._n_bytes, []
        for row in rows:
            word, offset = record(row, offset)
            words.append(word)
            into[row * n_bytes : (row + 1) * n_bytes] = self._data[offset - n_bytes : offset]
        return words, offset

    def _record(self, row: int, offset: int, n_spaces: int = 0) -> Tuple[bytes, int]:
        # The word that begins here and ends at its first space, or a later one; and the offset after its numbers.
        space = self._data.find(b" ", offset)
        for _ in range(n_spaces):
            space = self._data.find(b" ", space + 1) if space >= 0 else -1
        end = space + 1 + self._n_bytes
        if space < 0 or end > len(self._data):
            raise self._error(f"truncated: it ends within word {row + 1} of the {self._n_words} that its header counts")
        return self._data[offset:space].lstrip(b"\n"), end

    def _sought(self, row: int, offset: int) -> Tuple[bytes, int]:
        # Of all spaces where the word may end, the one after which numbers and next word look most like such.
        best, best_score = self._record(row, offset), 0
        for n_spaces in range(_N_SPACES):
            try:
                word, end = self._record(row, offset, n_spaces)
            except ModelFormatError:
                break
            if _is_broken(word) or (n_spaces and not _all_text([word])):
                break
            fit = self._fit(row + 1, end)
            likely = _are_likely(np.frombuffer(self._data[end - self._n_bytes : end], np.dtype("<f4")))
            score = fit and fit + 2 * likely
            if score > best_score:
                best, best_score = (word, end), score
            if score == _GOOD + 2:
                break
        if not best_score:
            shown = self._data[offset : offset + 20]
            raise self._error(f"misaligned: at word {row + 1}, {shown!r}, words and numbers are not where they should")
        return best

    def _fit(self, row: int, offset: int) -> int:
        # 0 where no word can begin here; 1 where it would be an odd one, or one too many; good where it is text, or
        # the file is at its end.
        if row == self._n_words:
            return 1 if self._left_over(offset) else _GOOD
        space = self._data.find(b" ", offset)
        word = self._data[offset:space].lstrip(b"\n")
        if space < 0 or _is_broken(word):
            return 0
        return _GOOD if _all_text([word]) else 1

    def _left_over(self, offset: int) -> bool:
        return bool(self._data[offset : offset + 1024].strip())

    def _error(self, found: str) -> ModelFormatError:
        expected = f"per word its bytes, a space and {4 * self._width} bytes of numbers"
        return ModelFormatError(
            Errors.E013.format(file=self._path, item="the binary file", found=found, expected=expected, fix=AGAIN)
        )


def _is_broken(word: bytes) -> bool:
    # Bytes of numbers: what no word holds, or what is neither text nor cut text.
    if b"\0" in word or b"\n" in word:
        return True
    return bool(_CONTROL.search(word)) and not is_utf8(word)


def _all_text(words: List[bytes]) -> bool:
    together = b" ".join(words)
    return not _CONTROL.search(together) and is_utf8(together)


def _are_likely(numbers: NDArray[np.float32]) -> bool:
    sizes = np.abs(numbers)
    with np.errstate(invalid="ignore"):
        return bool(((sizes <= _LARGEST) & ((sizes >= _SMALLEST) | (sizes == 0))).all())
