"""Rows of words that are made from parts of them: what all kinds of parts share, and fastText's character n-grams.

fastText's give a row to a word that is not in the table (Bojanowski et al. 2017, section 3.2). Floret's n-grams and a
tokenizer's pieces, in modules of their own, give one to every word: their tables have no words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.tables.numbers import Factors1d, take_rows

Row = NDArray[np.float32]


class WordParts(ABC):
    """Parts that words are made of, and their rows.

    :param ngrams: ``(n_rows, width)`` rows, float32, float16, or int8 with ``scales``.
    :param scales: ``(n_rows,)`` factors of int8 rows.
    """

    for_all: ClassVar[bool] = False  # whether every word's row is made of parts, so that the table has no words

    def __init__(self, ngrams: NDArray[Any], scales: Optional[Factors1d] = None) -> None:
        self.ngrams = ngrams
        self.scales = scales

    @property
    @abstractmethod
    def settings(self) -> Dict[str, Any]:
        """What is to be known beside the arrays, as JSON can hold it."""

    @property
    @abstractmethod
    def content(self) -> List[Optional[NDArray[Any]]]:
        """All that rows depend on, for a digest."""

    @abstractmethod
    def with_rows(self, ngrams: NDArray[Any], scales: Optional[Factors1d]) -> WordParts:
        """Give the same parts other rows.

        :param ngrams: ``(n_rows, width)`` rows.
        :param scales: factors of int8 rows.
        :return: the parts.
        """

    @abstractmethod
    def row(self, word: str) -> Optional[Row]:
        """Make a word's row.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32 row, or ``None`` where no part of it is known.
        """

    def rows(self, words: Sequence[str]) -> Tuple[Floats2d, NDArray[np.bool_]]:
        """Make rows of words.

        :param words: ``n`` words.
        :return: ``(n, width)`` float32, and which of them have a part that is known; the others are zero.
        """
        made = np.zeros((len(words), self.ngrams.shape[1]), np.float32)
        known = np.zeros(len(words), bool)
        for place, row in enumerate(map(self.row, words)):
            if row is not None:
                made[place], known[place] = row, True
        return made, known


class SubWords(WordParts):
    """The n-grams of a table.

    :param ngrams: ``(n_rows, width)`` rows, float32, float16, or int8 with ``scales``.
    :param min_n: shortest n-gram in characters.
    :param max_n: longest n-gram in characters.
    :param scales: ``(n_rows,)`` factors of int8 rows.
    :param buckets: ``(n_rows,)`` increasing numbers of the hash buckets that have a row, where pruning left only some;
        ``None`` where bucket i has row i.
    :param n_buckets: how many buckets n-grams are hashed into; the number of rows where it is not given.
    """

    def __init__(
        self,
        ngrams: NDArray[Any],
        min_n: int,
        max_n: int,
        *,
        scales: Optional[Factors1d] = None,
        buckets: Optional[NDArray[np.int64]] = None,
        n_buckets: Optional[int] = None,
    ) -> None:
        super().__init__(ngrams, scales)
        self.min_n = min_n
        self.max_n = max_n
        self.buckets = buckets
        self.n_buckets = len(ngrams) if n_buckets is None else n_buckets

    @property
    def settings(self) -> Dict[str, Any]:
        """Lengths of n-grams, and the number of buckets."""
        return {"min_n": self.min_n, "max_n": self.max_n, "n_buckets": self.n_buckets}

    @property
    def content(self) -> List[Optional[NDArray[Any]]]:
        """The rows, and which buckets have one."""
        return [self.ngrams, self.scales, self.buckets]

    def with_rows(self, ngrams: NDArray[Any], scales: Optional[Factors1d]) -> SubWords:
        """Give the same n-grams other rows.

        :param ngrams: ``(n_rows, width)`` rows.
        :param scales: factors of int8 rows.
        :return: the n-grams.
        """
        return SubWords(ngrams, self.min_n, self.max_n, scales=scales, buckets=self.buckets, n_buckets=self.n_buckets)

    def row(self, word: str) -> Optional[Row]:
        """Make a word's row: the mean of its n-grams, as in fastText and gensim.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32 row, or ``None`` where the word has no n-gram.
        """
        from gensim.models.fasttext import ft_ngram_hashes

        places = np.array(ft_ngram_hashes(word, self.min_n, self.max_n, self.n_buckets), dtype=np.int64)
        if self.buckets is not None:
            found = np.minimum(np.searchsorted(self.buckets, places), len(self.buckets) - 1)
            places = found[self.buckets[found] == places] if len(self.buckets) else places[:0]
        if not len(places):
            return None
        rows = take_rows(self.ngrams, self.scales, places)
        return np.add.reduce(rows, axis=0, dtype=np.float32) / np.float32(len(rows))


def mean_of_parts(rows: Floats2d, counts: NDArray[np.int64]) -> Floats2d:
    """Compute the means of consecutive rows.

    :param rows: ``(n_parts, width)`` float32: those of the first word, then those of the next.
    :param counts: ``(n,)`` how many each word has.
    :return: ``(n, width)`` float32; zero where a word has none.
    """
    means = np.zeros((len(counts), rows.shape[1]), np.float32)
    some = np.flatnonzero(counts)
    if some.size:
        begins = (np.cumsum(counts) - counts)[some]
        means[some] = np.add.reduceat(rows, begins, axis=0) / counts[some, None].astype(np.float32)
    return means
