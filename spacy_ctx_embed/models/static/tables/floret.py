"""floret's n-grams: a small table in which every word's row is the mean of its hashed n-grams.

Enters: words. Leaves: what spaCy's ``Vectors`` gives in the mode floret, whose hashes are computed by spaCy.
"""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np
import srsly
from numpy.typing import NDArray
from spacy.vectors import Vectors

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.tables.numbers import Factors1d, take_rows
from spacy_ctx_embed.models.static.tables.subwords import Row, WordParts, mean_of_parts

HOW = ("minn", "maxn", "hash_count", "hash_seed", "bow", "eow")  # arguments of spaCy's, under its names
_BLOCK = 1024  # words made at a time


class Floret(WordParts):
    """Rows of hash buckets.

    :param ngrams: ``(n_rows, width)`` rows, float32, float16, or int8 with ``scales``.
    :param scales: ``(n_rows,)`` factors of int8 rows.
    :param lower: whether words are lower-cased first.
    :param how: the settings named in :data:`HOW`.
    """

    for_all: ClassVar[bool] = True

    def __init__(
        self, ngrams: NDArray[Any], scales: Optional[Factors1d] = None, *, lower: bool = False, how: Dict[str, Any]
    ) -> None:
        super().__init__(ngrams, scales)
        self.lower = lower
        self.how = how

    def __getstate__(self) -> Dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_hasher"}

    @cached_property
    def _hasher(self) -> Vectors:
        return Vectors(mode="floret", data=np.zeros((1, 1), np.float32), **self.how)

    @property
    def settings(self) -> Dict[str, Any]:
        """How words are cut and n-grams hashed."""
        return {"kind": "floret", "lower": self.lower, **self.how}

    @property
    def content(self) -> List[Optional[NDArray[Any]]]:
        """The rows and the settings."""
        settings = np.frombuffer(srsly.json_dumps(self.settings).encode("utf8"), np.uint8)
        return [self.ngrams, self.scales, settings]

    def with_rows(self, ngrams: NDArray[Any], scales: Optional[Factors1d]) -> Floret:
        """Give the same buckets other rows.

        :param ngrams: ``(n_rows, width)`` rows.
        :param scales: factors of int8 rows.
        :return: the buckets.
        """
        return Floret(ngrams, scales, lower=self.lower, how=self.how)

    def row(self, word: str) -> Optional[Row]:
        """Make a word's row.

        :param word: any word.
        :return: ``(width,)`` float32 row; ``None`` for the empty string.
        """
        rows, known = self.rows([word])
        return rows[0] if known[0] else None

    def rows(self, words: Sequence[str]) -> Tuple[Floats2d, NDArray[np.bool_]]:
        """Make rows of words.

        :param words: ``n`` words.
        :return: ``(n, width)`` float32, and true for all but the empty string.
        """
        made = np.zeros((len(words), self.ngrams.shape[1]), np.float32)
        for start in range(0, len(words), _BLOCK):
            hashes = [self._hashes(word) for word in words[start : start + _BLOCK]]
            counts = np.fromiter(map(len, hashes), np.int64, len(hashes))
            joined = np.fromiter(chain.from_iterable(hashes), np.int64, int(counts.sum()))
            rows = take_rows(self.ngrams, self.scales, joined % len(self.ngrams))
            made[start : start + _BLOCK] = mean_of_parts(rows, counts)
        return made, np.array([bool(word) for word in words], dtype=bool)

    def _hashes(self, word: str) -> List[int]:
        if not word:
            return []
        hasher: Any = self._hasher
        ngrams = hasher._get_ngrams(word.lower() if self.lower else word)
        return [found for ngram in ngrams for found in hasher._get_ngram_hashes(ngram)]
