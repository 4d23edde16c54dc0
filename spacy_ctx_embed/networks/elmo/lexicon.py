"""Which row of a table belongs to a word, for the models that know words besides characters, or instead of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

NOT_LISTED = -1


@dataclass(frozen=True)
class Lexicon:
    """A closed list of words.

    :param rows: word -> row of the table.
    :param unknown: the row of every other word; ``NOT_LISTED`` where there is none, and characters must serve.
    :param max_length: characters (code points) of a word that count, ``None`` for all.
    """

    rows: Dict[str, int]
    unknown: int = NOT_LISTED
    max_length: Optional[int] = None

    @property
    def n_rows(self) -> int:
        """Rows that the table must have at least."""
        return max(max(self.rows.values(), default=-1), self.unknown) + 1

    def look_up(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Give the rows of words.

        :param words: ``n_words`` words.
        :return: ``(n_words,)`` rows, ``NOT_LISTED`` for words that have none.
        """
        cut = self.max_length
        return np.fromiter((self.rows.get(word[:cut], self.unknown) for word in words), np.int64, len(words))
