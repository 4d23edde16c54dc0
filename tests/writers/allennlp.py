"""Writes AllenNLP archives around tiny ELMo models, with the tensors that AllenNLP's modules make of an HDF5 file.

Sources: AllenNLP 2.10 ``modules/elmo.py`` and ``elmo_lstm.py`` (the loaders), ``models/archival.py``.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import torch

PREFIX = "text_field_embedder.token_embedder_elmo._elmo."


def elmo_state(options: Dict[str, Any], datasets: Dict[str, Any], prefix: str = PREFIX) -> Dict[str, torch.Tensor]:
    """The state of AllenNLP's ``Elmo`` for the datasets of a model, a random scalar mix included."""
    n_layers, n_highway = options["lstm"]["n_layers"], options["char_cnn"]["n_highway"]
    arrays: Dict[str, Any] = {}
    spell = "_elmo_lstm._token_embedder."
    zeros = np.zeros_like(datasets["char_embed"][:1])
    arrays[f"{spell}_char_embedding_weights"] = np.concatenate([zeros, datasets["char_embed"]])
    for i in range(len(options["char_cnn"]["filters"])):
        arrays[f"{spell}char_conv_{i}.weight"] = datasets[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)
        arrays[f"{spell}char_conv_{i}.bias"] = datasets[f"CNN/b_cnn_{i}"]
    for k in range(n_highway):
        new, gate = (datasets[f"CNN_high_{k}/W_{part}"].T for part in ("transform", "carry"))
        arrays[f"{spell}_highways._layers.{k}.weight"] = np.concatenate([new, -gate])
        new, gate = (datasets[f"CNN_high_{k}/b_{part}"] for part in ("transform", "carry"))
        arrays[f"{spell}_highways._layers.{k}.bias"] = np.concatenate([new, -gate])
    arrays[f"{spell}_projection.weight"] = datasets["CNN_proj/W_proj"].T
    arrays[f"{spell}_projection.bias"] = datasets["CNN_proj/b_proj"]
    width = options["lstm"]["projection_dim"]
    for d, direction in enumerate(("forward", "backward")):
        for layer in range(n_layers):
            source = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            target = f"_elmo_lstm._elmo_lstm.{direction}_layer_{layer}"
            i, j, f, o = np.split(datasets[f"{source}/W_0"].T, 4)
            kernel = np.concatenate([i, f, j, o])
            arrays[f"{target}.input_linearity.weight"] = kernel[:, :width]
            arrays[f"{target}.state_linearity.weight"] = kernel[:, width:]
            i, j, f, o = np.split(datasets[f"{source}/B"], 4)
            arrays[f"{target}.state_linearity.bias"] = np.concatenate([i, f + 1, j, o])
            arrays[f"{target}.state_projection.weight"] = datasets[f"{source}/W_P_0"].T
    for k in range(n_layers + 1):
        arrays[f"scalar_mix_0.scalar_parameters.{k}"] = np.array([0.5 * k - 0.25])
    arrays["scalar_mix_0.gamma"] = np.array([1.5])
    return {f"{prefix}{name}": torch.tensor(array, dtype=torch.float32) for name, array in arrays.items()}


def allennlp_config(options_file: Any = "https://example.org/elmo_options.json") -> Dict[str, Any]:
    """What matters of a model's ``config.json``, and something around it."""
    embedder = {
        "type": "elmo_token_embedder",
        "options_file": options_file,
        "weight_file": "https://example.org/w.hdf5",
    }
    return {
        "dataset_reader": {"type": "conll2003", "token_indexers": {"elmo": {"type": "elmo_characters"}}},
        "model": {"type": "crf_tagger", "text_field_embedder": {"token_embedders": {"elmo": embedder}}},
        "trainer": {"num_epochs": 1, "callbacks": [{"type": "x"}, None]},
    }


def write_archive(
    path: Path, state: Dict[str, Any], config: Optional[Dict[str, Any]] = None, *, zipped: bool = False, **files: Any
) -> Path:
    """``model.tar.gz``; ``files`` gives the JSON of further members by name, without ``.json`` but below ``fta/``."""
    weights = io.BytesIO()
    torch.save(state, weights, _use_new_zipfile_serialization=zipped)
    contents = {"weights.th": weights.getvalue(), "vocabulary/tokens.txt": b"@@UNKNOWN@@\nthe\n"}
    if config is not None:
        contents["config.json"] = json.dumps(config).encode()
    for name, values in files.items():
        contents[name if name.startswith("fta/") else f"{name}.json"] = json.dumps(values).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
