"""An ELMo over UTF-8 bytes to the HDF5 file of bilm-tf, which AllenNLP reads: the inverse of :mod:`.tensors`.

Source: bilm-tf ``bin/dump_weights.py``; AllenNLP 2.10 ``modules/elmo.py`` and ``elmo_lstm.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional

import numpy as np
import torch

from spacy_ctx_embed.networks.elmo.module import ElmoConfig

_SOURCE = "source_checksum"


def write_bilm_tf(
    file: Path,
    config: ElmoConfig,
    weights: Mapping[str, torch.Tensor],
    *,
    source_checksum: Optional[str] = None,
    bias: type = np.float32,
) -> None:
    """Write a file.

    :param file: where to.
    :param config: the parts of the network and their sizes; it reads UTF-8 bytes.
    :param weights: named as in the state of an :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule`.
    :param source_checksum: SHA-256 of the files that it was made from, where that is known.
    :param bias: number type of the LSTMs' biases, see :func:`datasets`.
    """
    import h5py

    with h5py.File(file, "w") as stream:
        for name, array in datasets(config, weights, bias).items():
            stream[name] = array
        if source_checksum is not None:
            stream.attrs[_SOURCE] = source_checksum


def read_source(file: Path) -> Optional[str]:
    """Tell what a file was made from.

    :param file: HDF5 weights.
    :return: the checksum that :func:`write_bilm_tf` put into it, ``None`` for a file of another origin.
    """
    import h5py

    with h5py.File(file, "r") as stream:
        found = stream.attrs.get(_SOURCE)
    return None if found is None else str(found)


def datasets(config: ElmoConfig, weights: Mapping[str, torch.Tensor], bias: type = np.float32) -> Dict[str, np.ndarray]:
    """Undo what reading does to weights.

    :param config: as for :func:`write_bilm_tf`.
    :param weights: as for :func:`write_bilm_tf`.
    :param bias: number type of the LSTMs' biases. With ``np.float64``, taking off the 1 that reading adds to the forget
        bias, and adding it again, gives the very same number, unless it is below 1e-8.
    :return: the datasets by name, float32 but for the biases.
    """
    assert config.char_cnn is not None
    arrays = {name: tensor.detach().cpu().float().numpy() for name, tensor in weights.items()}
    found = {"char_embed": arrays["char_cnn.embedding.weight"][1:]}
    for i, (width, n) in enumerate(config.char_cnn.filters):
        kernel = arrays[f"char_cnn.convs.{i}.weight"].reshape(n, width, config.char_cnn.embedding_dim)
        found[f"CNN/W_cnn_{i}"] = kernel.transpose(1, 2, 0)[None]
        found[f"CNN/b_cnn_{i}"] = arrays[f"char_cnn.convs.{i}.bias"]
    for k in range(config.char_cnn.n_highway):
        for short, part in (("W", "weight"), ("b", "bias")):
            candidate, gate = np.split(arrays[f"char_cnn.highways.{k}.{part}"].T, 2, axis=-1)
            found[f"CNN_high_{k}/{short}_transform"], found[f"CNN_high_{k}/{short}_carry"] = candidate, gate
    if "char_cnn.projection.weight" in arrays:
        found["CNN_proj/W_proj"] = arrays["char_cnn.projection.weight"].T
        found["CNN_proj/b_proj"] = arrays["char_cnn.projection.bias"]
    dim = config.bilm.dim
    for d in (0, 1):
        for k in range(config.bilm.n_layers):
            layer, target = f"bilm.layers.{k}", f"RNN_{d}/RNN/MultiRNNCell/Cell{k}/LSTMCell"
            biases = arrays[f"{layer}.bias"][d, 0].astype(bias)  # a copy
            biases[dim : 2 * dim] -= 1  # TensorFlow adds it as it runs
            found[f"{target}/W_0"] = _tensorflow_order(arrays[f"{layer}.weight"][d])
            found[f"{target}/B"] = _tensorflow_order(biases)
            found[f"{target}/W_P_0"] = arrays[f"{layer}.projection"][d]
    return found


def _tensorflow_order(gates: np.ndarray) -> np.ndarray:
    # Blocks i, f, o, candidate of the last axis to i, candidate, f, o.
    i, f, o, j = np.split(gates, 4, axis=-1)
    return np.concatenate([i, j, f, o], axis=-1)
