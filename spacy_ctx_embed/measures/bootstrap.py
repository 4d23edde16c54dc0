"""Bootstrap over Docs in a stream: what a measure would be of other Docs of the same kind.

Enters: sums over the rows of parts of Docs, with the number of the Doc. Leaves: for each replicate the mean cosine, the
share of the dominant dimensions and the mean cosine with the sentence. What is kept does not grow with the Docs.

A sample of n of n Docs with replacement has each of them a binomial number of times, which for many Docs is
Poisson(1). So each Doc is given a weight from Poisson(1) for each replicate as it passes by, and none is kept (the
bootstrap is that of Efron and Tibshirani 1993, chapter 6; the Poisson weights are those of Oza and Russell 2001).
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

N_REPLICATES = 200


class Weights:
    """Draws the weights of Docs, the same however the stream is cut.

    :param seed: of the draw.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 1])

    def next(self, n_docs: int) -> np.ndarray:
        """Draw the weights of the Docs that come next.

        :param n_docs: how many.
        :return: ``(n_docs, N_REPLICATES)`` whole numbers as float32.
        """
        return self._random.poisson(1, (n_docs, N_REPLICATES)).astype(np.float32)


class Replicates:
    """Weighted sums of one layer, replicate by replicate.

    :param width: of a row.
    """

    def __init__(self, width: int) -> None:
        self._sum, self._squares = np.zeros((N_REPLICATES, width)), np.zeros((N_REPLICATES, width))
        self._n, self._n_twice = np.zeros(N_REPLICATES), np.zeros(N_REPLICATES)
        self._sentences, self._n_sentences = np.zeros(N_REPLICATES), np.zeros(N_REPLICATES)

    def add(
        self,
        weights: np.ndarray,
        counts: np.ndarray,
        unit_sums: np.ndarray,
        unit_squares: np.ndarray,
        alike: np.ndarray,
    ) -> None:
        """Take sentences in.

        :param weights: ``(n_sentences, N_REPLICATES)`` weights of the Docs that they are in.
        :param counts: ``(n_sentences,)`` rows of each.
        :param unit_sums: ``(n_sentences, width)`` sums of their rows, each scaled to length 1.
        :param unit_squares: ``(n_sentences, width)`` sums of the squares of these, dimension by dimension.
        :param alike: ``(n_sentences,)`` mean cosine of the rows of each with the mean of it.
        """
        twice = weights**2
        self._sum += weights.T @ unit_sums
        self._squares += twice.T @ unit_squares
        self._n += counts @ weights
        self._n_twice += counts @ twice
        self._sentences += alike @ weights
        self._n_sentences += weights.sum(axis=0)

    def mean_cosines(self) -> np.ndarray:
        """Give the mean cosine of two different rows; a pair counts as often as both were drawn.

        :return: ``(N_REPLICATES,)``; not a number where a replicate has no pair.
        """
        return np.asarray(self._parts().sum(axis=1))

    def dominant_shares(self, numbers: Sequence[int]) -> List[np.ndarray]:
        """Give the share of the mean cosine that comes from the dimensions with most of it.

        :param numbers: of dimensions.
        :return: ``(N_REPLICATES,)`` for each number; not a number where the mean cosine is not above 0.
        """
        parts = np.sort(self._parts(), axis=1)[:, ::-1]
        mean = parts.sum(axis=1)
        mean = np.where(mean > 0, mean, np.nan)
        return [np.asarray(parts[:, :number].sum(axis=1) / mean) for number in numbers]

    def intra_sentence(self) -> np.ndarray:
        """Give the mean over sentences of the cosine of a row with its sentence.

        :return: ``(N_REPLICATES,)``; not a number where a replicate has no sentence.
        """
        return np.asarray(self._sentences / np.where(self._n_sentences > 0, self._n_sentences, np.nan))

    def _parts(self) -> np.ndarray:
        # The mean cosine, dimension by dimension; a row's pairs with itself are left out.
        pairs = self._n**2 - self._n_twice
        return np.asarray((self._sum**2 - self._squares) / np.where(pairs > 0, pairs, np.nan)[:, None])


def means_of_draws(values: Sequence[float], seed: int) -> np.ndarray:
    """Draw as many values as there are, with replacement, and take the mean; many times.

    :param values: n numbers, such as one for each word.
    :param seed: of the draws.
    :return: ``(N_REPLICATES,)`` means; not numbers of no values.
    """
    if not len(values):
        return np.full(N_REPLICATES, np.nan)
    random, known = np.random.default_rng([seed, 2]), np.asarray(values, dtype=np.float64)
    draws: List[float] = [known[random.integers(0, len(known), len(known))].mean() for _ in range(N_REPLICATES)]
    return np.array(draws)


def interval_of(values: np.ndarray) -> Tuple[float, float] | None:
    """Give the middle 95 % of replicates.

    :param values: numbers, those that are none left out.
    :return: 2.5th and 97.5th percentile; ``None`` of fewer than half of the replicates.
    """
    known = values[~np.isnan(values)]
    if len(known) < N_REPLICATES / 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
