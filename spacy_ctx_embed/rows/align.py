"""Word pieces to tokens, by character offset: each token gets the pieces that share a character with it.

Enters: character ranges of pieces and of tokens. Leaves: a :class:`PieceMap`. Nothing is matched by text, so
normalisation, lower-casing and unknown pieces can't shift anything.
"""

from __future__ import annotations

import numpy as np

from spacy_ctx_embed.data import Ints1d, PieceMap


def align_pieces(piece_starts: Ints1d, piece_ends: Ints1d, token_starts: Ints1d, token_ends: Ints1d) -> PieceMap:
    """Pair the pieces with the tokens that they share a character with.

    Pieces may be empty (special symbols), leave gaps, repeat a range (the bytes of one character) and cover several
    tokens; tokens do not overlap and are in order.

    :param piece_starts: ``(n_pieces,)`` character offsets, half-open with ``piece_ends``, not decreasing.
    :param piece_ends: ``(n_pieces,)`` character offsets.
    :param token_starts: ``(n_tokens,)`` character offsets, half-open with ``token_ends``.
    :param token_ends: ``(n_tokens,)`` character offsets.
    :return: the pairs.
    """
    first = np.searchsorted(token_ends, piece_starts, side="right")  # first token that ends behind the piece's start
    last = np.searchsorted(token_starts, piece_ends, side="left")  # tokens before this one start before its end
    counts = np.where(piece_ends > piece_starts, np.maximum(last - first, 0), 0)
    pieces = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    tokens = np.repeat(first, counts) + within
    order = np.argsort(tokens, kind="stable")
    return PieceMap(pieces[order].astype(np.int64), tokens[order].astype(np.int64), len(token_starts))


def keep_tokens(pairs: PieceMap, keep: np.ndarray) -> PieceMap:
    """Drop the pairs of some tokens.

    :param pairs: the pairs.
    :param keep: ``(n_tokens,)`` booleans.
    :return: the pairs whose token is kept; tokens keep their numbers.
    """
    chosen = keep[pairs.tokens]
    return PieceMap(pairs.pieces[chosen], pairs.tokens[chosen], pairs.n_tokens)
