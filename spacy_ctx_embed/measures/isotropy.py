"""How evenly vectors fill their space, from sums that stream: no vector is kept.

Enters: rows, in any batches. Leaves: the mean cosine of two rows, which dimensions it comes from, and IsoScore.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np


def mean_cosine(total: np.ndarray, n: int) -> Optional[float]:
    """Give the mean cosine of two different rows, over all pairs.

    As (u_1 + ... + u_n)^2 has each pair twice and each row once, it is (|sum|^2 - n) / (n (n - 1)).

    :param total: ``(width,)`` sum of the rows, each scaled to length 1.
    :param n: how many there are.
    :return: the mean; ``None`` of fewer than two rows.
    """
    return float((total @ total - n) / (n * (n - 1))) if n > 1 else None


class Moments:
    """Sums over rows.

    :param width: of a row.
    """

    def __init__(self, width: int) -> None:
        self.n = 0
        self._origin: Optional[np.ndarray] = None
        self._sum, self._second = np.zeros(width), np.zeros((width, width))
        self._unit_sum, self._unit_squares = np.zeros(width), np.zeros(width)

    def add(self, rows: np.ndarray, unit: np.ndarray) -> None:
        """Take rows in.

        Products are of float32 around the mean of the first rows, which a covariance does not change with: so one
        large dimension costs the small ones no digits. Sums of them are float64.

        :param rows: ``(n, width)``.
        :param unit: the same, each scaled to length 1.
        """
        if not len(rows):
            return
        if self._origin is None:
            self._origin = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        near = np.asarray(rows, dtype=np.float32) - self._origin
        self.n += len(rows)
        self._sum += near.sum(axis=0, dtype=np.float64)
        self._second += near.T @ near
        self._unit_sum += unit.sum(axis=0, dtype=np.float64)
        self._unit_squares += np.einsum("ij,ij->j", unit, unit)

    def mean_cosine(self) -> Optional[float]:
        """Give the mean cosine of two different rows: 0 where directions are even, the anisotropy of Ethayarajh 2019.

        :return: over all pairs; ``None`` of fewer than two rows.
        """
        return mean_cosine(self._unit_sum, self.n)

    def dominant_shares(self, numbers: Sequence[int]) -> List[Optional[float]]:
        """Give the share of the mean cosine that comes from the dimensions with most of it.

        Timkey and van Schijndel 2021 (arXiv:2109.04404), equation 3: the cosine is a sum over dimensions, so that its
        mean is too.

        :param numbers: of dimensions.
        :return: a share for each number; ``None`` where the mean cosine is not above 0.
        """
        mean = self.mean_cosine()
        if mean is None or mean <= 0:
            return [None for _ in numbers]
        parts = np.sort((self._unit_sum**2 - self._unit_squares) / (self.n * (self.n - 1)))[::-1]
        return [float(parts[:number].sum() / mean) for number in numbers]

    def covariance(self) -> np.ndarray:
        """Give the covariance of the rows.

        :return: ``(width, width)``.
        """
        mean = self._sum / max(self.n, 1)
        return np.asarray(self._second / max(self.n, 1) - np.outer(mean, mean))

    def iso_score(self) -> Optional[float]:
        """Give IsoScore: 1 where all directions vary alike, 0 where only one does.

        :return: the score; ``None`` of fewer than two rows, or where nothing varies.
        """
        return iso_score(np.linalg.eigvalsh(self.covariance())) if self.n > 1 else None


def iso_score(variances: np.ndarray) -> Optional[float]:
    """Compute IsoScore of Rudman et al. 2022 (arXiv:2108.07344), algorithm 1, from step 3 on.

    :param variances: ``(n,)`` of the principal directions.
    :return: the score; ``None`` where all are 0, or there is one.
    """
    n, length = len(variances), float(np.linalg.norm(variances))
    if n < 2 or length <= 1e-12:
        return None
    scaled = np.sqrt(n) * np.asarray(variances) / length
    defect = float(np.linalg.norm(scaled - 1)) / np.sqrt(2 * (n - np.sqrt(n)))
    share = (n - defect**2 * (n - np.sqrt(n))) ** 2 / n**2
    return float((n * share - 1) / (n - 1))


def first_direction(rows: np.ndarray) -> Optional[float]:
    """Give the share of the squared length of rows that lies in one direction, the best one; not centred.

    Maximum explainable variance, Ethayarajh 2019 (arXiv:1909.00512), equation 3.

    :param rows: ``(n, width)``.
    :return: the share; ``None`` without rows, or of zeros.
    """
    exact = np.asarray(rows, dtype=np.float64)
    gram = exact @ exact.T if len(exact) <= exact.shape[-1] else exact.T @ exact  # of the same squares, the smaller one
    total = float(np.trace(gram)) if len(exact) else 0.0
    return float(np.linalg.eigvalsh(gram)[-1] / total) if total > 0 else None
