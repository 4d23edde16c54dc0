"""Smooth inverse frequency: a mean of rows in which frequent words weigh little, without what all texts share.

Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", algorithm 1: with p(w) the
share of the word w in a corpus and a = 0.001,

    v = 1/|s| * sum over w in s of a / (a + p(w)) * row(w),    v <- v - u (u . v)

where u is the first singular vector of the matrix of the vectors v of the corpus, which is not centred. Words are
compared lower-cased; one that the corpus does not have weighs 1. Tokens without a vector do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d

A = 1e-3


@dataclass(frozen=True, eq=False)
class Frequencies:
    """How often words are in a corpus.

    :param words: ``(n_words,)`` uint64 string ids, increasing.
    :param counts: ``(n_words,)`` int64.
    """

    words: NDArray[np.uint64]
    counts: NDArray[np.int64]

    def weights(self, words: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Weigh the words of a text.

        :param words: ``(n_tokens,)`` string ids.
        :return: ``(n_tokens,)`` a / (a + p(w)).
        """
        place = np.minimum(np.searchsorted(self.words, words), len(self.words) - 1)
        share = np.where(self.words[place] == words, self.counts[place] / self.counts.sum(), 0.0)
        return (A / (A + share)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Sif:
    """What is fitted.

    :param frequencies: of the words.
    :param common: ``(width,)`` u, of length 1.
    """

    frequencies: Frequencies
    common: NDArray[np.float32]


class CommonDirection:
    """Finds u, from vectors that come one by one."""

    def __init__(self) -> None:
        self._squares: Optional[np.ndarray] = None  # (width, width), the sum of outer products
        self.n_vectors = 0

    def add(self, vector: np.ndarray) -> None:
        """Take the vector of a text.

        :param vector: ``(width,)``.
        """
        wide = vector.astype(np.float64)
        if self._squares is None:
            self._squares = np.zeros((len(wide), len(wide)))
        self._squares += np.outer(wide, wide)
        self.n_vectors += 1

    def find(self) -> NDArray[np.float32]:
        """Give the first singular vector of all.

        :return: ``(width,)`` of length 1.
        """
        assert self._squares is not None
        return np.asarray(np.linalg.eigh(self._squares)[1][:, -1], dtype=np.float32)  # eigenvalues increase


def sif_vector(rows: Floats2d, weights: NDArray[np.float32], common: Optional[NDArray[np.float32]]) -> np.ndarray:
    """Pool the rows of the tokens that have a vector.

    :param rows: ``(n_tokens, width)``; n_tokens may be 0.
    :param weights: ``(n_tokens,)`` of :meth:`Frequencies.weights`.
    :param common: ``(width,)`` the direction to take out; ``None`` to leave it in.
    :return: ``(width,)`` of the dtype of ``rows``; zeros if there are no rows.
    """
    if len(rows) == 0:
        return np.zeros(rows.shape[1], dtype=rows.dtype)
    vector = weights @ rows.astype(np.float32) / np.float32(len(rows))
    if common is not None:
        vector = vector - common * (common @ vector)
    return np.asarray(vector, dtype=rows.dtype)
