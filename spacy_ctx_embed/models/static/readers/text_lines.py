"""What a line of a text table says: a word, and from the right as many numbers as the table is wide.

Enters: lines as bytes, without a line end or with one. Leaves: words and numbers, or what is wrong with a line.
Fields stand between spaces and tabs; all that is left of the numbers is the word, be it ``new york`` or ``. . .``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

_WHOLE = re.compile(rb"[+-]?\d+\Z")


class Fault(str):
    """What is wrong with a line, in words that fit after "is"."""


class Row(NamedTuple):
    """A word and its numbers.

    :param word: the word.
    :param numbers: as many numbers as the table is wide.
    """

    word: bytes
    numbers: List[float]


@dataclass
class LineReader:
    """Takes lines apart, and remembers what only the other lines can decide.

    A line such as ``b 4 5 6 7`` in a table of width 3 holds one number too many, or the word ``b 4``. It is a word
    where the odd number is written in another way than the row's (``catch 22 0.1 0.2``), where all fields are
    numbers, or where the table has other words with spaces.

    :param width: numbers per line.
    """

    width: int
    has_phrases: bool = False
    doubtful: Optional[Tuple[int, bytes]] = None  # number and content of the first line in doubt

    def read(self, number: int, line: bytes) -> Union[Row, Fault]:
        """Take a line apart.

        :param number: its number in the file, from 1 on.
        :param line: the line, not blank.
        :return: its word and numbers, or what is wrong with it.
        """
        fields = line.rsplit(None, self.width)
        if len(fields) == self.width and line[:1].isspace() and all(map(is_number, fields)):
            return Row(b"", list(map(float, fields)))  # a word that is empty, or a space
        if len(fields) <= self.width:
            return Fault(f"one of {len(fields) - 1} numbers")
        word, numbers = fields[0].lstrip(), fields[1:]
        wrong = next((field for field in numbers if not is_number(field)), None)
        if wrong is not None:
            return Fault(f"one with {wrong.decode('utf8', errors='replace')!r} where a number should be")
        parts = word.split()
        if len(parts) > 1:
            if _holds_row(parts, self.width):
                return Fault("one of two words and their numbers, as if a line end were missing")
            if not _is_numeral(parts[-1]):
                self.has_phrases = True
            elif self.doubtful is None and _looks_like_one_more(parts, numbers):
                self.doubtful = number, line
        return Row(word, list(map(float, numbers)))


def find_width(lines: Sequence[bytes]) -> int:
    """Find how many numbers the lines of a table without a header hold.

    :param lines: its first lines.
    :return: the number that most lines end in; of several the one that all lines can be read with, or the first.
    """
    fields = [line.split() for line in lines if line.strip()]
    # In a line of numbers only, any of them may belong to the word: such lines count where there are no others.
    telling = [parts for parts in fields if not all(map(_is_meant_as_numeral, parts))]
    counted = Counter(width for parts in telling or fields if (width := n_numbers(parts)))
    most = max(counted.values(), default=0)
    widths = [width for width, count in counted.items() if count == most]
    if len(widths) > 1:
        widths = [width for width in widths if _fits(lines, width)] or widths
    return widths[0] if widths else 1


def n_numbers(parts: Sequence[bytes]) -> int:
    """Count the numbers that a line ends in; its first field is never one of them.

    :param parts: the fields of the line.
    :return: how many there are, decimal commas taken for points.
    """
    for is_one in (_is_meant_as_numeral, is_number):  # a word may be "nan" or "infinity"; a row may be nothing else
        count = 0
        while count < len(parts) - 1 and is_one(parts[-1 - count]):
            count += 1
        if count:
            return count
    return 0


def is_number(field: bytes) -> bool:
    """Tell whether a field is a number, ``nan`` and ``inf`` included.

    :param field: the field.
    :return: whether it is.
    """
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field  # 1_000 is Python's alone


def _is_numeral(field: bytes) -> bool:
    return is_number(field) and not field.strip(b"+-").isalpha()


def _is_meant_as_numeral(field: bytes) -> bool:
    return _is_numeral(field.replace(b",", b".", 1))


def _fits(lines: Sequence[bytes], width: int) -> bool:
    reader = LineReader(width)
    read = [reader.read(number, line) for number, line in enumerate(lines) if line.strip()]
    return not any(isinstance(row, Fault) for row in read) and reader.doubtful is None


def _holds_row(parts: Sequence[bytes], width: int) -> bool:
    # A word, its numbers and another word: never what a word looks like, unless there is but one number.
    run = 0
    for part in parts[1:]:
        if not is_number(part):
            if run >= width > 1:
                return True
            run = 0
        else:
            run += 1
    return False


def _looks_like_one_more(parts: Sequence[bytes], numbers: Sequence[bytes]) -> bool:
    # Is the word's last part, a number, one of the row's? Not where it is whole and they are not.
    if all(map(is_number, parts)):
        return False
    return not (_WHOLE.match(parts[-1]) and not all(map(_WHOLE.match, numbers)))
