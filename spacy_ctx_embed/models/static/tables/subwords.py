"""fastText's character n-grams: a row for a word that is not in the table (Bojanowski et al. 2017, section 3.2)."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.models.static.tables.numbers import Factors1d, take_rows


class SubWords:
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
        self.ngrams = ngrams
        self.min_n = min_n
        self.max_n = max_n
        self.scales = scales
        self.buckets = buckets
        self.n_buckets = len(ngrams) if n_buckets is None else n_buckets

    def with_rows(self, ngrams: NDArray[Any], scales: Optional[Factors1d]) -> SubWords:
        """Give the same n-grams other rows.

        :param ngrams: ``(n_rows, width)`` rows.
        :param scales: factors of int8 rows.
        :return: the n-grams.
        """
        return SubWords(ngrams, self.min_n, self.max_n, scales=scales, buckets=self.buckets, n_buckets=self.n_buckets)

    def row(self, word: str) -> Optional[NDArray[np.float32]]:
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
