"""From the bytes of a table's words to text: one word that is no UTF-8 is no reason to refuse the others.

Enters: words as bytes, block by block. Leaves: strings, and one warning for a file that says how many were odd.
word2vec and fastText cut long words at a number of bytes, inside a character too, and published tables hold a few.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from spacy_ctx_embed.errors import Warnings

BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class WordDecoder:
    """Decodes the words of one file.

    :param file: the file to name in the warning.
    """

    def __init__(self, file: Path) -> None:
        self.words: List[str] = []
        self.n_odd = 0
        self._file = file
        self._first: Optional[Tuple[int, str]] = None  # the first odd one: its number, and what was read

    def add(self, raw: Sequence[bytes]) -> None:
        """Decode words; what is no UTF-8 in one becomes U+FFFD.

        :param raw: words as bytes.
        """
        try:
            decoded = b"\n".join(raw).decode("utf8").split("\n") if raw else []
            if len(decoded) != len(raw):  # a word has a line end in it
                decoded = [word.decode("utf8") for word in raw]
        except UnicodeDecodeError:
            decoded = [self._replaced(word, number) for number, word in enumerate(raw, len(self.words) + 1)]
        self.words += decoded

    def warn(self) -> None:
        """Give the warning, where there is reason for it: to be called once, when all words are read."""
        if self._first is not None:
            number, word = self._first
            message = Warnings.W004.format(
                file=self._file, count=self.n_odd, total=len(self.words), word=word, number=number
            )
            warnings.warn(message, stacklevel=2)

    def _replaced(self, word: bytes, number: int) -> str:
        try:
            return word.decode("utf8")
        except UnicodeDecodeError:
            self.n_odd += 1
            replaced = word.decode("utf8", errors="replace")
            self._first = self._first or (number, replaced[:40])
            return replaced


def is_utf8(content: bytes) -> bool:
    """Tell whether bytes are UTF-8.

    :param content: the bytes.
    :return: whether they are.
    """
    try:
        content.decode("utf8")
    except UnicodeDecodeError:
        return False
    return True


def is_utf16(head: bytes) -> bool:
    """Tell text in UTF-16 by its byte-order mark, or without one by a zero in every other byte.

    :param head: the first bytes of a file.
    :return: whether it looks like that.
    """
    if head.startswith(_UTF16_BOMS):
        return True
    pairs = head[: min(len(head), 64) // 2 * 2]
    high, low = pairs[::2], pairs[1::2]
    return len(pairs) >= 8 and any(not any(zeros) and 0 not in others for zeros, others in ((high, low), (low, high)))
