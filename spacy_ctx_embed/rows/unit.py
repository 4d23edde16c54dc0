"""Rows of length 1, whose products are cosines."""

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
