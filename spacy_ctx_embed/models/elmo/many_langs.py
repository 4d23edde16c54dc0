"""A model of ELMoForManyLangs, in its folder or as NLPL publishes it, in a zip archive.

Enters: ``config.json``, the architecture that it names, ``char.dic``, ``word.dic``, ``token_embedder.pkl`` and
``encoder.pkl``. Leaves: :class:`ElmoFiles`. Source of the names and of the rules: Che et al. 2018, and its code,
``elmoformanylangs/elmo.py``, ``modules/token_embedder.py``, ``modules/elmo.py``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Sequence

from spacy_ctx_embed.models.elmo.allennlp.modules import TokenEncoderNames, Weights, read_bilm, read_char_cnn
from spacy_ctx_embed.models.elmo.source.container import Container, read_member
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles, check_rows
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import (
    AGAIN,
    COUNT,
    PAIR,
    Options,
    is_count,
    is_count_or_zero,
    read_clip,
    read_filters,
    read_max_chars,
    unreadable,
    wrong,
)
from spacy_ctx_embed.models.elmo.source.torch_state import open_state
from spacy_ctx_embed.networks.elmo.alphabets import CodePoints
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import ACTIVATIONS, CharCnnConfig
from spacy_ctx_embed.networks.elmo.lexicon import Lexicon
from spacy_ctx_embed.networks.elmo.module import ElmoConfig

CONFIG, CHARS, WORDS = "config.json", "char.dic", "word.dic"
TOKEN_EMBEDDER, ENCODER = "token_embedder.pkl", "encoder.pkl"
CLUES = (ENCODER, TOKEN_EMBEDDER, WORDS, CHARS)
_NAMES = TokenEncoderNames("char_emb_layer.embedding.weight", "convolutions.", "highways._layers.", "projection")
_WORD_TABLE = "word_emb_layer.embedding.weight"
_BLANK = "\u3000"  # the key of a line of which, once stripped, only the number is left
_UNKNOWN_WORD = "<oov>"
# The architecture of every published model, which most do not bring along: their code has it under these names.
_PACKAGED = ("cnn_50_100_512_4096_sample.json", "cnn_0_100_512_4096_sample.json")
_PUBLISHED = {
    "encoder": {"name": "elmo", "projection_dim": 512, "dim": 4096, "n_layers": 2, "cell_clip": 3, "proj_clip": 3},
    "token_embedder": {
        "name": "cnn",
        "activation": "relu",
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "n_highway": 2,
        "word_dim": 100,
        "char_dim": 50,
        "max_characters_per_token": 50,
    },
}


@dataclass(frozen=True)
class _Architecture:
    # What the JSON file says; of the token encoder without what only tensors and lists tell.
    char_cnn: CharCnnConfig
    bilm: BilmConfig
    file: Path


def read_many_langs(container: Container) -> ElmoFiles:
    """Read a model. The architecture is the file that ``config.json`` names, by its path inside the container or by
    its last part, or else the published one of that name; nothing outside the container is opened.

    :param container: the folder, or an archive of it.
    :return: configurations and weights.
    :raises ModelFormatError: if a file is missing, damaged or of another model, or the architecture is not supported.
    """
    architecture = _read_architecture(container)
    table, encoder = (_open(container, name, architecture) for name in (TOKEN_EMBEDDER, ENCODER))
    config = _elmo_config(container, table, architecture)
    check_rows(table, config)
    weights: Weights = {}
    word_dim = architecture.char_cnn.word_dim
    if config.lexicon is not None:
        weights["words.weight"] = table.read(_WORD_TABLE, (config.n_words, word_dim))
    if config.char_cnn is not None:
        weights.update(read_char_cnn(table, _NAMES, config.char_cnn))
        for beginning, key, n in (
            (_NAMES.conv, "filters", len(config.char_cnn.filters)),
            (_NAMES.highway, "n_highway", config.char_cnn.n_highway),
        ):
            table.refuse_extra(f"{beginning}{n}.weight", f"token_embedder.{key}", n)
    else:  # without characters, the projection of a word's vector is one more table
        width = config.bilm.projection_dim
        projection = table.read("projection.weight", (width, word_dim))
        weights["words.weight"] = weights["words.weight"] @ projection.t() + table.read("projection.bias", (width,))
    weights.update(read_bilm(encoder, "", config.bilm))
    n_layers = config.bilm.n_layers
    encoder.refuse_extra(f"forward_layer_{n_layers}.input_linearity.weight", "encoder.n_layers", n_layers)
    return ElmoFiles(config, weights, kind="ELMoForManyLangs")


def _read_architecture(container: Container) -> _Architecture:
    config = Options(_read(container, CONFIG), container.label / CONFIG)
    path: str = config.get("config_path", lambda value: isinstance(value, str), "the path of a JSON file")
    last = re.split(r"[/\\]", path)[-1]
    for name in (path.removeprefix("./"), last):
        if name in container.names:
            return _parse(Options(read_member(container, name), container.label / name))
    if last in _PACKAGED:
        return _parse(Options(json.dumps(_PUBLISHED).encode("utf8"), container.label / last))
    accepted = f"a file in the same folder, or {' or '.join(_PACKAGED)}"
    return wrong(config.file, "the key 'config_path'", repr(path), accepted, f"put the file {last} there")


def _parse(options: Options) -> _Architecture:
    def count(path: str) -> int:
        return int(options.get(path, is_count_or_zero, "a whole number of at least 0", 0))

    for path, names in (("encoder.name", ("elmo",)), ("token_embedder.name", ("cnn",))):
        options.get(path, names.__contains__, f"'{names[0]}', of which kind all published models are")
    bilm = BilmConfig(
        dim=options.get("encoder.dim", is_count, COUNT),
        projection_dim=options.get("encoder.projection_dim", is_count, COUNT),
        n_layers=options.get("encoder.n_layers", is_count, COUNT),
        cell_clip=read_clip(options, "encoder.cell_clip"),
        proj_clip=read_clip(options, "encoder.proj_clip"),
        use_skip_connections=True,
    )
    char_dim, word_dim = count("token_embedder.char_dim"), count("token_embedder.word_dim")
    if not char_dim and not word_dim:
        found, accepted = "0, and so is 'token_embedder.char_dim'", "a width for characters, words or both"
        wrong(options.file, "the key 'token_embedder.word_dim'", found, accepted, PAIR)
    max_chars = read_max_chars(options, "token_embedder.max_characters_per_token")
    char_cnn = CharCnnConfig(
        embedding_dim=char_dim,
        filters=read_filters(options, "token_embedder.filters", max_chars) if char_dim else (),
        activation=options.get("token_embedder.activation", ACTIVATIONS.__contains__, " or ".join(ACTIVATIONS)),
        n_highway=count("token_embedder.n_highway"),
        max_chars=max_chars,
        projection_dim=bilm.projection_dim,
        word_dim=word_dim,
    )
    return _Architecture(char_cnn, bilm, options.file)


def _open(container: Container, name: str, architecture: _Architecture) -> NamedArrays:
    _require(container, name)
    with container.open(name) as stream:
        data = open_state(stream, container.label / name)
    data.sizes = architecture.file
    return data


def _elmo_config(container: Container, table: NamedArrays, architecture: _Architecture) -> ElmoConfig:
    char_cnn = architecture.char_cnn
    lexicon, n_words = None, 0
    if char_cnn.word_dim:
        rows = _read_list(container, WORDS, (_UNKNOWN_WORD, CodePoints.bos, CodePoints.eos))
        lexicon = Lexicon(rows, rows[_UNKNOWN_WORD], char_cnn.max_chars - 2)
        n_words = _n_rows(table, _WORD_TABLE)
    if not char_cnn.embedding_dim:
        alphabet = CodePoints({symbol: row for row, symbol in enumerate(CodePoints.SYMBOLS)})  # boundary words only
        return ElmoConfig(None, architecture.bilm, alphabet, lexicon, n_words)
    alphabet = CodePoints(_read_list(container, CHARS, CodePoints.SYMBOLS))
    char_cnn = replace(char_cnn, n_chars=_n_rows(table, _NAMES.chars), pad_char=alphabet.pad)
    return ElmoConfig(char_cnn, architecture.bilm, alphabet, lexicon, n_words)


def _read_list(container: Container, name: str, required: Sequence[str]) -> Dict[str, int]:
    # Lines are taken apart as the original code does it, in which a later line of the same key wins.
    file = container.label / name
    try:
        lines = _read(container, name).decode("utf8").split("\n")
    except UnicodeDecodeError as error:
        unreadable(file, f"not readable as UTF-8 text ({error})", AGAIN, error)
    rows: Dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        fields = line.strip().split("\t")
        if fields == [""]:
            continue
        key, row = fields if len(fields) == 2 else (_BLANK, fields[0])
        if len(fields) > 2 or not row.isdecimal():
            wrong(file, f"line {number}", repr(line), "a key, a tab and the number of its row", AGAIN)
        rows[key] = int(row)
    missing = [symbol for symbol in required if symbol not in rows]
    if missing:
        wrong(file, "the list", f"without {', '.join(missing)}", "all of them", PAIR)
    return rows


def _n_rows(data: NamedArrays, name: str) -> int:
    return (data.shapes.get(name) or (0,))[0]


def _read(container: Container, name: str) -> bytes:
    _require(container, name)
    return read_member(container, name)


def _require(container: Container, name: str) -> None:
    if name not in container.names:
        unreadable(container.label, f"it has no {name}, as a model of ELMoForManyLangs does", "put the file there")
