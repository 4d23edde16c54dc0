"""Writes the files of sentence-transformers around a transformer that is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np

MODULES = "sentence_transformers.models"


def write_sentence_model(
    folder: Path,
    transformer: Path,
    modules: Sequence[Dict[str, Any]] = ({"type": "Pooling", "pooling_mode": "mean"},),
    *,
    prompts: Optional[Dict[str, Any]] = None,
    inputs: Optional[Dict[str, Any]] = None,
    inside: str = "",
) -> Path:
    """Write a model.

    :param folder: a new folder.
    :param transformer: folder of a transformer, copied.
    :param modules: what comes behind it: "type" and what goes into its config.json; "weights" are saved beside that.
    :param prompts: config_sentence_transformers.json, if any.
    :param inputs: sentence_bert_config.json, if any.
    :param inside: the folder that the transformer lies in.
    :return: the folder.
    """
    shutil.copytree(transformer, folder / inside)
    listed = [{"idx": 0, "name": "0", "path": inside, "type": f"{MODULES}.Transformer"}]
    for i, module in enumerate(modules, start=1):
        settings = dict(module)
        kind, weights = settings.pop("type"), settings.pop("weights", None)
        path = f"{i}_{kind.rsplit('.', 1)[-1]}"
        kind = kind if "." in kind else f"{MODULES}.{kind}"
        listed.append({"idx": i, "name": str(i), "path": path, "type": kind})
        (folder / path).mkdir()
        if kind.endswith("Pooling"):
            settings.setdefault("embedding_dimension", 16)
        if settings:
            write_json(folder / path / "config.json", settings)
        if weights is not None:
            _write_weights(folder / path, weights)
    write_json(folder / "modules.json", listed)
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", prompts)
    if inputs is not None:
        write_json(folder / inside / "sentence_bert_config.json", inputs)
    return folder


def dense(n_in: int, n_out: int, activation: str = "activation.Tanh", **settings: Any) -> Dict[str, Any]:
    """Describe a dense layer with random weights, for :func:`write_sentence_model`."""
    random = np.random.default_rng(n_in * 1000 + n_out)
    weights = {"linear.weight": random.normal(size=(n_out, n_in)) / 4}
    if settings.get("bias", True):
        weights["linear.bias"] = random.normal(size=n_out) / 4
    if settings.get("use_residual") and n_in != n_out:
        weights["residual.weight"] = random.normal(size=(n_out, n_in)) / 4
    return {
        "type": "Dense",
        "in_features": n_in,
        "out_features": n_out,
        "bias": True,
        "activation_function": f"torch.nn.modules.{activation}",
        **settings,
        "weights": {key: value.astype(np.float32) for key, value in weights.items()},
    }


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file."""
    file.write_text(json.dumps(content), encoding="utf8")


def _write_weights(folder: Path, weights: Any) -> None:
    import torch
    from safetensors.numpy import save_file

    if "pickled" in weights:
        tensors = {key: torch.from_numpy(value) for key, value in weights["pickled"].items()}
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
