"""From spaCy's word ids to rows of a table, a whole Doc in a few NumPy calls.

Enters: one uint64 id per word (``doc.to_array(ORTH)`` gives the same ids). Leaves: row numbers, -1 where the table
has no such word. New words are found by binary search, words seen before in a small hash table.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray
from spacy.strings import get_string_id

Ids1d = NDArray[np.uint64]
Rows1d = NDArray[np.int64]


def word_ids(words: Sequence[str]) -> Ids1d:
    """Give spaCy's id of each word, the reserved symbols ("NOUN", "nsubj", …) included.

    :param words: ``n_words`` strings.
    :return: ``(n_words,)`` uint64 ids, equal to those in a Doc's StringStore.
    :raises UnicodeEncodeError: if a word holds a lone surrogate.
    """
    return np.fromiter(map(get_string_id, words), np.uint64, len(words))


def first_of_each(ids: Ids1d) -> Rows1d:
    """Tell which entries remain when of equal ids only the first is kept.

    :param ids: ``(n_words,)`` ids.
    :return: their positions, increasing; all of them where no id occurs twice.
    """
    in_order = np.sort(ids)
    if not (in_order[1:] == in_order[:-1]).any():
        return np.arange(len(ids))
    return np.sort(np.unique(ids, return_index=True)[1])


class WordIndex:
    """An immutable map from word ids to row numbers.

    :param ids: ``(n_words + 1,)`` uint64 ids in increasing order, each once, and a 0 behind the last.
    :param rows: ``(n_words + 1,)`` their row numbers, not negative, and a -1 behind the last.
    :param limit: rows from this one on are not there; ``None`` for all.
    """

    def __init__(self, ids: Ids1d, rows: NDArray[Any], limit: Optional[int] = None) -> None:
        self.ids = ids
        self.rows = rows
        self.limit = limit

    def find(self, ids: Ids1d) -> Rows1d:
        """Look ids up.

        :param ids: ``(n_tokens,)`` uint64 ids.
        :return: ``(n_tokens,)`` row numbers, -1 for an id that is not there.
        """
        places = np.searchsorted(self.ids[:-1], ids)
        found = np.where(self.ids[places] == ids, self.rows[places], -1).astype(np.int64, copy=False)
        if self.limit is not None:
            found[found >= self.limit] = -1
        return found

    def head(self, n_rows: int) -> WordIndex:
        """Keep the words of the first rows.

        :param n_rows: how many rows.
        :return: an index of those words alone.
        """
        kept = self.rows < n_rows  # the -1 behind the last too
        return WordIndex(self.ids[kept], self.rows[kept])


def sort_index(ids: Ids1d, rows: Rows1d) -> WordIndex:
    """Make an index.

    :param ids: ``(n_words,)`` uint64 ids, each once.
    :param rows: ``(n_words,)`` row numbers, not negative.
    :return: the index.
    """
    order = np.argsort(ids)
    # 0 is the id of the empty string, which is in no table
    return WordIndex(np.append(ids[order], np.uint64(0)), np.append(rows[order], -1))


_RECENT_LOCK = threading.Lock()  # of the module, because a lock can't be pickled; held for microseconds


class RecentWords:
    """A bounded memory of word ids and a number for each: two slots per hash, of which a newer word takes the older's.

    A copy starts empty: most slots are, and a pickle of a small table would be little else.

    :param bits: the memory has ``2 ** (bits + 1)`` slots of 16 bytes; 1 or more.
    """

    def __init__(self, bits: int = 17) -> None:
        self.bits = bits
        self._mask = np.uint64((1 << bits) - 1)
        self._ids = np.zeros((2, 1 << bits), np.uint64)
        self._ids[:, 0] = 1  # an empty slot holds an id that belongs to another one: 0 is that of the empty string
        self._values = np.zeros((2, 1 << bits), np.int64)

    def __getstate__(self) -> Dict[str, Any]:
        return {"bits": self.bits}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, ids: Ids1d) -> Tuple[Rows1d, Rows1d]:
        """Look ids up.

        :param ids: ``(n_tokens,)`` uint64 ids.
        :return: ``(n_tokens,)`` numbers, and the positions of the ids that are not remembered, whose numbers are
            of no use.
        """
        slots = (ids & self._mask).view(np.int64)
        with _RECENT_LOCK:
            values = self._values[0].take(slots)
            missed = (self._ids[0].take(slots) != ids).nonzero()[0]
            if missed.size:
                slots = slots[missed]
                values[missed] = self._values[1].take(slots)
                missed = missed[self._ids[1].take(slots) != ids[missed]]
        return values, missed

    def put(self, ids: Ids1d, values: Rows1d) -> None:
        """Remember ids.

        :param ids: ``(n_words,)`` uint64 ids that are not remembered, each once.
        :param values: ``(n_words,)`` their numbers.
        """
        slots, chosen = np.unique((ids & self._mask).view(np.int64), return_index=True)  # one word for each slot
        with _RECENT_LOCK:
            self._ids[1, slots], self._values[1, slots] = self._ids[0, slots], self._values[0, slots]
            self._ids[0, slots], self._values[0, slots] = ids[chosen], values[chosen]


def index_words(words: Sequence[str], ids: Optional[Ids1d] = None) -> WordIndex:
    """Index the words of a table, whitespace and the empty string left out: such tokens never have a vector.

    :param words: ``n_words`` words, each once; word i is row i.
    :param ids: their ids, where they are known.
    :return: the index.
    """
    if ids is None:
        ids = word_ids(words)
    blank = [row for row, word in enumerate(words) if not word or word.isspace()]
    rows = np.delete(np.arange(len(words)), blank)
    return sort_index(ids[rows], rows)
