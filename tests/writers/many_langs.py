"""Writes tiny random models in the form in which ELMoForManyLangs publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch

Tensors = Dict[str, torch.Tensor]

WORDS = ["<oov>", "<bos>", "<eos>", "<pad>", "the", "cat", "中文", "x" * 48, "a\u3000b", "🙂"]
# The last of the characters is whitespace: of its line only the number is left once the line is stripped.
CHARACTERS = [*"thecaxé中文🙂", "\u3000", "<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>"]


def many_langs_architecture(**changes: Any) -> Dict[str, Any]:
    """The JSON of an architecture; ``changes`` are keys of either table."""
    encoder = {"name": "elmo", "projection_dim": 6, "dim": 10, "n_layers": 2, "cell_clip": 0.3, "proj_clip": 0.2}
    embedder = {
        "name": "cnn",
        "activation": "relu",
        "filters": [[1, 4], [2, 3], [4, 5]],
        "n_highway": 2,
        "word_dim": 5,
        "char_dim": 4,
        "max_characters_per_token": 50,
    }
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (encoder if table == "encoder" or key in ("dim", "projection_dim", "n_layers") else embedder)[name] = value
    return {"encoder": encoder, "token_embedder": embedder, "dropout": 0.1}


def many_langs_tensors(architecture: Dict[str, Any], n_words: int, n_chars: int) -> Tuple[Tensors, Tensors]:
    """Random tensors of ``token_embedder.pkl`` and ``encoder.pkl``."""
    random = torch.Generator().manual_seed(0)
    lstm, cnn = architecture["encoder"], architecture["token_embedder"]
    dim, width = lstm["dim"], lstm["projection_dim"]
    total = sum(n for _, n in cnn["filters"]) if cnn["char_dim"] else 0
    table: Dict[str, List[int]] = {"projection.weight": [width, cnn["word_dim"] + total], "projection.bias": [width]}
    if cnn["word_dim"]:
        table["word_emb_layer.embedding.weight"] = [n_words, cnn["word_dim"]]
    if cnn["char_dim"]:
        table["char_emb_layer.embedding.weight"] = [n_chars, cnn["char_dim"]]
        for i, (w, n) in enumerate(cnn["filters"]):
            table[f"convolutions.{i}.weight"], table[f"convolutions.{i}.bias"] = [n, cnn["char_dim"], w], [n]
        for k in range(cnn["n_highway"]):
            table[f"highways._layers.{k}.weight"] = [2 * total, total]
            table[f"highways._layers.{k}.bias"] = [2 * total]
    encoder: Dict[str, List[int]] = {}
    for direction in ("forward", "backward"):
        for layer in range(lstm["n_layers"]):
            cell = f"{direction}_layer_{layer}"
            encoder[f"{cell}.input_linearity.weight"] = [4 * dim, width]
            encoder[f"{cell}.state_linearity.weight"] = [4 * dim, width]
            encoder[f"{cell}.state_linearity.bias"] = [4 * dim]
            encoder[f"{cell}.state_projection.weight"] = [width, dim]
    made = [{name: torch.randn(s, generator=random) * 0.5 for name, s in part.items()} for part in (table, encoder)]
    return made[0], made[1]


def write_dic(file: Path, keys: Sequence[str]) -> None:
    file.write_text("".join(f"{key}\t{row}\n" for row, key in enumerate(keys)), encoding="utf8", newline="")


def write_state(file: Path, tensors: Dict[str, Any]) -> None:
    """Save as torch before 1.6 did, in a row of pickles instead of a zip archive."""
    torch.save(tensors, file, _use_new_zipfile_serialization=False)


def name_a_gpu(file: Path) -> None:
    """Change a file that :func:`write_state` wrote to one whose tensors were on the authors' GPU."""
    content = file.read_bytes().replace(b"ctorch\nFloatStorage\n", b"ctorch.cuda\nFloatStorage\n")
    content = content.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
    file.write_bytes(content)


def write_many_langs(folder: Path, **changes: Any) -> Path:
    """A random model; ``changes`` are those of :func:`many_langs_architecture`."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = many_langs_architecture(**changes)
    config = {"config_path": "/home/authors/configs/tiny.json", "gpu": 0, "model": "/home/authors/model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tiny.json").write_text(json.dumps(architecture))
    if architecture["token_embedder"]["word_dim"]:
        write_dic(folder / "word.dic", WORDS)
    if architecture["token_embedder"]["char_dim"]:
        write_dic(folder / "char.dic", CHARACTERS)
    table, encoder = many_langs_tensors(architecture, len(WORDS), len(CHARACTERS))
    write_state(folder / "token_embedder.pkl", table)
    write_state(folder / "encoder.pkl", encoder)
    return folder
