"""What training leaves: one folder that this package and AllenNLP read, with vocabulary, softmax and model card.

``options.json`` with ``weights.safetensors`` is our format, with ``weights.hdf5`` bilm-tf's and AllenNLP's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict, List, Sequence, cast

import h5py
import numpy as np
import torch

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.elmo.files import ElmoFiles
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.packed.packable import FrozenLinear, Highway
from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
from spacy_ctx_embed.pretraining.settings import SoftmaxSettings

HDF5, VOCAB, SOFTMAX, CARD = "weights.hdf5", "vocab.txt", "softmax.safetensors", "README.md"
KIND = "pretrain-elmo"


def write_model(
    directory: Path, model: LanguageModel, words: Sequence[str], softmax: SoftmaxSettings, card: str
) -> None:
    """Write a model, each file in one go over the one of before.

    :param directory: the folder, made if need be.
    :param model: what was trained.
    :param words: the vocabulary, ``<S>``, ``</S>`` and ``<UNK>`` first.
    :param softmax: kind of the softmax.
    :param card: the model card.
    :raises OSError: if a file can't be written; the files of before are still there then.
    """
    from safetensors import SafetensorError

    beside = directory / ".new"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        _write_files(beside, model, words, softmax, card)
        for file in sorted(beside.iterdir()):
            file.replace(directory / file.name)
        beside.rmdir()
    except (OSError, RuntimeError, SafetensorError) as error:  # each library that writes has errors of its own
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(Errors.E041.format(file=directory, reason=error)) from error


def _write_files(
    directory: Path, model: LanguageModel, words: Sequence[str], softmax: SoftmaxSettings, card: str
) -> None:
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu() for name, tensor in model.elmo.state_dict().items()}
    write_elmo(directory, ElmoFiles(model.elmo.config, weights, kind=KIND))
    if isinstance(model.elmo.config.alphabet, Utf8Bytes):
        write_hdf5(directory / HDF5, model.elmo)
    (directory / VOCAB).write_text("".join(f"{word}\n" for word in words), encoding="utf8")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.softmax.state_dict().items()}
    kind = json.dumps({"kind": softmax.kind, "cutoffs": softmax.cutoffs, "div_value": softmax.div_value})
    save_file(state, directory / SOFTMAX, metadata={"softmax": kind})
    shutil.copymode(directory / VOCAB, directory / SOFTMAX)  # safetensors writes for the owner only
    (directory / CARD).write_text(card, encoding="utf8")


def write_hdf5(file: Path, elmo: ElmoModule) -> None:
    """Write weights as bilm-tf dumps them, which AllenNLP reads.

    :param file: where to.
    :param elmo: a network over UTF-8 bytes, its LSTMs with projections.
    """
    with h5py.File(file, "w") as stream:
        for name, array in datasets(elmo).items():
            stream[name] = array


def datasets(elmo: ElmoModule) -> Dict[str, np.ndarray]:
    """Undo what reading bilm-tf's file does to weights.

    :param elmo: a network over UTF-8 bytes, its LSTMs with projections.
    :return: the datasets by name, float32.
    """
    cnn = elmo.char_cnn
    assert cnn is not None
    found = {"char_embed": _array(cnn.embedding.weight)[1:]}
    for i, ((width, n), conv) in enumerate(zip(cnn.config.filters, cast(List[FrozenLinear], list(cnn.convs)))):
        kernel = _array(conv.weight).reshape(n, width, cnn.config.embedding_dim)
        found[f"CNN/W_cnn_{i}"] = kernel.transpose(1, 2, 0)[None]
        found[f"CNN/b_cnn_{i}"] = _array(conv.bias)
    for k, highway in enumerate(cast(List[Highway], list(cnn.highways))):
        for short, part in (("W", highway.weight), ("b", highway.bias)):
            candidate, gate = np.split(_array(part).T, 2, axis=-1)
            found[f"CNN_high_{k}/{short}_transform"], found[f"CNN_high_{k}/{short}_carry"] = candidate, gate
    if cnn.projection is not None:
        found["CNN_proj/W_proj"] = _array(cnn.projection.weight).T
        found["CNN_proj/b_proj"] = _array(cnn.projection.bias)
    for d in (0, 1):
        for k, layer in enumerate(cast(List[BilmLayer], list(elmo.bilm.layers))):
            target = f"RNN_{d}/RNN/MultiRNNCell/Cell{k}/LSTMCell"
            dim = layer.config.dim
            bias = _array(layer.bias)[d, 0].copy()
            bias[dim : 2 * dim] -= 1  # TensorFlow adds it as it runs
            found[f"{target}/W_0"] = _tensorflow_order(_array(layer.weight)[d])
            found[f"{target}/B"] = _tensorflow_order(bias)
            found[f"{target}/W_P_0"] = _array(cast(torch.Tensor, layer.projection))[d]
    return found


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


def _tensorflow_order(gates: np.ndarray) -> np.ndarray:
    # Blocks i, f, o, candidate of the last axis to i, candidate, f, o.
    i, f, o, j = np.split(gates, 4, axis=-1)
    return np.concatenate([i, j, f, o], axis=-1)
