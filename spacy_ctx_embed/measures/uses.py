"""Words drawn from a stream, with the sums of all their uses and some of the uses themselves.

Enters: words and their rows, in the order of the text. Leaves: the same draw however the stream is cut: the words with
the smallest hashes. One that is pushed out by a smaller hash can't come back, so that all uses of those that stay were
seen.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np


@dataclass
class Uses:
    """The uses of a word in all layers.

    :param n: how many.
    :param unit_sum: ``(n_layers, width)`` sum of their rows, each scaled to length 1.
    :param first: the rows of the first uses, ``(n_layers, width)`` each.
    """

    n: int
    unit_sum: np.ndarray
    first: List[np.ndarray]


class WordSample:
    """Collects the uses of drawn words.

    :param most_words: words kept.
    :param most_uses: rows kept of each.
    :param seed: of the draw.
    """

    def __init__(self, most_words: int, most_uses: int, seed: int) -> None:
        self._most_words, self._most_uses, self._seed = most_words, most_uses, seed
        self._words: Dict[str, Uses] = {}
        self._largest: List[Tuple[int, str]] = []  # a heap of the words kept, by their hashes from the largest on

    def add(self, words: Sequence[str], layers: np.ndarray, unit: np.ndarray) -> None:
        """Take tokens in.

        :param words: ``n_tokens`` words.
        :param layers: ``(n_layers, n_tokens, width)``.
        :param unit: the same, each row scaled to length 1.
        """
        shape = layers.shape[0], layers.shape[2]
        for i, word in enumerate(words):
            if not self._keeps(word):
                continue
            uses = self._words.get(word)
            if uses is None:
                uses = self._words[word] = Uses(0, np.zeros(shape), [])
            uses.n += 1
            uses.unit_sum += unit[:, i]
            if len(uses.first) < self._most_uses:
                uses.first.append(np.array(layers[:, i]))

    def words(self, least: int) -> Iterator[Uses]:
        """Give the words that were used often enough.

        :param least: uses.
        :yields: their uses.
        """
        yield from (uses for uses in self._words.values() if uses.n >= least)

    def _keeps(self, word: str) -> bool:
        if word in self._words:
            return True
        digest = hashlib.blake2b(word.encode("utf8"), digest_size=8, salt=str(self._seed).encode()[:16]).digest()
        entry = (-int.from_bytes(digest, "big"), word)
        if len(self._largest) < self._most_words:
            heapq.heappush(self._largest, entry)
            return True
        pushed_out = heapq.heappushpop(self._largest, entry)
        if pushed_out == entry:
            return False
        del self._words[pushed_out[1]]
        return True


class RowSample:
    """Draws rows from a stream: each as likely as any other, and the same however the stream is cut.

    :param most: rows kept.
    :param seed: of the draw.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._random = most, np.random.default_rng(seed)
        self._keys: np.ndarray = np.zeros(0)
        self._rows: List[np.ndarray] = []

    def add(self, layers: np.ndarray) -> None:
        """Take tokens in.

        :param layers: ``(n_layers, n_tokens, width)``.
        """
        keys = np.concatenate([self._keys, self._random.random(layers.shape[1])])
        kept = np.sort(np.argsort(keys, kind="stable")[: self._most])
        n = len(self._rows)
        self._rows = [self._rows[i] if i < n else np.array(layers[:, i - n]) for i in kept.tolist()]
        self._keys = keys[kept]

    def rows(self, layer: int) -> np.ndarray:
        """Give what was drawn.

        :param layer: number of the layer.
        :return: ``(n, width)``.
        """
        return np.array([rows[layer] for rows in self._rows])
