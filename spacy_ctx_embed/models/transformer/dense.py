"""A dense layer of sentence-transformers: its config and weights to arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np

from spacy_ctx_embed.data import Dense
from spacy_ctx_embed.errors import Errors, ModelFormatError, reason_of, unreadable

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ACCEPTED = (
    "a Transformer whose last states are pooled, then Pooling (cls, max, mean, mean_sqrt_len_tokens, weightedmean, "
    "lasttoken), then any of Dense with a module of torch.nn as its activation, Normalize and Dropout"
)
_FIX = "download or save the model again, or set doc_pooling = 'mean'"


def read_dense(folder: Path, config: Dict[str, Any], files: Dict[str, bytes]) -> Dense:
    """Read a layer.

    :param folder: where its files were found, for messages.
    :param config: what its config.json holds.
    :param files: its weights, by one of the names :data:`WEIGHTS`.
    :return: the layer, float32.
    :raises ModelFormatError: if the weights are missing, damaged or of another shape, or its activation is no module of
        torch.
    """
    if not files:
        accepted = " or ".join(WEIGHTS)
        raise unreadable(folder, "it has no weights of this dense layer", accepted=accepted, fix=_FIX)
    name, content = next(iter(files.items()))
    try:
        arrays = _arrays(name, content)
    except Exception as error:  # whatever torch and safetensors raise at damaged bytes
        raise unreadable(folder / name, reason_of(error), accepted="weights as torch saves them", fix=_FIX) from error
    n_in, n_out = config.get("in_features"), config.get("out_features")
    expected: Dict[str, Tuple[Any, ...]] = {"linear.weight": (n_out, n_in)}
    if config.get("bias", True):
        expected["linear.bias"] = (n_out,)
    if config.get("use_residual") and n_in != n_out:
        expected["residual.weight"] = (n_out, n_in)
    for key, shape in expected.items():
        found = arrays[key].shape if key in arrays else None
        if found != shape or not np.isfinite(arrays[key]).all():
            raise ModelFormatError(
                Errors.E013.format(
                    file=folder / name,
                    item=key,
                    found="missing" if found is None else f"of shape {found}" if found != shape else "not all numbers",
                    expected=f"numbers of shape {shape}, as config.json says",
                    fix=_FIX,
                )
            )
    residual = None
    if config.get("use_residual"):
        same = n_in == n_out
        residual = np.eye(len(arrays["linear.weight"]), dtype=np.float32) if same else arrays["residual.weight"]
    return Dense(
        arrays["linear.weight"],
        arrays["linear.bias"] if "linear.bias" in expected else None,
        _activation(folder / "config.json", config.get("activation_function", "torch.nn.modules.activation.Tanh")),
        residual,
    )


def unknown(file: Path, item: str, value: Any) -> ModelFormatError:
    """Make the error for what can't be done here.

    :param file: where it says so.
    :param item: what it is of.
    :param value: what it says.
    :return: the error.
    """
    reason = f"its {item} is {value!r}, which doc_pooling = 'model' can't do"
    fix = "set doc_pooling = 'mean' in the config, or use SentenceTransformer.encode for vectors of texts"
    return unreadable(file, reason, accepted=_ACCEPTED, fix=fix)


def _arrays(name: str, content: bytes) -> Dict[str, np.ndarray]:
    import torch
    from safetensors.torch import load

    if name.endswith(".safetensors"):
        tensors = load(content)
    else:
        tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {key: tensor.float().numpy() for key, tensor in tensors.items()}


def _activation(file: Path, name: Any) -> str:
    # A class of torch.nn that needs no arguments; any other name would run code that the model's author chose.
    from torch import nn

    short = str(name).rsplit(".", 1)[-1]
    found = getattr(nn, short, None) if str(name).startswith("torch.nn.") else None
    try:
        if isinstance(found, type) and issubclass(found, nn.Module) and not list(found().parameters()):
            return short
    except TypeError:  # it needs arguments
        pass
    raise unknown(file, "activation_function", name)
