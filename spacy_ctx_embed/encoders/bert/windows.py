"""Inputs of a segment of a transformer: windows of word pieces, and where in them the pieces of each token are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

from spacy_ctx_embed.data import Ints1d


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
