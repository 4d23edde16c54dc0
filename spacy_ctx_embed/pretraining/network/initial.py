"""Random weights to begin with, as bilm-tf draws them (``bilm/training.py``)."""

from __future__ import annotations

from typing import List, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn
from spacy_ctx_embed.networks.elmo.char_ids import PAD_CHAR
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.packed.packable import FrozenLinear, Highway


def draw_weights(elmo: ElmoModule) -> None:
    """Fill a network with random weights from torch's global generator.

    :param elmo: a network with a char-CNN and projections.
    """
    with torch.no_grad():
        _draw_char_cnn(cast(CharCnn, elmo.char_cnn))
        for layer in cast(List[BilmLayer], list(elmo.bilm.layers)):
            _draw_layer(layer)


def _draw_char_cnn(cnn: CharCnn) -> None:
    nn.init.uniform_(cnn.embedding.weight, -1, 1)
    if cnn.config.pad_char == PAD_CHAR:
        cnn.embedding.weight[0] = 0  # the row of "no token", which no file holds
    for conv in cast(List[FrozenLinear], list(cnn.convs)):
        if cnn.config.activation == "relu":
            nn.init.uniform_(conv.weight, -0.05, 0.05)
        else:
            nn.init.normal_(conv.weight, std=conv.weight.shape[1] ** -0.5)
        nn.init.zeros_(conv.bias)
    for highway in cast(List[Highway], list(cnn.highways)):
        nn.init.normal_(highway.weight, std=highway.weight.shape[1] ** -0.5)
        nn.init.zeros_(highway.bias)
        highway.bias[cnn.config.n_filters :] = -2.0  # the gate: at first, mostly carry the input
    if cnn.projection is not None:
        nn.init.normal_(cnn.projection.weight, std=cnn.projection.weight.shape[1] ** -0.5)
        nn.init.zeros_(cnn.projection.bias)


def _draw_layer(layer: BilmLayer) -> None:
    dim = layer.config.dim
    for direction in (0, 1):
        nn.init.xavier_uniform_(layer.weight[direction])
        if layer.projection is not None:
            nn.init.xavier_uniform_(layer.projection[direction])
    nn.init.zeros_(layer.bias)
    layer.bias[:, :, dim : 2 * dim] = 1.0  # the forget gate, with the 1 that TensorFlow adds as it runs
