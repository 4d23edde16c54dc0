"""Perplexity on held-out text, by the exact softmax and with the state carried on from batch to batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.pretraining.step import Stepper
from spacy_ctx_embed.pretraining.text.folder import BOUNDARY
from spacy_ctx_embed.pretraining.text.streams import Stream

N_ROWS, N_STEPS = 64, 32


@dataclass(frozen=True)
class Perplexity:
    """How well a text was predicted. Perplexity is ``exp`` of the mean loss over all words and sentence ends.

    :param forward: perplexity of the forward model.
    :param backward: of the backward model.
    :param n_tokens: words and sentence ends predicted by each.
    """

    forward: float
    backward: float
    n_tokens: int

    @property
    def loss(self) -> float:
        """Mean loss of both directions in nats."""
        return 0.5 * (math.log(self.forward) + math.log(self.backward))

    @property
    def mean(self) -> float:
        """Geometric mean of both, which is how bilm-tf reports it."""
        return math.exp(self.loss)


def evaluate(
    stepper: Stepper, tokens: NDArray[np.uint32], n_vocab: int, max_tokens: int = 0, reset: float = 0.0
) -> Perplexity:
    """Read a text in both directions.

    :param stepper: holds the model.
    :param tokens: the text, ``0 w1 … wn 0 …``.
    :param n_vocab: ids from here on are ``<UNK>`` as targets.
    :param max_tokens: about how many to read, 0 for all: whole sentences from all parts of the text. At the ends of
        rows a few may be left out.
    :param reset: share of the sentence starts at which the state goes back to zeros: 1 reads each by itself, but for
        those in which one of the up to 64 rows begins.
    :return: perplexities.
    """
    text = _from_all_parts(tokens, max_tokens) if 0 < max_tokens < len(tokens) - 1 else tokens
    n_rows = max(min(N_ROWS, (len(text) - 1) // N_STEPS), 1)
    length = (len(text) - 1) // n_rows
    n_steps = length // math.ceil(length / N_STEPS)  # so that hardly a token at the end of a row is left out
    stream = Stream(text, n_rows, n_steps, n_vocab, reset)
    states = stepper.zero_states(n_rows)
    sums, n = np.zeros(2), 0
    for step in range(stream.steps_per_epoch):
        losses, states = stepper.evaluate(stream.batch(step), states)
        sums += [part.double().sum().item() for part in losses]
        n += len(losses[0])
    forward, backward = np.exp(sums / n).tolist()
    return Perplexity(forward, backward, n)


def _from_all_parts(tokens: NDArray[np.uint32], n: int) -> NDArray[np.uint32]:
    # A text may be of several files, one behind the other. Sentences from as many places as there are rows.
    bounds = np.flatnonzero(tokens == BOUNDARY)
    n_parts = max(min(N_ROWS, n // N_STEPS), 1)
    places = np.arange(n_parts) * (len(tokens) / n_parts)
    first = np.searchsorted(bounds[:-1], places, side="right") - 1
    end = np.searchsorted(bounds, bounds[first] + n / n_parts, side="right") - 1
    end = np.minimum(np.maximum(end, first + 1), np.append(first[1:], len(bounds) - 1))
    parts = [tokens[bounds[i] : bounds[j]] for i, j in zip(first, end)]
    return np.concatenate([*parts, tokens[-1:]])
