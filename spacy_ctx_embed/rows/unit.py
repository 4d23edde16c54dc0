"""Rows of length 1, whose products are cosines, and cosines of rows with rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Scale rows to length 1.

    :param rows: ``(n, width)`` numbers whose squares float64 can hold, as those of float32 are.
    :return: ``(n, width)``; a row of zeros stays one.
    """
    exact = np.asarray(rows, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)


def cosines(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Compare each row with the row at the same place.

    :param left: ``(n, width)``.
    :param right: ``(n, width)``.
    :return: ``(n,)`` cosines, 0 where a row is zero.
    """
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    dots = np.einsum("ij,ij->i", left, right)
    return np.asarray(np.where(lengths > 0, dots / np.where(lengths > 0, lengths, 1), 0))
