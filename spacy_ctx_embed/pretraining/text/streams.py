"""Batches for truncated back-propagation: every row reads its own stretch of the text, and goes on in the next batch.

Enters: a prepared text. Leaves: what both language models read and should predict at a training step. A batch is a
function of the seed and the step alone, so that a run continues anywhere. Source: bilm-tf ``bilm/data.py`` (rows are
filled from consecutive sentences and cut anywhere; the forward model never reads ``</S>``, the backward one ``<S>``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.pretraining.text.folder import BOUNDARY, UNKNOWN

END = 1  # id of </S>; in a text, BOUNDARY, the id of <S>, bounds sentences on both sides


@dataclass(frozen=True)
class Batch:
    """What both directions read; index 0 of the first axis is forward, 1 is backward.

    :param inputs: ``(2, n_steps, n_rows)`` ids of word types to read.
    :param targets: ``(2, n_steps, n_rows)`` ids of the vocabulary to predict.
    :param fresh: ``(2, n_steps, n_rows)`` whether the state is set back to zeros before the step.
    :param first: whether rows start anew here, so that no state is carried into this batch.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    first: bool


@dataclass(frozen=True)
class Stream:
    """A text cut into rows.

    :param tokens: ``0 w1 … wn 0 w1 … wn 0`` ids; it may be a file that is mapped into memory.
    :param n_rows: rows side by side; fewer where the text is shorter than that.
    :param n_steps: tokens per row and batch.
    :param n_vocab: ids from here on are ``<UNK>`` as targets; as inputs they keep their characters.
    :param reset: share of the sentence starts at which the state goes back to zeros.
    :param seed: of the places where rows start, which differ from epoch to epoch, and of the resets; without one, rows
        start at the beginning of the text.
    """

    tokens: NDArray[np.uint32]
    n_rows: int
    n_steps: int
    n_vocab: int
    reset: float = 0.0
    seed: Optional[int] = None

    @property
    def n_tokens(self) -> int:
        """Words and boundaries, the last boundary not counted again: the text is read as a ring."""
        return max(len(self.tokens) - 1, 0)

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every row has read its stretch, at least 1; a rest shorter than a batch is left out."""
        return max(self.n_tokens // (self.n_rows * self.n_steps), 1)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that each direction reads in a batch."""
        return self.n_rows * self.n_steps

    def batch(self, step: int) -> Batch:
        """Give a batch.

        :param step: number of the batch, from 0 on, over all epochs.
        :return: what is read and predicted.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        length = self.n_tokens // self.n_rows
        rotation = 0
        if self.seed is not None:
            rotation = int(np.random.default_rng([self.seed, 0, epoch]).integers(self.n_tokens))
        starts = rotation + np.arange(self.n_rows) * length
        steps = np.arange(self.n_steps + 1)[:, None]
        ahead = starts + place * self.n_steps + steps  # (n_steps + 1, n_rows)
        back = starts + length - place * self.n_steps - steps
        read = self.tokens[np.stack([ahead, back]) % self.n_tokens].astype(np.int64)
        inputs, targets = read[:, :-1], np.where(read[:, 1:] >= self.n_vocab, UNKNOWN, read[:, 1:])
        bounds = inputs == BOUNDARY
        fresh = np.zeros_like(bounds)
        if self.reset:
            fresh = bounds & (np.random.default_rng([self.seed or 0, 1, step]).random(bounds.shape) < self.reset)
        # A boundary begins a sentence as an input, and ends one as a target: in turn <S> and </S>, or the reverse.
        inputs, targets = inputs.copy(), targets.copy()
        inputs[1][inputs[1] == BOUNDARY] = END
        targets[0][targets[0] == BOUNDARY] = END
        return Batch(inputs, targets, fresh, place == 0)
