"""All pieces of a text to one vector, as sentence-transformers pools them: special pieces count, and so does a prompt.

Enters: hidden states of pieces, which may come in parts. Leaves: the results of all ways of pooling, one after another.
A text of one window is pooled as ``sentence_transformers.models.Pooling`` does it. Of a longer one every piece counts
once, special ones once for each window, and where one piece stands for all ("cls", "lasttoken") it is the mean of the
windows' pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

import numpy as np

from spacy_ctx_embed.data import Floats2d

if TYPE_CHECKING:
    import torch


def mode_weights(modes: Sequence[str], lengths: Sequence[int], n_left_out: int = 0) -> Floats2d:
    """Give what each piece weighs in each way of pooling.

    :param modes: of :data:`~spacy_ctx_embed.data.TEXT_MODES`.
    :param lengths: pieces of each window, special ones included, none 0; a piece is counted in one window.
    :param n_left_out: pieces at the beginning that are not pooled: a prompt, with the special pieces before it. They
        keep their numbers in "weightedmean", where piece i weighs i + 1.
    :return: ``(n_modes, n_pieces)``; for "max" 1 where the piece takes part.
    """
    ends = np.cumsum(lengths)
    numbers = np.arange(ends[-1])
    kept = numbers >= min(n_left_out, ends[-1] - 1)
    found = np.zeros((len(modes), len(numbers)))
    for row, mode in zip(found, modes):
        if mode == "cls":
            first = np.maximum(ends - lengths, np.flatnonzero(kept)[0])
            first = first[first < ends]
            row[first] = 1 / len(first)
        elif mode == "lasttoken":
            row[ends - 1] = 1 / len(ends)
        elif mode == "weightedmean":
            row[:] = kept * (numbers + 1)
            row /= row.sum()
        else:
            row[:] = kept / {"mean": kept.sum(), "mean_sqrt_len_tokens": np.sqrt(kept.sum()), "max": 1}[mode]
    return found.astype(np.float32)


class PooledText:
    """Pools the pieces of one text, which come in parts.

    :param modes: of :data:`~spacy_ctx_embed.data.TEXT_MODES`.
    """

    def __init__(self, modes: Sequence[str]) -> None:
        self._modes = modes
        self._pooled: Optional[torch.Tensor] = None  # (n_layers, n_modes, width)

    def add(self, pieces: torch.Tensor, weights: Floats2d) -> None:
        """Take a part.

        :param pieces: ``(n_layers, n, width)``, n at least 1.
        :param weights: ``(n_modes, n)`` of these pieces, from :func:`mode_weights`.
        """
        import torch

        pooled = torch.matmul(torch.from_numpy(weights).to(pieces), pieces)  # (n_layers, n_modes, width)
        for i, mode in enumerate(self._modes):
            if mode == "max":
                taking_part = torch.from_numpy(weights[i] == 0).to(pieces.device)
                pooled[:, i] = pieces.masked_fill(taking_part[:, None], float("-inf")).amax(1)
        if self._pooled is not None:
            largest = torch.maximum(pooled, self._pooled)
            pooled = pooled + self._pooled
            for i, mode in enumerate(self._modes):
                if mode == "max":
                    pooled[:, i] = largest[:, i]
        self._pooled = pooled

    def vectors(self) -> torch.Tensor:
        """Give what all parts make.

        :return: ``(n_layers, n_modes * width)``.
        """
        assert self._pooled is not None
        return self._pooled.flatten(1)
