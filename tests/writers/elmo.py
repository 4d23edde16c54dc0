"""Writes tiny random ELMo models in the form in which bilm-tf and AllenNLP publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import h5py
import numpy as np

Filters = Tuple[Tuple[int, int], ...]


def elmo_options(
    *,
    n_layers: int = 2,
    skip: bool = True,
    dim: int = 12,
    projection_dim: int = 6,
    filters: Filters = ((1, 4), (2, 5), (4, 6)),
    activation: str = "relu",
    n_highway: int = 1,
    n_characters: int = 262,
    max_chars: int = 50,
    cell_clip: Optional[float] = 0.3,
    proj_clip: Optional[float] = 0.2,
) -> Dict[str, Any]:
    return {
        "lstm": {
            "dim": dim,
            "projection_dim": projection_dim,
            "n_layers": n_layers,
            "cell_clip": cell_clip,
            "proj_clip": proj_clip,
            "use_skip_connections": skip,
        },
        "char_cnn": {
            "activation": activation,
            "embedding": {"dim": 4},
            "filters": [list(pair) for pair in filters],
            "n_highway": n_highway,
            "n_characters": n_characters,
            "max_characters_per_token": max_chars,
        },
    }


def elmo_datasets(options: Dict[str, Any], *, rows: int = 261, single: bool = False, seed: int = 0) -> Dict[str, Any]:
    """Random datasets for the options; ``single`` names one layer as bilm-tf does, without MultiRNNCell/Cell0."""
    random = np.random.default_rng(seed)
    lstm, cnn = options["lstm"], options["char_cnn"]
    dim, width = lstm["dim"], lstm["projection_dim"]
    chars, total = cnn["embedding"]["dim"], sum(n for _, n in cnn["filters"])
    shapes: Dict[str, List[int]] = {"char_embed": [rows, chars]}
    for i, (w, n) in enumerate(cnn["filters"]):
        shapes[f"CNN/W_cnn_{i}"], shapes[f"CNN/b_cnn_{i}"] = [1, w, chars, n], [n]
    for k in range(cnn.get("n_highway") or 0):
        for part in ("carry", "transform"):
            shapes[f"CNN_high_{k}/W_{part}"], shapes[f"CNN_high_{k}/b_{part}"] = [total, total], [total]
    if total != width:
        shapes["CNN_proj/W_proj"], shapes["CNN_proj/b_proj"] = [total, width], [width]
    for d in (0, 1):
        for layer in range(lstm["n_layers"]):
            cell = f"RNN_{d}/RNN/LSTMCell" if single else f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes[f"{cell}/W_0"], shapes[f"{cell}/B"] = [2 * width, 4 * dim], [4 * dim]
            if dim != width:
                shapes[f"{cell}/W_P_0"] = [dim, width]
    return {name: (random.standard_normal(shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def write_elmo_model(folder: Path, options: Dict[str, Any], datasets: Dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options), encoding="utf8")
    with h5py.File(folder / "weights.hdf5", "w") as stream:
        for name, array in datasets.items():
            stream[name] = array
    return folder


def write_random_elmo(folder: Path, *, rows: int = 261, single: bool = False, **kwargs: Any) -> Path:
    """Options and random weights in one go; ``kwargs`` are those of :func:`elmo_options`."""
    options = elmo_options(**kwargs)
    return write_elmo_model(folder, options, elmo_datasets(options, rows=rows, single=single))
