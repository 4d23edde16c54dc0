"""The tensors of a bilm-tf model, under the names of its HDF5 files, to ours.

Enters: named arrays and the sizes that the options give. Leaves: :class:`ElmoFiles`. TensorFlow checkpoints come
here too, under these names. Source: bilm-tf ``bilm/model.py`` and ``bin/dump_weights.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Sequence, Tuple

import torch

from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import PAIR, Sizes, wrong
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig
from spacy_ctx_embed.networks.elmo.char_ids import BOS_WORD, EOS_WORD, N_CHARS
from spacy_ctx_embed.networks.elmo.lexicon import NOT_LISTED, Lexicon
from spacy_ctx_embed.networks.elmo.module import ElmoConfig

UNKNOWN_WORD = "<UNK>"
Weights = Dict[str, torch.Tensor]


def assemble_bilm_tf(
    data: NamedArrays,
    sizes: Sizes,
    *,
    vocabulary: Optional[Sequence[str]] = None,
    cached: Optional[NamedArrays] = None,
    kind: str = "AllenNLP / bilm-tf HDF5",
) -> ElmoFiles:
    """Put a model together.

    :param data: arrays named ``char_embed``, ``CNN/…``, ``CNN_high_k/…``, ``CNN_proj/…``, ``RNN_d/…``, or
        ``embedding`` in a model that reads words instead of characters.
    :param sizes: what the options say.
    :param vocabulary: the words of the vocabulary file, in order; a model that reads words needs it.
    :param cached: the file that bilm-tf's ``dump_token_embeddings`` wrote, whose dataset ``embedding`` holds the
        vector of each word of the vocabulary.
    :param kind: what the format is called, for the log.
    :return: configurations and weights.
    :raises ModelFormatError: if an array is missing, of the wrong shape or not finite, or a vocabulary is missing.
    """
    char_cnn: Optional[CharCnnConfig] = None
    weights: Weights = {}
    if sizes.char_cnn is None and "char_embed" in data:
        wrong(sizes.file, "the key 'char_cnn'", "missing", "a table, as the weights read characters", PAIR)
    if sizes.char_cnn is not None and (cached is None or "char_embed" in data):
        char_cnn, weights = _char_cnn_weights(data, sizes.char_cnn)
    lexicon, n_words = None, 0
    if char_cnn is None or cached is not None:
        table = cached if cached is not None else data
        lexicon, n_words = _lexicon(table, vocabulary, needs_all=char_cnn is None)
        weights["words.weight"] = table.read("embedding", (n_words, sizes.bilm.projection_dim))
    bilm, bilm_weights = _bilm_weights(data, sizes.bilm)
    config = ElmoConfig(char_cnn, bilm, Utf8Bytes(), lexicon, n_words)
    return ElmoFiles(config, {**weights, **bilm_weights}, kind=kind)


def _lexicon(table: NamedArrays, vocabulary: Optional[Sequence[str]], *, needs_all: bool) -> Tuple[Lexicon, int]:
    # Without characters to fall back on, unknown words and the boundaries need rows of their own.
    fix = "put the vocabulary of the model, one word a line, beside the weights as vocab.txt"
    if vocabulary is None:
        wrong(table.file, "the dataset 'embedding'", "without a vocabulary", "a vocabulary file beside it", fix)
    rows = {word: row for row, word in enumerate(vocabulary)}
    missing = [word for word in (BOS_WORD, EOS_WORD, UNKNOWN_WORD) if word not in rows]
    if needs_all and missing:
        found, accepted = f"without {', '.join(missing)}", "one line each for <S>, </S> and <UNK>"
        wrong(table.file, "the vocabulary beside it", found, accepted, fix)
    return Lexicon(rows, rows[UNKNOWN_WORD] if needs_all else NOT_LISTED), len(vocabulary)


def _char_cnn_weights(data: NamedArrays, config: CharCnnConfig) -> Tuple[CharCnnConfig, Weights]:
    dim, total = config.embedding_dim, config.n_filters
    chars = data.read("char_embed", (N_CHARS - 1, dim), (N_CHARS, dim))
    if len(chars) < N_CHARS:  # the file of a training run: without the zero row of "no token"
        chars = torch.cat([chars.new_zeros((1, dim)), chars])
    weights = {"embedding.weight": chars}
    for i, (width, n) in enumerate(config.filters):
        kernel = data.read(f"CNN/W_cnn_{i}", (1, width, dim, n))
        weights[f"convs.{i}.weight"] = kernel.reshape(width * dim, n).t()
        weights[f"convs.{i}.bias"] = data.read(f"CNN/b_cnn_{i}", (n,))
    data.refuse_extra(f"CNN/W_cnn_{len(config.filters)}", "char_cnn.filters", len(config.filters))
    for k in range(config.n_highway):
        parts = {}
        for part in ("transform", "carry"):
            parts[part] = data.read(f"CNN_high_{k}/W_{part}", (total, total)).t()
            parts[f"{part}_bias"] = data.read(f"CNN_high_{k}/b_{part}", (total,))
        weights[f"highways.{k}.weight"] = torch.cat([parts["transform"], parts["carry"]])
        weights[f"highways.{k}.bias"] = torch.cat([parts["transform_bias"], parts["carry_bias"]])
    data.refuse_extra(f"CNN_high_{config.n_highway}", "char_cnn.n_highway", config.n_highway)
    config = replace(config, use_projection=total != config.projection_dim or "CNN_proj/W_proj" in data)
    if config.use_projection:
        weights["projection.weight"] = data.read("CNN_proj/W_proj", (total, config.projection_dim)).t()
        weights["projection.bias"] = data.read("CNN_proj/b_proj", (config.projection_dim,))
    return config, {f"char_cnn.{name}": tensor.contiguous() for name, tensor in weights.items()}


def _bilm_weights(data: NamedArrays, config: BilmConfig) -> Tuple[BilmConfig, Weights]:
    dim, width = config.dim, config.projection_dim
    cells = [[_cell_name(data, d, layer, config.n_layers) for d in (0, 1)] for layer in range(config.n_layers)]
    config = replace(config, use_projection=dim != width or f"{cells[0][0]}/W_P_0" in data)
    weights = {}
    for layer, names in enumerate(cells):
        kernel, bias = torch.empty(2, 2 * width, 4 * dim), torch.empty(2, 1, 4 * dim)
        for d, name in enumerate(names):
            _swap_gates(data.read(f"{name}/W_0", (2 * width, 4 * dim)), kernel[d])
            _swap_gates(data.read(f"{name}/B", (4 * dim,)), bias[d, 0])
        bias[:, :, dim : 2 * dim] += 1  # TensorFlow adds it when it runs
        weights[f"bilm.layers.{layer}.weight"], weights[f"bilm.layers.{layer}.bias"] = kernel, bias
        if config.use_projection:
            projections = [data.read(f"{name}/W_P_0", (dim, width)) for name in names]
            weights[f"bilm.layers.{layer}.projection"] = torch.stack(projections)
    data.refuse_extra(f"RNN_0/RNN/MultiRNNCell/Cell{config.n_layers}", "lstm.n_layers", config.n_layers)
    return config, weights


def _cell_name(data: NamedArrays, direction: int, layer: int, n_layers: int) -> str:
    single = f"RNN_{direction}/RNN/LSTMCell"  # how bilm-tf names a model of one layer
    if n_layers == 1 and f"{single}/W_0" in data:
        return single
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def _swap_gates(z: torch.Tensor, out: torch.Tensor) -> None:
    # TensorFlow's blocks i, j, f, o (last axis) to ours: i, f, o, j.
    for block, ours in zip(z.chunk(4, dim=-1), (0, 3, 1, 2)):
        out.chunk(4, dim=-1)[ours].copy_(block)
