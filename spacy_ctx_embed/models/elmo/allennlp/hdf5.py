"""Weights of AllenNLP's ELMo back to the HDF5 file that it reads: the inverse of how it loads them.

Enters: the state of an ``_ElmoBiLm``, trained or not. Leaves: ``weights.hdf5`` as bilm-tf writes it. Source: AllenNLP
2.10 ``modules/elmo.py`` and ``elmo_lstm.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional

import numpy as np
import torch

from spacy_ctx_embed.models.elmo.options import Sizes

_SOURCE = "source_checksum"


def write_hdf5(file: Path, state: Mapping[str, torch.Tensor], sizes: Sizes, source_checksum: Optional[str]) -> None:
    """Write a file.

    :param file: where to.
    :param state: state of an ``_ElmoBiLm``.
    :param sizes: its options; it has a ``char_cnn``.
    :param source_checksum: SHA-256 of the files that it was made from, where that is known.
    """
    import h5py

    with h5py.File(file, "w") as stream:
        for name, array in datasets(state, sizes).items():
            stream[name] = array
        if source_checksum is not None:
            stream.attrs[_SOURCE] = source_checksum


def read_source(file: Path) -> Optional[str]:
    """Tell what a file was made from.

    :param file: HDF5 weights.
    :return: the checksum that :func:`write_hdf5` put into it, ``None`` for a file of another origin.
    """
    import h5py

    with h5py.File(file, "r") as stream:
        found = stream.attrs.get(_SOURCE)
    return None if found is None else str(found)


def datasets(state: Mapping[str, torch.Tensor], sizes: Sizes) -> Dict[str, np.ndarray]:
    """Undo what AllenNLP does to weights as it loads them.

    :param state: state of an ``_ElmoBiLm``.
    :param sizes: its options; it has a ``char_cnn``.
    :return: the datasets by name. Biases of the LSTMs are float64: taking off the 1 that loading adds to the forget
        bias, and adding it again, then gives the very same number, unless it is below 1e-8.
    """
    assert sizes.char_cnn is not None
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    spell = "_token_embedder."
    found = {"char_embed": arrays[f"{spell}_char_embedding_weights"][1:]}
    for i in range(len(sizes.char_cnn.filters)):
        found[f"CNN/W_cnn_{i}"] = arrays[f"{spell}char_conv_{i}.weight"].transpose(2, 1, 0)[None]
        found[f"CNN/b_cnn_{i}"] = arrays[f"{spell}char_conv_{i}.bias"]
    for k in range(sizes.char_cnn.n_highway):
        for short, part in (("W", "weight"), ("b", "bias")):
            new, keep = np.split(arrays[f"{spell}_highways._layers.{k}.{part}"].T, 2, axis=-1)
            found[f"CNN_high_{k}/{short}_transform"], found[f"CNN_high_{k}/{short}_carry"] = new, -keep
    found["CNN_proj/W_proj"] = arrays[f"{spell}_projection.weight"].T
    found["CNN_proj/b_proj"] = arrays[f"{spell}_projection.bias"]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(sizes.bilm.n_layers):
            source = f"_elmo_lstm.{direction}_layer_{layer}"
            target = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            kernels = [arrays[f"{source}.{part}_linearity.weight"].T for part in ("input", "state")]
            found[f"{target}/W_0"] = _tensorflow_order(np.concatenate(kernels))  # (2 * width, 4 * dim)
            bias = _tensorflow_order(arrays[f"{source}.state_linearity.bias"].astype(np.float64))
            bias[2 * sizes.bilm.dim : 3 * sizes.bilm.dim] -= 1
            found[f"{target}/B"] = bias
            found[f"{target}/W_P_0"] = arrays[f"{source}.state_projection.weight"].T
    return found


def _tensorflow_order(gates: np.ndarray) -> np.ndarray:
    # Blocks i, f, candidate, o of the last axis to i, candidate, f, o.
    i, f, j, o = np.split(gates, 4, axis=-1)
    return np.concatenate([i, j, f, o], axis=-1)
