"""The words of a table that lie in a file: decoded where they are asked for, never all in memory.

Enters: UTF-8 bytes and where each word ends. Leaves: what reads as a list of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Iterator, List, Tuple, Union, overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096  # words decoded at a time

Bytes1d = NDArray[np.uint8]
Ends1d = NDArray[np.int64]


class StoredWords(Sequence[str]):
    """Words, one after another.

    :param content: their UTF-8 bytes without anything between them.
    :param ends: ``(n_words + 1,)`` where each begins, and at last where the last one ends; the first number is 0.
    """

    def __init__(self, content: Bytes1d, ends: Ends1d) -> None:
        self._content = content
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> List[str]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[str, List[str]]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._decode(start, max(start, stop))
            return [self[place] for place in range(start, stop, step)]
        place = range(len(self))[index]  # raises IndexError as a list does
        return self._content[self._ends[place] : self._ends[place + 1]].tobytes().decode("utf8")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self._decode(start, min(start + _BLOCK, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(mine == theirs for mine, theirs in zip(self, other))

    __hash__ = None  # type: ignore[assignment]

    def head(self, n: int) -> StoredWords:
        """Keep the first words.

        :param n: how many; not more than there are.
        :return: those, in the same file.
        """
        return StoredWords(self._content, self._ends[: n + 1])

    def _decode(self, start: int, stop: int) -> List[str]:
        ends = self._ends[start : stop + 1].tolist()
        content = self._content[ends[0] : ends[-1]].tobytes()
        first = ends[0]
        return [content[a - first : b - first].decode("utf8") for a, b in zip(ends, ends[1:])]


def join_words(words: Sequence[str]) -> Tuple[Bytes1d, Any]:
    """Lay words out as :class:`StoredWords` reads them.

    :param words: ``n_words`` words.
    :return: bytes and ends.
    """
    content = bytearray()
    ends = np.zeros(len(words) + 1, np.int64)
    for start in range(0, len(words), _BLOCK):
        encoded = [word.encode("utf8") for word in words[start : start + _BLOCK]]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ends[start + 1 : start + 1 + len(encoded)] = len(content) + np.cumsum(lengths)
        content += b"".join(encoded)
    return np.frombuffer(content, np.uint8), ends
