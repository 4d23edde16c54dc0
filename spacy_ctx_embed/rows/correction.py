"""Post-hoc isotropy: what the rows of a corpus share is found once, and taken out of each row from then on.

Enters: rows, in any batches; none is kept. Leaves: a :class:`Correction`, which maps rows to rows of the same width.
With the mean m, the variances s^2 of the columns and the covariance C = U diag(v) U^T of the rows x that were seen
(divided by their number), all in float64:

- "center": x - m.
- "standardize": (x - m) / s, Timkey and van Schijndel 2021 (arXiv:2109.04404).
- "abtt": x - m without its parts along the D directions of most variance, Mu and Viswanath 2018 (arXiv:1702.01417),
  algorithm 1, "all but the top", with D = width // 100 as they advise, at least 1. The parts taken out are those of
  x - m, so that the mean stays 0.
- "whiten": U diag(v)^-1/2 U^T (x - m), Su et al. 2021 (arXiv:2103.15316), with one rotation more than their
  U diag(v)^-1/2, which changes no cosine: so the matrix is the only symmetric one, whatever the signs in U.

A column, or direction, in which the rows that were seen do not vary is only centred by "standardize", and is left out
by "whiten", which could but blow up rounding errors there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d

KINDS = ("center", "standardize", "abtt", "whiten")
_SAME = 1e-10  # share of the largest variance, up to which a direction has none
_ROUNDING = 1e-14  # variance that is but the rounding of float32, as share of the square of a mean
_WITH_COVARIANCE = ("abtt", "whiten")

Exact = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correction:
    """What was fitted.

    :param kind: one of :data:`KINDS`.
    :param n_rows: rows that were seen.
    :param mean: ``(width,)`` float64.
    :param scale: ``(width,)`` float64 that centred rows are divided by; of "standardize".
    :param directions: ``(n_directions, width)`` float64 of length 1, to be taken out; of "abtt".
    :param matrix: ``(width, width)`` float64, symmetric, that centred rows are multiplied by; of "whiten".
    """

    kind: str
    n_rows: int
    mean: Exact
    scale: Optional[Exact] = None
    directions: Optional[Exact] = None
    matrix: Optional[Exact] = None

    @property
    def width(self) -> int:
        """Columns of the rows."""
        return len(self.mean)

    def apply(self, rows: NDArray[Any]) -> Floats2d:
        """Correct rows.

        :param rows: ``(n, width)`` of any float type; they are not changed.
        :return: ``(n, width)`` float32.
        """
        exact = np.asarray(rows, dtype=np.float64) - self.mean
        if self.scale is not None:
            exact /= self.scale
        if self.directions is not None:
            exact -= (exact @ self.directions.T) @ self.directions
        if self.matrix is not None:
            exact = exact @ self.matrix
        return exact.astype(np.float32)

    def apply_where(self, rows: NDArray[Any], has_row: NDArray[np.bool_]) -> Floats2d:
        """Correct the rows of some tokens; the others stay as they are.

        :param rows: ``(n_tokens, width)``.
        :param has_row: ``(n_tokens,)`` which to correct: a row of zeros that stands for none must stay one.
        :return: ``(n_tokens, width)`` float32, new.
        """
        corrected = np.array(rows, dtype=np.float32)
        corrected[has_row] = self.apply(rows[has_row])
        return corrected

    def state(self) -> Dict[str, Any]:
        """Give what is saved.

        :return: plain data and arrays.
        """
        arrays = {"scale": self.scale, "directions": self.directions, "matrix": self.matrix}
        there = {key: array for key, array in arrays.items() if array is not None}
        return {"kind": self.kind, "n_rows": self.n_rows, "mean": self.mean, **there}


class CorrectionFit:
    """Fits a correction to rows that come in batches. How they are cut does not matter, but for rounding.

    :param kind: one of :data:`KINDS`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.n_rows = 0
        self._mean: Exact = np.zeros(0)
        self._spread: Exact = np.zeros(0)  # sum of squares around the mean; with _WITH_COVARIANCE of outer products

    def add(self, rows: NDArray[Any]) -> None:
        """Take rows in.

        The sums around the mean are joined as in Chan, Golub and LeVeque 1983 (The American Statistician 37): no large
        squares are subtracted from each other.

        :param rows: ``(n, width)`` of any float type; n may be 0.
        """
        if len(rows) == 0:
            return
        exact = np.asarray(rows, dtype=np.float64)
        n, mean = len(exact), exact.mean(axis=0)
        around = exact - mean
        square = self.kind in _WITH_COVARIANCE
        spread = around.T @ around if square else (around**2).sum(axis=0)
        if self.n_rows:
            step = mean - self._mean
            share = n * self.n_rows / (n + self.n_rows)
            spread += self._spread + share * (np.outer(step, step) if square else step**2)
            mean = self._mean + step * (n / (n + self.n_rows))
        self.n_rows += n
        self._mean, self._spread = mean, spread

    def find(self) -> Correction:
        """Give the correction of the rows so far, at least one.

        :return: the correction.
        """
        assert self.n_rows
        found = _FINDERS[self.kind](self._spread / self.n_rows, self._mean)
        return Correction(self.kind, self.n_rows, self._mean, **found)


def _center(variances: Exact, mean: Exact) -> Dict[str, Exact]:
    return {}


def _standardize(variances: Exact, mean: Exact) -> Dict[str, Exact]:
    return {"scale": np.sqrt(np.where(variances > _ROUNDING * mean**2, variances, 1.0))}


def _abtt(covariance: Exact, mean: Exact) -> Dict[str, Exact]:
    variances, directions = np.linalg.eigh(covariance)
    top = np.argsort(-variances)[: max(1, len(variances) // 100)]
    return {"directions": np.ascontiguousarray(directions.T[top][variances[top] > _floor(variances, mean)])}


def _whiten(covariance: Exact, mean: Exact) -> Dict[str, Exact]:
    variances, directions = np.linalg.eigh(covariance)
    kept = variances > _floor(variances, mean)
    halves = directions[:, kept] / variances[kept] ** 0.25  # U diag(v)^-1/4, so that the product is symmetric
    return {"matrix": halves @ halves.T}


def _floor(variances: Exact, mean: Exact) -> float:
    # Up to this variance a direction has none.
    return float(max(_SAME * variances.max(initial=0), _ROUNDING * (mean @ mean)))


_FINDERS = {"center": _center, "standardize": _standardize, "abtt": _abtt, "whiten": _whiten}
