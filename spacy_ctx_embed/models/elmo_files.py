"""ELMo's files to two configurations and named tensors, and back to a folder of our own.

Read: AllenNLP's and bilm-tf's ``options.json`` with HDF5 weights, and the ``options.json`` with
``weights.safetensors`` that :func:`write_elmo` makes. A wrong file is refused with its name, the dataset, what was
found and what was expected. Source of the formats: bilm-tf ``bilm/model.py`` and ``bin/dump_weights.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Sequence, Tuple

import torch

from spacy_ctx_embed.models.elmo_options import AGAIN, PAIR, parse_options, unreadable, wrong
from spacy_ctx_embed.networks.bilm import Bilm, BilmConfig
from spacy_ctx_embed.networks.char_cnn import CharCnn, CharCnnConfig
from spacy_ctx_embed.networks.char_ids import N_CHARS

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class ElmoFiles:
    """What the files of an ELMo model hold.

    :param char_cnn: sizes of the token encoder.
    :param bilm: sizes of the biLM.
    :param weights: float tensors named as in the modules, after ``char_cnn.`` or ``bilm.``.
    :param source_checksum: for a folder of our own, SHA-256 of the files it was made from, where that is known.
    """

    char_cnn: CharCnnConfig
    bilm: BilmConfig
    weights: Dict[str, torch.Tensor]
    source_checksum: Optional[str] = None


def read_elmo(path: Path) -> ElmoFiles:
    """Read a model.

    :param path: a folder with one options file (``options.json``, else ``*options*.json``) and one weight file
        (``weights.safetensors`` or ``weights.hdf5``, else ``*weights*.hdf5``, else ``*.hdf5``); or its weight file.
    :return: configurations and weights, on the CPU.
    :raises ModelFormatError: if a file is missing, ambiguous, damaged or not what the other one describes.
    """
    options_file, weights_file = _find_files(path)
    char_cnn, bilm = parse_options(options_file)
    if weights_file.suffix == ".safetensors":
        return _read_safetensors(weights_file, char_cnn, bilm)
    return _read_hdf5(weights_file, char_cnn, bilm)


def write_elmo(directory: Path, files: ElmoFiles) -> None:
    """Write ``options.json`` and ``weights.safetensors``.

    :param directory: an existing folder.
    :param files: what to write.
    """
    from safetensors.torch import save_file

    lstm, chars = files.bilm, files.char_cnn
    options = {
        "lstm": {
            "dim": lstm.dim,
            "projection_dim": lstm.projection_dim,
            "n_layers": lstm.n_layers,
            "cell_clip": lstm.cell_clip,
            "proj_clip": lstm.proj_clip,
            "use_skip_connections": lstm.use_skip_connections,
        },
        "char_cnn": {
            "activation": chars.activation,
            "embedding": {"dim": chars.embedding_dim},
            "filters": [list(pair) for pair in chars.filters],
            "n_highway": chars.n_highway,
            "n_characters": N_CHARS,
            "max_characters_per_token": chars.max_chars,
        },
    }
    (directory / "options.json").write_text(json.dumps(options, indent=2) + "\n", encoding="utf8")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in files.weights.items()}
    metadata = {"format": "pt"}
    if files.source_checksum is not None:
        metadata["source_checksum"] = files.source_checksum
    save_file(weights, directory / "weights.safetensors", metadata=metadata)


def _find_files(path: Path) -> Tuple[Path, Path]:
    if path.is_file():
        partner = path.with_name(path.name.replace("weights.hdf5", "options.json"))
        named = partner != path and partner.is_file()
        return partner if named else _only(path.parent, [["options.json"], ["*options*.json"]]), path
    if not path.is_dir():
        unreadable(path, "there is no such file or folder", "correct the path")
    options = _only(path, [["options.json"], ["*options*.json"]])
    patterns = [["weights.safetensors", "weights.hdf5"], ["*weights*.hdf5"], ["*.hdf5"]]
    return options, _only(path, patterns)


def _only(folder: Path, patterns: Sequence[Sequence[str]]) -> Path:
    # The one file that the first pattern with any match matches.
    for group in patterns:
        found = sorted({file for pattern in group for file in folder.glob(pattern) if file.is_file()})
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            unreadable(folder, f"more than one file could be meant: {names}", "keep each model in a folder of its own")
    wanted = ", ".join(pattern for group in patterns for pattern in group)
    return unreadable(folder, f"no file in it is named {wanted}", "put the missing file there")


def _read_safetensors(file: Path, char_cnn: CharCnnConfig, bilm: BilmConfig) -> ElmoFiles:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            weights = {name: stream.get_tensor(name) for name in stream.keys()}
    except (OSError, SafetensorError) as error:
        unreadable(file, f"not readable as safetensors ({error})", AGAIN, error)
    if char_cnn.n_filters == char_cnn.projection_dim:
        char_cnn = replace(char_cnn, use_projection="char_cnn.projection.weight" in weights)
    if bilm.dim == bilm.projection_dim:
        bilm = replace(bilm, use_projection="bilm.layers.0.projection" in weights)
    with torch.device("meta"):
        modules = {"char_cnn": CharCnn(char_cnn), "bilm": Bilm(bilm)}
    wanted = {f"{k}.{name}": t.shape for k, module in modules.items() for name, t in module.state_dict().items()}
    for name, shape in wanted.items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != tuple(shape):
            wrong(file, f"the tensor '{name}'", _shape_text(found), _shape_text(tuple(shape)), PAIR)
        if not torch.isfinite(weights[name]).all():
            wrong(file, f"the tensor '{name}'", "not finite everywhere (NaN or infinite)", "numbers", AGAIN)
    return ElmoFiles(char_cnn, bilm, {name: weights[name] for name in wanted}, metadata.get("source_checksum"))


def _read_hdf5(file: Path, char_cnn: CharCnnConfig, bilm: BilmConfig) -> ElmoFiles:
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            datasets = _Datasets(file, stream)
            char_cnn, char_weights = _char_cnn_weights(datasets, char_cnn)
            bilm, bilm_weights = _bilm_weights(datasets, bilm)
    except OSError as error:
        unreadable(file, f"not readable as HDF5, or cut off ({error})", AGAIN, error)
    return ElmoFiles(char_cnn, bilm, {**char_weights, **bilm_weights})


class _Datasets:
    # The datasets of one open file, checked as they are read.

    def __init__(self, file: Path, stream: h5py.File) -> None:
        self.file = file
        self.stream = stream

    def __contains__(self, name: str) -> bool:
        return name in self.stream

    def read(self, name: str, *shapes: Tuple[int, ...]) -> torch.Tensor:
        # A float32 tensor of one of the shapes.
        import numpy as np

        found = getattr(self.stream.get(name), "shape", None)
        if found not in shapes:
            expected = " or ".join(_shape_text(shape) for shape in shapes)
            wrong(self.file, f"the dataset '{name}'", _shape_text(found), expected, PAIR)
        dataset = self.stream[name]
        if dataset.dtype.kind != "f":
            wrong(self.file, f"the dataset '{name}'", f"of type {dataset.dtype}", "floating-point numbers", AGAIN)
        array = np.asarray(dataset[()], dtype=np.float32)
        if not np.isfinite(array).all():
            n = int((~np.isfinite(array)).sum())
            wrong(self.file, f"the dataset '{name}'", f"not finite (NaN or infinite) in {n} places", "numbers", AGAIN)
        return torch.from_numpy(array)

    def refuse(self, name: str, key: str, value: int) -> None:
        # What the options do not mention would be dropped without a word.
        if name in self.stream:
            found = f"{value}, but the weights also hold '{name}'"
            wrong(self.file, f"the key '{key}' of its options", found, "the number of them in the file", PAIR)


def _char_cnn_weights(data: _Datasets, config: CharCnnConfig) -> Tuple[CharCnnConfig, Dict[str, torch.Tensor]]:
    dim, total = config.embedding_dim, config.n_filters
    chars = data.read("char_embed", (N_CHARS - 1, dim), (N_CHARS, dim))
    if len(chars) < N_CHARS:  # the file of a training run: without the zero row of "no token"
        chars = torch.cat([chars.new_zeros((1, dim)), chars])
    weights = {"embedding.weight": chars}
    for i, (width, n) in enumerate(config.filters):
        kernel = data.read(f"CNN/W_cnn_{i}", (1, width, dim, n))
        weights[f"convs.{i}.weight"] = kernel.reshape(width * dim, n).t()
        weights[f"convs.{i}.bias"] = data.read(f"CNN/b_cnn_{i}", (n,))
    data.refuse(f"CNN/W_cnn_{len(config.filters)}", "char_cnn.filters", len(config.filters))
    for k in range(config.n_highway):
        parts = {}
        for part in ("transform", "carry"):
            parts[part] = data.read(f"CNN_high_{k}/W_{part}", (total, total)).t()
            parts[f"{part}_bias"] = data.read(f"CNN_high_{k}/b_{part}", (total,))
        weights[f"highways.{k}.weight"] = torch.cat([parts["transform"], parts["carry"]])
        weights[f"highways.{k}.bias"] = torch.cat([parts["transform_bias"], parts["carry_bias"]])
    data.refuse(f"CNN_high_{config.n_highway}", "char_cnn.n_highway", config.n_highway)
    config = replace(config, use_projection=total != config.projection_dim or "CNN_proj/W_proj" in data)
    if config.use_projection:
        weights["projection.weight"] = data.read("CNN_proj/W_proj", (total, config.projection_dim)).t()
        weights["projection.bias"] = data.read("CNN_proj/b_proj", (config.projection_dim,))
    return config, {f"char_cnn.{name}": tensor.contiguous() for name, tensor in weights.items()}


def _bilm_weights(data: _Datasets, config: BilmConfig) -> Tuple[BilmConfig, Dict[str, torch.Tensor]]:
    dim, width = config.dim, config.projection_dim
    cells = [[_cell_name(data, d, layer, config.n_layers) for d in (0, 1)] for layer in range(config.n_layers)]
    config = replace(config, use_projection=dim != width or f"{cells[0][0]}/W_P_0" in data)
    weights = {}
    for layer, names in enumerate(cells):
        kernels = [_swap_gates(data.read(f"{name}/W_0", (2 * width, 4 * dim))) for name in names]
        biases = [_swap_gates(data.read(f"{name}/B", (4 * dim,))) for name in names]
        weights[f"bilm.layers.{layer}.weight"] = torch.stack(kernels)
        weights[f"bilm.layers.{layer}.bias"] = torch.stack(biases)[:, None]
        weights[f"bilm.layers.{layer}.bias"][:, :, dim : 2 * dim] += 1  # TensorFlow adds it when it runs
        if config.use_projection:
            projections = [data.read(f"{name}/W_P_0", (dim, width)) for name in names]
            weights[f"bilm.layers.{layer}.projection"] = torch.stack(projections)
    data.refuse(f"RNN_0/RNN/MultiRNNCell/Cell{config.n_layers}", "lstm.n_layers", config.n_layers)
    return config, weights


def _cell_name(data: _Datasets, direction: int, layer: int, n_layers: int) -> str:
    single = f"RNN_{direction}/RNN/LSTMCell"  # how bilm-tf names a model of one layer
    if n_layers == 1 and f"{single}/W_0" in data:
        return single
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def _swap_gates(z: torch.Tensor) -> torch.Tensor:
    # TensorFlow's blocks i, j, f, o (last axis) to ours: i, f, o, j.
    i, j, f, o = z.chunk(4, dim=-1)
    return torch.cat([i, f, o, j], dim=-1)


def _shape_text(shape: Optional[Tuple[int, ...]]) -> str:
    return "missing" if shape is None else f"of shape {tuple(shape)}"
