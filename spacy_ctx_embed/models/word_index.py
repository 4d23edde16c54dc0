"""From spaCy's word ids to rows of a table: a hash table that looks up a whole Doc in a few NumPy calls.

Enters: one uint64 id per word (``doc.to_array(ORTH)`` gives the same ids). Leaves: row numbers, -1 where the table
has no such word. Cuckoo hashing (Pagh and Rodler, 2004): every id lives in one of two slots, so that a lookup is
exactly two gathers, about three times as fast as a binary search over 400,000 ids.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray
from spacy.strings import get_string_id

Ids1d = NDArray[np.uint64]
Rows1d = NDArray[np.int64]

# An odd number near 2**64 / golden ratio: its product's high bits give the second slot, unrelated to the low bits.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_MAX_ROUNDS = 500


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

    :param ids: ``(n_words,)`` uint64 ids, each once.
    :param rows: ``(n_words,)`` row numbers, not negative.
    """

    def __init__(self, ids: Ids1d, rows: Rows1d) -> None:
        bits = max(4, int(2 * len(ids)).bit_length())
        owners = None
        while owners is None:
            self._mask = np.uint64((1 << bits) - 1)
            self._shift = np.uint64(64 - bits)
            owners = _settle(*self._slots(ids), size=1 << bits)
            bits += 1
        taken = owners >= 0
        self._ids = np.zeros(len(owners), np.uint64)
        self._ids[taken] = ids[owners[taken]]
        self._rows = np.full(len(owners), -1, np.int64)
        self._rows[taken] = rows[owners[taken]]

    def find(self, ids: Ids1d) -> Rows1d:
        """Look ids up.

        :param ids: ``(n_tokens,)`` uint64 ids; 0, the empty string, is in no table.
        :return: ``(n_tokens,)`` row numbers, -1 for an id that is not there.
        """
        first, second = self._slots(ids)
        slots = np.where(self._ids[first] == ids, first, second)
        return np.where(self._ids[slots] == ids, self._rows[slots], -1)

    def _slots(self, ids: Ids1d) -> Tuple[Rows1d, Rows1d]:
        # uint64 arithmetic wraps around, as multiplicative hashing wants it.
        return (ids & self._mask).astype(np.int64), ((ids * _SPREAD) >> self._shift).astype(np.int64)


class RecentWords:
    """A bounded memory of word ids and a number for each: two slots per hash, of which a newer word takes the older's.

    :param bits: the memory has ``2 ** (bits + 1)`` slots of 16 bytes.
    """

    def __init__(self, bits: int = 17) -> None:
        self._mask = np.uint64((1 << bits) - 1)
        self._ids = np.zeros((2, 1 << bits), np.uint64)  # 0 is the id of the empty string, which no token has
        self._values = np.zeros((2, 1 << bits), np.int64)

    def get(self, ids: Ids1d) -> Tuple[Rows1d, Rows1d]:
        """Look ids up.

        :param ids: ``(n_tokens,)`` uint64 ids.
        :return: ``(n_tokens,)`` numbers, and the positions of the ids that are not remembered, whose numbers are
            of no use.
        """
        slots = (ids & self._mask).view(np.int64)
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
        slots = (ids & self._mask).view(np.int64)
        self._ids[1, slots], self._values[1, slots] = self._ids[0, slots], self._values[0, slots]
        slots, chosen = np.unique(slots, return_index=True)  # of new words that share a slot, one
        self._ids[0, slots], self._values[0, slots] = ids[chosen], values[chosen]


def _settle(first: Rows1d, second: Rows1d, size: int) -> Optional[NDArray[np.int32]]:
    # Puts every entry in one of its two slots, all in parallel: who loses a slot, or is pushed out of it, tries its
    # other one next. None where that goes round in circles, which a larger table cures.
    owners = np.full(size, -1, np.int32)
    places, both = first.copy(), first + second
    pending = np.arange(len(first), dtype=np.int32)
    for _ in range(_MAX_ROUNDS):
        if not pending.size:
            return owners
        wanted = places[pending]
        evicted = owners[wanted]
        owners[wanted] = pending
        won = owners[wanted] == pending
        evicted = evicted[won]
        pending = np.concatenate([pending[~won], evicted[evicted >= 0]])
        places[pending] = both[pending] - places[pending]
    return None


def index_words(words: List[str]) -> WordIndex:
    """Index the words of a table, whitespace and the empty string left out: such tokens never have a vector.

    :param words: ``n_words`` words, each once; word i is row i.
    :return: the index.
    """
    ids = word_ids(words)
    blank = [row for row, word in enumerate(words) if not word or word.isspace()]
    rows = np.delete(np.arange(len(words)), blank)
    return WordIndex(ids[rows], rows)
