"""A folder of our own: ``options.json`` and ``weights.safetensors``, which loads fastest and holds every kind of model.

The options are those of bilm-tf; what bilm-tf has no key for stands under ``spacy_ctx_embed``. ``words.json`` and
``characters.json``, where there are such tables, hold the row of each word and character.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import torch

from spacy_ctx_embed.models.elmo.source.container import Container, Folder, read_member
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles, check_rows, read_module
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import (
    AGAIN,
    COUNT,
    Options,
    is_count,
    is_count_or_zero,
    is_table,
    parse_options,
    unreadable,
    wrong,
)
from spacy_ctx_embed.networks.elmo.alphabets import Alphabet, CodePoints, Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig
from spacy_ctx_embed.networks.elmo.lexicon import NOT_LISTED, Lexicon
from spacy_ctx_embed.networks.elmo.module import ElmoConfig

OPTIONS, WEIGHTS, WORDS, CHARACTERS = "options.json", "weights.safetensors", "words.json", "characters.json"
_OURS = "spacy_ctx_embed"


def write_elmo(directory: Path, files: ElmoFiles, dtype: torch.dtype = torch.float32) -> None:
    """Write a model.

    :param directory: an existing folder.
    :param files: what to write.
    :param dtype: of the weights in the file; they are read as float32 again.
    """
    from safetensors.torch import save_file

    config = files.config
    extra: Dict[str, Any] = {"kind": files.kind}
    options: Dict[str, Any] = {"lstm": _lstm_options(config.bilm), _OURS: extra}
    if config.char_cnn is not None:
        options["char_cnn"] = _char_options(config.char_cnn)
        extra["word_dim"] = config.char_cnn.word_dim
    if isinstance(config.alphabet, CodePoints):
        _write_json(directory / CHARACTERS, config.alphabet.rows)
    if config.lexicon is not None:
        extra["words"] = {"unknown": config.lexicon.unknown, "max_length": config.lexicon.max_length}
        _write_json(directory / WORDS, config.lexicon.rows)
    if files.mix is not None:
        extra["mix"] = {"weights": list(files.mix[0]), "gamma": files.mix[1]}
    _write_json(directory / OPTIONS, options)
    weights = {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in files.weights.items()}
    metadata = {"format": "pt"}
    if files.source_checksum is not None:
        metadata["source_checksum"] = files.source_checksum
    save_file(weights, directory / WEIGHTS, metadata=metadata)
    (directory / WEIGHTS).chmod((directory / OPTIONS).stat().st_mode)  # safetensors writes for the owner only


def read_folder(container: Container) -> ElmoFiles:
    """Read what :func:`write_elmo` wrote.

    :param container: a folder, or an archive of one.
    :return: configurations and weights.
    :raises ModelFormatError: if a file is missing, damaged or not what the other one describes.
    """
    file = container.label / OPTIONS
    text = read_member(container, OPTIONS)
    sizes = parse_options(text, file)
    options = Options(text, file)
    options.get(_OURS, is_table, "a table", {})
    data, metadata = _open_safetensors(container)
    char_cnn, bilm = sizes.char_cnn, sizes.bilm
    alphabet: Alphabet = Utf8Bytes()
    if CHARACTERS in container.names:
        alphabet = CodePoints(_rows(container, CHARACTERS, CodePoints.SYMBOLS))
    if char_cnn is not None:
        char_cnn = replace(
            char_cnn,
            n_chars=_n_rows(data, "char_cnn.embedding.weight"),
            pad_char=alphabet.pad,
            word_dim=options.get(f"{_OURS}.word_dim", is_count_or_zero, "a whole number of at least 0", 0),
            use_projection="char_cnn.projection.weight" in data or char_cnn.n_filters != char_cnn.projection_dim,
        )
    if bilm.dim == bilm.projection_dim:
        bilm = replace(bilm, use_projection="bilm.layers.0.projection" in data)
    lexicon = _lexicon(container, options) if WORDS in container.names else None
    n_words = _n_rows(data, "words.weight")
    config = ElmoConfig(char_cnn, bilm, alphabet, lexicon, n_words, aligned="alignment.weight" in data)
    check_rows(data, config)
    return ElmoFiles(
        config,
        read_module(data, config),
        metadata.get("source_checksum"),
        mix=_mix(options, bilm.n_layers + 1),
        kind=options.get(f"{_OURS}.kind", _is_text, "a text", ""),
    )


def _open_safetensors(container: Container) -> Tuple[NamedArrays, Dict[str, str]]:
    import safetensors
    from safetensors.torch import load

    file = container.label / WEIGHTS
    try:
        if isinstance(container, Folder):
            with safetensors.safe_open(container.path / WEIGHTS, framework="pt") as stream:
                metadata = stream.metadata() or {}
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}
        else:
            content = read_member(container, WEIGHTS)
            tensors = load(content)  # which checks the beginning
            metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        unreadable(file, f"not readable as safetensors ({error})", AGAIN, error)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return NamedArrays(file, shapes, tensors.__getitem__, "tensor"), metadata


def _lexicon(container: Container, options: Options) -> Lexicon:
    _table(options, "words", ("unknown", "max_length"))
    unknown = options.get(f"{_OURS}.words.unknown", _is_row, f"the number of a row, or {NOT_LISTED}", NOT_LISTED)
    max_length = options.get(f"{_OURS}.words.max_length", is_count, f"{COUNT}, or null", None)
    return Lexicon(_rows(container, WORDS), unknown, max_length)


def _mix(options: Options, n_layers: int) -> Optional[Tuple[Tuple[float, ...], float]]:
    if not _table(options, "mix", ("weights", "gamma")):
        return None

    def fits(weights: Any) -> bool:
        return isinstance(weights, list) and len(weights) == n_layers and all(map(_is_number, weights))

    weights = options.get(f"{_OURS}.mix.weights", fits, f"a list of {n_layers} numbers, one for each layer")
    return tuple(weights), options.get(f"{_OURS}.mix.gamma", _is_number, "a number")


def _table(options: Options, key: str, keys: Tuple[str, str]) -> Dict[str, Any]:
    def fits(value: Any) -> bool:
        return isinstance(value, dict) and value.keys() <= set(keys)

    table: Dict[str, Any] = options.get(f"{_OURS}.{key}", fits, f"a table of {' and '.join(keys)}", {})
    return table


def _is_row(value: Any) -> bool:
    return type(value) is int and value >= NOT_LISTED


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e38  # which float32 can hold; JSON may have NaN too


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _rows(container: Container, name: str, required: Sequence[str] = ()) -> Dict[str, int]:
    rows = Options(read_member(container, name), container.label / name).values
    if not isinstance(rows, dict) or not all(type(row) is int and row >= 0 for row in rows.values()):
        wrong(container.label / name, "its content", "something else", "a table of row numbers", AGAIN)
    missing = [symbol for symbol in required if symbol not in rows]
    if missing:
        wrong(container.label / name, "the table", f"without {', '.join(missing)}", "all of them", AGAIN)
    return rows


def _n_rows(data: NamedArrays, name: str) -> int:
    return (data.shapes.get(name) or (0,))[0]


def _lstm_options(config: BilmConfig) -> Dict[str, Any]:
    return {
        "dim": config.dim,
        "projection_dim": config.projection_dim,
        "n_layers": config.n_layers,
        "cell_clip": config.cell_clip,
        "proj_clip": config.proj_clip,
        "use_skip_connections": config.use_skip_connections,
    }


def _char_options(config: CharCnnConfig) -> Dict[str, Any]:
    return {
        "activation": config.activation,
        "embedding": {"dim": config.embedding_dim},
        "filters": [list(pair) for pair in config.filters],
        "n_highway": config.n_highway,
        "n_characters": config.n_chars,
        "max_characters_per_token": config.max_chars,
    }


def _write_json(file: Path, values: Dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2 if file.name == OPTIONS else None) + "\n", encoding="utf8")
