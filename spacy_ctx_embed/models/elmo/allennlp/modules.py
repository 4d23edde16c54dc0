"""The tensors of AllenNLP's ELMo modules, from which those of ELMoForManyLangs were made, to ours.

Both keep the gates of an LSTM as input, forget, candidate, output, with the 1 of the forget bias added; the gate of a
highway keeps the old value. Source: AllenNLP 2.10 ``modules/elmo.py``, ``elmo_lstm.py``, ``highway.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

import torch

from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig

Weights = Dict[str, torch.Tensor]
LSTM = "_elmo_lstm."


@dataclass(frozen=True)
class TokenEncoderNames:
    """What a format calls the tensors of its token encoder.

    :param chars: the table of characters.
    :param conv: convolutions, before their number.
    :param highway: highway layers, before their number.
    :param projection: the projection.
    """

    chars: str
    conv: str
    highway: str
    projection: str


def token_encoder_names(prefix: str = "") -> TokenEncoderNames:
    """Give AllenNLP's own names.

    :param prefix: what the names of the tensors of the ELMo begin with.
    :return: the names.
    """
    inside = f"{prefix}_token_embedder."
    return TokenEncoderNames(
        chars=f"{inside}_char_embedding_weights",
        conv=f"{inside}char_conv_",
        highway=f"{inside}_highways._layers.",
        projection=f"{inside}_projection",
    )


def read_state(data: NamedArrays, char_cnn: CharCnnConfig, bilm: BilmConfig, prefix: str = "") -> Weights:
    """Read a whole ELMo.

    :param data: the tensors.
    :param char_cnn: sizes of the token encoder.
    :param bilm: sizes of the LSTMs.
    :param prefix: what their names begin with.
    :return: tensors named as in an :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule`.
    :raises ModelFormatError: if one is missing, of another shape or not finite.
    """
    return {**read_char_cnn(data, token_encoder_names(prefix), char_cnn), **read_bilm(data, f"{prefix}{LSTM}", bilm)}


def read_char_cnn(data: NamedArrays, names: TokenEncoderNames, config: CharCnnConfig) -> Weights:
    """Read a token encoder.

    :param data: the tensors.
    :param names: what they are called.
    :param config: the sizes.
    :return: tensors named as in an :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule`.
    :raises ModelFormatError: if one is missing, of another shape or not finite.
    """
    dim, total = config.embedding_dim, config.n_filters
    weights = {"embedding.weight": data.read(names.chars, (config.n_chars, dim))}
    for i, (width, n) in enumerate(config.filters):
        kernel = data.read(f"{names.conv}{i}.weight", (n, dim, width))
        weights[f"convs.{i}.weight"] = kernel.transpose(1, 2).reshape(n, width * dim)
        weights[f"convs.{i}.bias"] = data.read(f"{names.conv}{i}.bias", (n,))
    for k in range(config.n_highway):
        for part, shape in (("weight", (2 * total, total)), ("bias", (2 * total,))):
            candidate, keep = data.read(f"{names.highway}{k}.{part}", shape).chunk(2)
            weights[f"highways.{k}.{part}"] = torch.cat([candidate, -keep])
    width = config.projection_dim
    weights["projection.weight"] = data.read(f"{names.projection}.weight", (width, config.word_dim + total))
    weights["projection.bias"] = data.read(f"{names.projection}.bias", (width,))
    return {f"char_cnn.{name}": tensor.contiguous() for name, tensor in weights.items()}


def read_bilm(data: NamedArrays, prefix: str, config: BilmConfig) -> Weights:
    """Read the LSTMs.

    :param data: the tensors.
    :param prefix: what their names begin with.
    :param config: the sizes.
    :return: tensors named as in an :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule`.
    :raises ModelFormatError: if one is missing, of another shape or not finite.
    """
    dim, width = config.dim, config.projection_dim
    weights = {}
    for layer in range(config.n_layers):
        kernels, biases, projections = [], [], []
        for direction in ("forward", "backward"):
            cell = f"{prefix}{direction}_layer_{layer}"
            parts = [data.read(f"{cell}.{part}_linearity.weight", (4 * dim, width)) for part in ("input", "state")]
            kernels.append(_candidate_last(torch.cat(parts, dim=1).t()))  # (2 * width, 4 * dim)
            biases.append(_candidate_last(data.read(f"{cell}.state_linearity.bias", (4 * dim,))))
            projections.append(data.read(f"{cell}.state_projection.weight", (width, dim)).t())
        weights[f"bilm.layers.{layer}.weight"] = torch.stack(kernels)
        weights[f"bilm.layers.{layer}.bias"] = torch.stack(biases)[:, None]
        weights[f"bilm.layers.{layer}.projection"] = torch.stack(projections)
    return weights


def _candidate_last(z: torch.Tensor) -> torch.Tensor:
    # Blocks i, f, candidate, o of the last axis to ours: i, f, o, candidate.
    i, f, j, o = z.chunk(4, dim=-1)
    return torch.cat([i, f, o, j], dim=-1)
