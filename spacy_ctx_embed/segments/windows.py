"""Overlapping windows over a sequence that is longer than the model's limit. Plain integers: no tokenizer, no Doc."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import List, Sequence, Tuple


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


def cut_at(length: int, places: Sequence[int], window: int, overlap: int = 0) -> List[Tuple[int, int]]:
    """Cut a sequence into windows that begin and end at given places, where sentences do.

    What stands between two places is whole in every window that has a part of it, unless it is longer than a window:
    that is cut as :func:`cut_windows` would. Neighbours share at least ``2 * overlap`` positions, as far as what
    stands between two places leaves room for it.

    :param length: positions in the sequence.
    :param places: where a window may begin, rising.
    :param window: positions per window.
    :param overlap: positions of context on each side.
    :return: half-open ranges, in order.
    :raises ValueError: if a window is nothing but overlap.
    """
    if length <= window or window <= 2 * overlap:
        return cut_windows(length, window, overlap)
    cuts = sorted({0, length, *(place for place in places if 0 < place < length)})
    windows: List[Tuple[int, int]] = []
    start = 0
    while True:
        end = cuts[bisect_right(cuts, start + window) - 1]
        if end <= start or (windows and end <= windows[-1][1]):  # longer than a window
            end = min(start + window, length)
        windows.append((start, end))
        if end == length:
            return windows
        start = _next_start(cuts, start, end, window, 2 * overlap)


def _next_start(cuts: Sequence[int], start: int, end: int, window: int, shared: int) -> int:
    # A place up to the end, so that the window that begins there has new positions.
    before = cuts[max(bisect_right(cuts, end - shared) - 1, 0)]
    last, behind = cuts[bisect_right(cuts, end) - 1], cuts[bisect_right(cuts, end)]
    if last < end and last <= end - shared:  # within what is longer than a window
        return end - shared
    next_fits = last == end and behind - end <= window
    earliest = max(behind - window, start + 1) if next_fits else start + 1
    return before if before >= earliest else cuts[bisect_left(cuts, earliest)]
