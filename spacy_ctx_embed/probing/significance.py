"""Whether two systems differ by more than the choice of documents explains.

Approximate randomisation (Noreen 1989, Computer-Intensive Methods for Testing Hypotheses; for F scores Yeh 2000, "More
accurate tests for the statistical significance of result differences", COLING, section 3): were the systems equally
good, then exchanging their answers to any documents would change nothing. The share of random exchanges that give a
difference as large as the one observed is the p-value. Pure NumPy.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 9999
_BLOCK = 4_000_000  # exchanges drawn at a time: rounds times documents


def f_score(counts: np.ndarray) -> np.ndarray:
    """F1 of each class, averaged over classes; 0 for a class without any true positive, as spaCy counts it.

    :param counts: ``(..., n_classes, 3)`` true positives, false positives and false negatives, summed over documents.
    :return: ``(...)`` scores from 0 to 1.
    """
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    return np.mean(2 * tp / np.maximum(2 * tp + fp + fn, 1), axis=-1)  # (..., n_classes) -> (...)


def randomisation_test(left: np.ndarray, right: np.ndarray, *, rounds: int = ROUNDS, seed: int = 0) -> float:
    """Two-sided p-value of the difference of two F scores on the same documents.

    A document is exchanged as a whole: where several runs were pooled, with the counts of all of them, as runs are no
    new documents. What chance there is in the training itself is not tested.

    :param left: ``(n_docs, n_classes, 3)`` counts of one system.
    :param right: counts of the other, of the same shape.
    :param rounds: how many random exchanges.
    :param seed: of the random exchanges.
    :return: from ``1 / (rounds + 1)`` to 1; the observed arrangement counts as one of them.
    """
    n_docs = len(left)
    left, right = left.astype(np.float64), right.astype(np.float64)
    total_left, total_right = left.sum(axis=0), right.sum(axis=0)  # (n_classes, 3)
    change = (right - left).reshape(n_docs, -1)  # (n_docs, n_classes * 3)
    observed = abs(float(f_score(total_left) - f_score(total_right)))
    draw = np.random.default_rng(seed)
    per_block = max(1, _BLOCK // max(n_docs, 1))
    n_as_large, done = 0, 0
    while done < rounds:
        n = min(per_block, rounds - done)
        exchanged = draw.integers(0, 2, size=(n, n_docs)).astype(np.float64)
        moved = (exchanged @ change).reshape(n, *total_left.shape)  # (n, n_classes, 3)
        differences = np.abs(f_score(total_left + moved) - f_score(total_right - moved))
        n_as_large += int((differences >= observed - 1e-12).sum())  # sums of other orders differ in the last digits
        done += n
    return (n_as_large + 1) / (rounds + 1)
