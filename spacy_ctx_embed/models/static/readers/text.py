"""Word vectors as text: word2vec's and fastText's ``.vec``, or the same without a first line, as GloVe ships it.

Enters: a text file. Leaves: a :class:`VectorTable`. Read once, in blocks of lines.
NumPy's parser takes a block of ordinary lines; where it objects, each line is taken apart by ``text_lines``.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO, Iterator, List, Optional, Tuple

import numpy as np

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.static.readers.text_lines import Fault, LineReader, find_width
from spacy_ctx_embed.models.static.readers.word_bytes import BOM, WordDecoder
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

AGAIN = "fetch or save it again"
_BLOCK = 1 << 20  # bytes of lines read at a time
_FEW = 32  # lines that are not halved any more
_SAMPLE = 100  # lines that tell the width


def read_text(path: Path, plain: Path, *, header: bool, limit: Optional[int]) -> VectorTable:
    """Read a table.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param header: whether the first line that is not blank holds the number of words and the width.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if a line is not a word and as many numbers as the others have.
    """
    n_bytes = plain.stat().st_size
    with plain.open("rb") as file, np.errstate(over="ignore"):  # inf is found and named later
        if header:
            number, line = _first_line(file)
            n_words, width = check_header(path, line)
            # per word its numbers, each with a space before, and the line's end
            check_size(path, plain, min(n_words, limit or n_words) * (2 * width + 1) - 1, n_words, width)
            return _Reading(path, width, n_bytes, limit, n_words).read(file, number)
        width = find_width([_without_bom(line) for line in islice(file, _SAMPLE)])
        file.seek(0)
        return _Reading(path, width, n_bytes, limit, None).read(file, 0)


def check_header(path: Path, line: bytes) -> Tuple[int, int]:
    """Read the first line of a word2vec file.

    :param path: the file to name in messages.
    :param line: the line: two whole numbers.
    :return: the number of words, and that of numbers per word.
    :raises ModelFormatError: if one of them is 0.
    """
    n_words, width = (int(field) for field in line.split())
    if not n_words or not width:
        found = f"that of an empty table, {n_words} words of width {width}"
        raise _error(path, "the header line", found, "a table with words and numbers", AGAIN)
    return n_words, width


def check_size(path: Path, plain: Path, n_least: int, n_words: int, width: int) -> None:
    """Refuse a file that is too small for what its header says, before memory is taken for that.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param n_least: bytes that it needs at least.
    :param n_words: number of words in the header.
    :param width: numbers per word in the header.
    :raises ModelFormatError: if it is smaller.
    """
    n_bytes = plain.stat().st_size
    if n_bytes < n_least:
        found = f"truncated, or its header wrong: {n_bytes} bytes"
        expected = f"at least {n_least} bytes for the {n_words} words of width {width} in the header"
        raise _error(path, "the file", found, expected, AGAIN)


class _Reading:
    # One file on its way into memory.

    def __init__(self, path: Path, width: int, n_bytes: int, limit: Optional[int], n_words: Optional[int]) -> None:
        self._path = path
        self._n_bytes = n_bytes
        self._n_words = n_words
        self._n_wanted = min(n_words or n_bytes, limit or n_bytes)
        self._reads_all = limit is None
        self._lines = LineReader(width)
        self._words = WordDecoder(path)
        self._matrix = np.empty((0, width), np.float32)
        self._n_read = self._n_bytes_read = 0

    def read(self, file: IO[bytes], number: int) -> VectorTable:
        for first, lines in _blocks(file, number + 1):
            self._read_some(first, lines)
            if self._n_read == self._n_wanted and not (self._reads_all and self._n_words):
                break
        self._settle_doubts()
        if self._n_read < self._n_wanted and self._n_words:
            found = f"truncated: {self._n_read} lines after the header"
            raise _error(self._path, "the file", found, f"the {self._n_words} that the header counts", AGAIN)
        self._matrix.resize((self._n_read, self._lines.width), refcheck=False)
        self._words.warn()
        return make_table(self._path, self._words.words, self._matrix)

    def _read_some(self, first: int, lines: List[bytes]) -> None:
        # At once where it can be, else in halves, so that an odd line takes few others along on the slow way.
        if self._read_ordinary(lines):
            return
        if len(lines) <= _FEW:
            self._read_each(first, lines)
            return
        half = len(lines) // 2
        self._read_some(first, lines[:half])
        self._read_some(first + half, lines[half:])

    def _read_ordinary(self, lines: List[bytes]) -> bool:
        # Words without spaces: False, and nothing taken, where a line is blank, odd or wrong, or is one too many.
        if self._n_read + len(lines) > self._n_wanted:
            return False
        try:
            fields = [line.split(None, 1) for line in lines]
            texts = [numbers.decode("ascii") for _, numbers in fields]
            rows = np.loadtxt(texts, np.float32, comments=None, ndmin=2)
        except ValueError:
            return False
        if rows.shape != (len(lines), self._lines.width):
            return False
        self._append([word for word, _ in fields], rows, sum(map(len, lines)))
        return True

    def _read_each(self, first: int, lines: List[bytes]) -> None:
        words: List[bytes] = []
        numbers: List[List[float]] = []
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            if self._n_read + len(words) == self._n_wanted:
                if self._reads_all:  # only a header makes an end before the file's
                    expected = f"{self._n_words} lines after the header"
                    raise self._line_error(number, line, "more than the header counts", expected)
                break
            row = self._lines.read(number, line)
            if isinstance(row, Fault):
                self._settle_doubts()  # which come first
                raise self._line_error(number, line, row, self._expected())
            words.append(row.word)
            numbers.append(row.numbers)
        if words:
            self._append(words, np.array(numbers, np.float32), sum(map(len, lines)))

    def _append(self, words: List[bytes], rows: Floats2d, n_bytes: int) -> None:
        end = self._n_read + len(rows)
        self._n_bytes_read += n_bytes
        if end > len(self._matrix):
            # as many as there will be if lines stay as long as these; where they don't, it grows in place
            likely = self._n_words or int(1.01 * end * self._n_bytes / self._n_bytes_read)
            self._matrix.resize((min(max(end, likely), self._n_wanted), self._lines.width), refcheck=False)
        self._matrix[self._n_read : end] = rows
        self._n_read = end
        self._words.add(words)

    def _settle_doubts(self) -> None:
        if self._lines.doubtful is not None and not self._lines.has_phrases:
            number, line = self._lines.doubtful
            n_found = len(line.split()) - 1
            raise self._line_error(number, line, f"one of {n_found} numbers", self._expected())

    def _expected(self) -> str:
        return f"a word and {self._lines.width} numbers, with spaces or tabs between"

    def _line_error(self, number: int, line: bytes, found: str, expected: str) -> ModelFormatError:
        item = f"line {number} ({line[:40].decode('utf8', errors='replace').rstrip()!r}…)"
        fix = "repair that line, or write the table again, with decimal points"
        return _error(self._path, item, found, expected, fix)


def _first_line(file: IO[bytes]) -> Tuple[int, bytes]:
    # The first that is not blank, and its number.
    for number, line in enumerate(iter(file.readline, b""), 1):
        line = _without_bom(line) if number == 1 else line
        if line.strip():
            return number, line
    return 0, b""


def _blocks(file: IO[bytes], number: int) -> Iterator[Tuple[int, List[bytes]]]:
    # Lines from here on, with the number of the first; without the mark that may be at the start of the file, or of
    # the part below the header, where the two were put together.
    is_start = True
    while lines := file.readlines(_BLOCK):
        if is_start:
            lines[0] = _without_bom(lines[0])
            is_start = False
        yield number, lines
        number += len(lines)


def _without_bom(line: bytes) -> bytes:
    return line.removeprefix(BOM)


def _error(path: Path, item: str, found: str, expected: str, fix: str) -> ModelFormatError:
    return ModelFormatError(Errors.E013.format(file=path, item=item, found=found, expected=expected, fix=fix))
