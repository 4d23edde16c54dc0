"""Overlapping windows over a sequence that is longer than the model's limit. Plain integers: no tokenizer, no Doc."""

from __future__ import annotations

from typing import List, Tuple


def cut_windows(length: int, window: int, overlap: int = 0) -> List[Tuple[int, int]]:
    """Cut a sequence into windows that cover it, neighbours sharing ``2 * overlap`` positions.

    So a position can always be read from a window in which it has ``overlap`` neighbours on each side, except at the
    ends of the sequence. The last window is as short as that lets it be: a full one would read again what others read.

    :param length: positions (word pieces or tokens) in the sequence.
    :param window: positions per window.
    :param overlap: positions of context on each side.
    :return: half-open ranges, in order; none for an empty sequence.
    :raises ValueError: if a window is nothing but overlap.
    """
    stride = window - 2 * overlap
    if stride < 1:
        raise ValueError(f"a window of {window} with {overlap} of overlap on each side never moves on")
    if length <= window:
        return [(0, length)] if length else []
    starts = range(0, length - window + stride, stride)
    return [(start, min(start + window, length)) for start in starts]
