"""Similarity of word pairs against what people said: Spearman's rank correlation with cosine.

Enters: pairs with human scores, and rows. Leaves: the correlation, a bootstrap interval, and how many pairs had rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple, Union

import numpy as np

_LEAST = 3  # pairs, below which a correlation says nothing
N_SAMPLES = 1000


@dataclass(frozen=True)
class Pair:
    """Two words and how alike people found them.

    :param left: a word.
    :param right: a word.
    :param score: the human score.
    """

    left: str
    right: str
    score: float


def read_pairs(file: Path) -> List[Pair]:
    """Read pairs of words.

    :param file: UTF-8 text with two words and a score a line, tabs between; blank lines and those with ``#`` are none.
    :return: the pairs.
    """
    lines = file.read_text(encoding="utf8").splitlines()
    fields = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    return [Pair(left.strip(), right.strip(), float(score)) for left, right, score in fields]


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank numbers.

    :param values: ``(n,)`` numbers.
    :return: ``(n,)`` float64 ranks from 1 on; equal numbers share the mean of theirs.
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which])


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Correlate ranks: Pearson's correlation of the ranks, ties averaged.

    :param left: ``(n,)`` numbers.
    :param right: ``(n,)`` numbers.
    :return: rho; not a number for fewer than three pairs, or where all numbers of a side are equal.
    """
    if len(left) < _LEAST:
        return float("nan")
    a, b = (ranks(side) - (len(side) + 1) / 2 for side in (left, right))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def spearman_interval(left: np.ndarray, right: np.ndarray, *, seed: int) -> Tuple[float, float]:
    """Bootstrap over pairs: 95 % of the correlations of samples of this size, drawn with replacement.

    :param left: ``(n,)`` numbers.
    :param right: ``(n,)`` numbers.
    :param seed: of the samples.
    :return: 2.5th and 97.5th percentile; not numbers where the correlation is none.
    """
    random, n = np.random.default_rng(seed), len(left)
    if n < _LEAST:
        return float("nan"), float("nan")
    samples = random.integers(0, n, (N_SAMPLES, n))
    return interval([spearman(left[sample], right[sample]) for sample in samples])


def interval(values: Union[Sequence[float], np.ndarray]) -> Tuple[float, float]:
    """Give the middle 95 % of samples.

    :param values: numbers; those that are none are left out.
    :return: 2.5th and 97.5th percentile.
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        return float("nan"), float("nan")
    low, high = np.percentile(numbers, [2.5, 97.5])
    return float(low), float(high)
