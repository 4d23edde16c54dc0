"""From which window a piece's row comes: the one in which its token has most context.

Enters: windows over pieces and the pieces of each token. Leaves: a window number per pair of piece and token.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d, PieceMap


def choose_windows(pairs: PieceMap, windows: Sequence[Tuple[int, int]]) -> Ints1d:
    """Choose a window for each pair.

    A token is read from the window that holds all its pieces with most pieces of context on its poorer side; the
    ends of the text are no lack of context. Only a token with more pieces than a window can hold is read from
    several: each of its pieces from the window in which that piece has most context.

    :param pairs: pieces of each token.
    :param windows: half-open ranges over pieces that cover the text, in order.
    :return: ``(n_pairs,)`` window numbers.
    """
    if len(windows) == 1:
        return np.zeros(len(pairs.pieces), dtype=np.int64)
    starts = np.array([start for start, _ in windows])
    ends = np.array([end for _, end in windows])
    n_pieces = int(ends[-1])
    tokens, first_pair = np.unique(pairs.tokens, return_index=True)
    lows = np.minimum.reduceat(pairs.pieces, first_pair)
    highs = np.maximum.reduceat(pairs.pieces, first_pair) + 1
    of_token = _best(lows, highs, starts, ends, n_pieces)
    chosen = np.repeat(of_token, np.diff(np.append(first_pair, len(pairs.tokens))))
    too_long = chosen < 0
    if too_long.any():
        alone = pairs.pieces[too_long]
        chosen[too_long] = _best(alone, alone + 1, starts, ends, n_pieces)
    return chosen


def _best(lows: Ints1d, highs: Ints1d, starts: Ints1d, ends: Ints1d, n_pieces: int) -> Ints1d:
    # The best window for each range of pieces, -1 where none holds it. Ranges need not be in order.
    best = np.full(len(lows), -1, dtype=np.int64)
    score = np.full(len(lows), -1, dtype=np.int64)
    # Windows that hold a range are neighbours: the last that starts at or before it, and those before that one.
    last = np.searchsorted(starts, lows, side="right") - 1
    steps = int((last - np.searchsorted(ends, highs, side="left")).max(initial=0)) + 1
    for step in range(steps):
        window = np.maximum(last - step, 0)
        left = np.where(starts[window] == 0, n_pieces, lows - starts[window])
        right = np.where(ends[window] == n_pieces, n_pieces, ends[window] - highs)
        context = np.where(ends[window] >= highs, np.minimum(left, right), -1)
        better = context > score
        best[better], score[better] = window[better], context[better]
    return best
