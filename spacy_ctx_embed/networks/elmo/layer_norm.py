"""ELMo's layer normalisation: one mean and one variance per layer, not per row, and nothing learnt."""

from __future__ import annotations

from typing import Sequence

import torch

_EPSILON = 1e-13  # as AllenNLP's scalar mix has it


def normalize_segments(layers: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Shift and scale each layer of each segment to mean 0 and variance 1 over all its tokens and dimensions.

    The references (``do_layer_norm`` of AllenNLP's ``ScalarMix``, Peters et al. 2018, section 3.2) take the
    statistics over a whole batch, boundary symbols included, so that a vector depends on the other sentences of its
    batch. Here a segment is its own batch: what AllenNLP gives for one sentence at a time.

    :param layers: ``(n_layers, n_tokens, width)``, the tokens of all segments one after another.
    :param lengths: tokens of each segment, at least 1.
    :return: the same shape.
    """
    parts = []
    for segment in layers.split(list(lengths), dim=1):
        centred = segment - segment.mean(dim=(1, 2), keepdim=True)
        parts.append(centred / (centred.square().mean(dim=(1, 2), keepdim=True) + _EPSILON).sqrt())
    return torch.cat(parts, dim=1) if parts else layers
