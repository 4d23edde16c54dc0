"""Rows of numbers as a table holds them: float32, or smaller and mapped from a file.

``values`` is ``(n_rows, width)`` float32, float16 or int8; of int8, ``scales`` has a float32 factor per row.
"""

from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d

DTYPES = ("float32", "float16", "int8")
_BLOCK = 16384  # rows made float32 at a time
_MOST = 127  # of int8, used on both sides of 0
_LEAST = np.finfo(np.float32).tiny  # a factor below it has so few digits that a quotient may be beyond 127, or infinite

Factors1d = NDArray[np.float32]


def take_rows(values: NDArray[Any], scales: Optional[Factors1d], places: NDArray[Any]) -> Floats2d:
    """Copy some rows.

    :param values: the rows.
    :param scales: their factors, for int8.
    :param places: ``(n,)`` row numbers; one that is out of range gives the first or last row.
    :return: ``(n, width)`` float32.
    """
    found = values.take(places, axis=0, mode="clip")
    if found.dtype != np.float32:
        found = found.astype(np.float32)
    if scales is not None:
        found *= scales.take(places, mode="clip")[:, None]
    return found


def blocks(values: NDArray[Any], scales: Optional[Factors1d]) -> Iterator[Tuple[int, Floats2d]]:
    """Go through all rows, so many at a time that memory stays small.

    :param values: the rows.
    :param scales: their factors, for int8.
    :yields: the number of the first row, and ``(n, width)`` float32.
    """
    for start in range(0, len(values), _BLOCK):
        block = np.asarray(values[start : start + _BLOCK], dtype=np.float32)
        if scales is not None:
            block = block * scales[start : start + _BLOCK, None]
        yield start, block


def round_rows(values: NDArray[Any], scales: Optional[Factors1d], dtype: str) -> Tuple[NDArray[Any], Any]:
    """Write rows in another type: int8 by the largest number of each row, to the nearest of 255 steps.

    :param values: the rows.
    :param scales: their factors, for int8.
    :param dtype: one of :data:`DTYPES`.
    :return: rows of that type, and their factors or ``None``. Numbers beyond float16 become its largest.
    """
    rounded = np.empty(values.shape, dtype)
    factors = np.ones(len(values), np.float32) if dtype == "int8" else None
    for start, block in blocks(values, scales):
        part = slice(start, start + len(block))
        if factors is not None:
            largest = np.abs(block).max(axis=1, initial=0)
            factors[part] = np.where(largest > 0, np.maximum(largest / _MOST, _LEAST), 1)
            block = np.rint(block / factors[part, None])
        elif dtype == "float16":
            most = np.finfo(np.float16).max
            block = block.clip(-most, most)
        rounded[part] = block
    return rounded, factors
