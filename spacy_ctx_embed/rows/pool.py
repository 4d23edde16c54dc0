"""A group of rows to one row: word pieces to a token, tokens to a Span or Doc.

Enters: rows and which of them belong together. Leaves: one row per group. Torch for pieces (it carries gradients),
NumPy for tokens (their rows are on the CPU).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import numpy as np

from spacy_ctx_embed.data import Floats2d, Ints1d

if TYPE_CHECKING:
    import torch

SUBWORD_POOLINGS = ("mean", "first", "last", "max", "sum")
ROW_POOLINGS = ("mean", "max", "sum", "first")
OWN_POOLINGS = ("cls", "model")  # by which a whole text has a vector that does not come from its rows
DOC_POOLINGS = (*ROW_POOLINGS, "sif", *OWN_POOLINGS)


def pool_pieces(pieces: torch.Tensor, tokens: torch.Tensor, n_tokens: int, pooling: str) -> torch.Tensor:
    """Pool the pieces of each token.

    :param pieces: ``(n_layers, n_pairs, width)``, the piece of each pair of a :class:`PieceMap`.
    :param tokens: ``(n_pairs,)`` int64 token of each pair, not decreasing, every token from 0 to n_tokens - 1 at
        least once; on the same device.
    :param n_tokens: number of tokens.
    :param pooling: one of ``SUBWORD_POOLINGS``.
    :return: ``(n_layers, n_tokens, width)``.
    """
    import torch

    n_layers, n_pairs, width = pieces.shape
    if n_pairs == n_tokens:  # one piece each: every pooling is the piece itself
        return pieces
    counts = torch.bincount(tokens, minlength=n_tokens)
    if pooling in ("first", "last"):
        ends = counts.cumsum(0)
        return pieces[:, ends - counts if pooling == "first" else ends - 1]
    pooled = pieces.new_zeros((n_layers, n_tokens, width))
    if pooling == "max":
        index = tokens[None, :, None].expand(n_layers, n_pairs, width)
        return pooled.scatter_reduce(1, index, pieces, reduce="amax", include_self=False)
    pooled = pooled.index_add(1, tokens, pieces)
    return pooled / counts[:, None] if pooling == "mean" else pooled


class PooledPieces:
    """Pools pieces that come in parts: of one pass each, where a token has more pieces than a pass may hold.

    :param tokens: ``(n_pairs,)`` token of each pair of piece and token, not decreasing, every token at least once.
    :param n_tokens: number of tokens.
    :param pooling: one of ``SUBWORD_POOLINGS``.
    """

    def __init__(self, tokens: Ints1d, n_tokens: int, pooling: str) -> None:
        self._tokens, self._n_tokens, self._pooling = tokens, n_tokens, pooling
        self._counts = np.bincount(tokens, minlength=n_tokens)
        ends = self._counts.cumsum()
        self._rows: Optional[torch.Tensor] = None
        self._in_parts = True
        self.wanted: Ints1d = np.arange(len(tokens))
        if pooling in ("first", "last"):  # of each token one pair, whose piece is its row
            self.wanted = ends - self._counts if pooling == "first" else ends - 1

    def add(self, pieces: torch.Tensor, pairs: Ints1d) -> None:
        """Take a part.

        :param pieces: ``(n_layers, n, width)``, the pieces of some of the pairs ``wanted``.
        :param pairs: ``(n,)`` which pairs, increasing; each pair of ``wanted`` is in one part.
        """
        import torch

        tokens = torch.from_numpy(self._tokens[pairs]).to(pieces.device)
        if len(pairs) == len(self.wanted):
            self._rows = pool_pieces(pieces, tokens, self._n_tokens, self._pooling)
            self._in_parts = False
            return
        n_layers, n_pieces, width = pieces.shape
        if self._rows is None:
            start = float("-inf") if self._pooling == "max" else 0.0
            self._rows = pieces.new_full((n_layers, self._n_tokens, width), start)
        if self._pooling == "max":
            index = tokens[None, :, None].expand(n_layers, n_pieces, width)
            self._rows = self._rows.scatter_reduce(1, index, pieces, reduce="amax")
        else:
            self._rows = self._rows.index_add(1, tokens, pieces)

    def rows(self) -> torch.Tensor:
        """Give what all parts make.

        :return: ``(n_layers, n_tokens, width)``.
        """
        import torch

        assert self._rows is not None
        if self._pooling != "mean" or not self._in_parts:
            return self._rows
        return self._rows / torch.from_numpy(self._counts).to(self._rows.device)[:, None]


def pool_tokens(rows: Floats2d, pooling: str) -> np.ndarray:
    """Pool the rows of the tokens that have a vector.

    :param rows: ``(n_tokens, width)``; n_tokens may be 0.
    :param pooling: one of ``ROW_POOLINGS``.
    :return: ``(width,)`` of the dtype of ``rows``, summed in float32; zeros if there are no rows.
    """
    if len(rows) == 0:
        return np.zeros(rows.shape[1], dtype=rows.dtype)
    if pooling == "first":
        return rows[0]
    if pooling == "max":
        return np.asarray(rows.max(axis=0))
    total = rows.sum(axis=0, dtype=np.float32)
    return (total / len(rows) if pooling == "mean" else total).astype(rows.dtype)
