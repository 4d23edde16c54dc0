"""Inputs of a segment of a transformer: windows of word pieces, and where in them the pieces of each token are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d, PieceMap


@dataclass(frozen=True)
class Windows:
    """Inputs of a segment.

    :param pieces: piece ids of each window, special pieces not included.
    :param starts: ``(n_windows,)`` which piece of the text is the first of each window.
    :param window: ``(n_pairs,)`` of each pair of piece and token the window to read it from.
    :param position: ``(n_pairs,)`` its place there, special pieces included.
    :param token: ``(n_pairs,)`` index into ``Segment.tokens``, not decreasing.
    """

    pieces: List[Ints1d]
    starts: Ints1d
    window: Ints1d
    position: Ints1d
    token: Ints1d


def window_groups(pairs: PieceMap, chosen: Ints1d) -> List[Tuple[int, int]]:
    """Find windows that must be run together: one, or more where one token has pieces in several.

    :param pairs: pieces of each token.
    :param chosen: ``(n_pairs,)`` the window of each pair.
    :return: half-open ranges of window numbers, in order.
    """
    used = np.unique(chosen)
    splits = np.flatnonzero((pairs.tokens[1:] == pairs.tokens[:-1]) & (chosen[1:] != chosen[:-1]))
    ranges = [(int(w), int(w) + 1) for w in used]
    for pair in splits:
        low, high = sorted((int(chosen[pair]), int(chosen[pair + 1])))
        touched = [r for r in ranges if r[0] <= high and r[1] > low]
        ranges = [r for r in ranges if r not in touched]
        ranges.append((min(low, *(r[0] for r in touched)), max(high + 1, *(r[1] for r in touched))))
    return sorted(ranges)
