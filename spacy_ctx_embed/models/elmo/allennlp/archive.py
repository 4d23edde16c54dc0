"""An AllenNLP archive, ``model.tar.gz``, in which ELMo is one part of a trained model.

Enters: ``weights.th`` and ``config.json``. Leaves: :class:`ElmoFiles` of the ELMo model and of its first scalar mix;
all else, such as a cache of words or a projection after the mix, is not read. Source of the names: AllenNLP 2.10
``modules/elmo.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Tuple

import torch

from spacy_ctx_embed.models.elmo.allennlp.modules import LSTM, TokenEncoderNames, read_state, token_encoder_names
from spacy_ctx_embed.models.elmo.source.container import Container, find, read_member
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays, Shape, shape_text
from spacy_ctx_embed.models.elmo.source.options import PAIR, Options, Sizes, is_table, parse_options, unreadable, wrong
from spacy_ctx_embed.models.elmo.source.torch_state import open_state
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig
from spacy_ctx_embed.networks.elmo.char_ids import N_CHARS
from spacy_ctx_embed.networks.elmo.module import ElmoConfig

WEIGHTS = (["weights.th"], ["best.th"])  # of an archive, and of the folder that training wrote
_CONFIG = "config.json"
_FIRST = f"{LSTM}forward_layer_0.input_linearity.weight"
# What neither shapes nor, where they were left behind, options tell: as in every published model.
_CLIP, _ACTIVATION, _MAX_CHARS = 3.0, "relu", 50
Mix = Tuple[Tuple[float, ...], float]


def read_allennlp_archive(container: Container) -> ElmoFiles:
    """Read the ELMo model of an archive. Sizes come from the tensors; activation, clips and characters per word from
    the options, where ``config.json`` holds them or names a file that is in the archive.

    Where several embedders hold the same ELMo model, the first by name gives the scalar mix.

    :param container: the archive, or a folder of it.
    :return: configurations and weights.
    :raises ModelFormatError: if there is no ELMo model of LSTMs in it or more than one, or a file is damaged.
    """
    name = find(container, WEIGHTS)
    assert name is not None
    with container.open(name) as stream:
        data = open_state(stream, container.label / name)
    prefixes = [tensor[: -len(_FIRST)] for tensor in data.shapes if tensor.endswith(_FIRST)]
    prefixes = sorted(prefix for prefix in prefixes if not prefix or prefix.endswith("."))
    if not prefixes:
        _refuse_other_models(data)
    options = _find_options(container)
    files = _read_embedder(data, prefixes[0], options)
    for prefix in prefixes[1:]:
        if not _same_network(files, _read_embedder(data, prefix, options)):
            found = f"there {len(prefixes)} times with different weights: {', '.join(prefixes)}"
            wrong(data.file, "ELMo", found, "one ELMo model", "save an archive without the others")
    return files


def _refuse_other_models(data: NamedArrays) -> NoReturn:
    if any("_forward_transformer." in name for name in data.shapes):
        reason = "it is the transformer variant of ELMo, whose layers are no LSTMs; that is not supported"
        unreadable(data.file, reason, "take an ELMo model of LSTMs")
    inside = ", ".join(sorted({name.split(".")[0] for name in data.shapes})[:8]) or "nothing"
    reason = f"no tensor in it is named …{_FIRST}, so there is no ELMo in this model; in it: {inside}"
    unreadable(data.file, reason, "take the archive of a model that uses ELMo")


def _read_embedder(data: NamedArrays, prefix: str, options: Optional[Sizes]) -> ElmoFiles:
    names = token_encoder_names(prefix)
    char_cnn, bilm = _sizes_of_shapes(data, prefix, names, options)
    if options is not None:
        _compare(data, "char_cnn", options.char_cnn, char_cnn, ("embedding_dim", "filters", "n_highway"), options)
        _compare(data, "lstm", options.bilm, bilm, ("dim", "projection_dim", "n_layers"), options)
    weights = read_state(data, char_cnn, bilm, prefix)
    config = ElmoConfig(char_cnn, bilm, Utf8Bytes())
    return ElmoFiles(config, weights, mix=_read_mix(data, prefix, bilm.n_layers + 1), kind="AllenNLP archive")


def _sizes_of_shapes(
    data: NamedArrays, prefix: str, names: TokenEncoderNames, options: Optional[Sizes]
) -> Tuple[CharCnnConfig, BilmConfig]:
    cell = f"{prefix}{LSTM}forward_layer_"
    kernels = [_shape(data, f"{names.conv}{i}.weight", 3) for i in range(max(_count(data, names.conv), 1))]
    told = options.char_cnn if options is not None else None
    width, dim = _shape(data, f"{cell}0.state_projection.weight", 2)
    char_cnn = CharCnnConfig(
        embedding_dim=_shape(data, names.chars, 2)[1],
        filters=tuple((kernel[2], kernel[0]) for kernel in kernels),
        activation=told.activation if told is not None else _ACTIVATION,
        n_highway=_count(data, names.highway),
        max_chars=told.max_chars if told is not None else _MAX_CHARS,
        projection_dim=width,
        n_chars=N_CHARS,
    )
    widest = max(w for w, _ in char_cnn.filters)
    if widest > char_cnn.max_chars:
        found = f"{widest} characters wide"
        wrong(data.file, f"a convolution '{names.conv}…'", found, f"at most {char_cnn.max_chars}", PAIR)
    bilm = BilmConfig(
        dim=dim,
        projection_dim=width,
        n_layers=_count(data, cell),
        cell_clip=options.bilm.cell_clip if options is not None else _CLIP,
        proj_clip=options.bilm.proj_clip if options is not None else _CLIP,
        use_skip_connections=True,  # AllenNLP knows no other
    )
    return char_cnn, bilm


def _count(data: NamedArrays, beginning: str) -> int:
    # Up to the highest number, so that a gap shows as a missing tensor.
    found = (re.match(r"\d{1,3}(?=\.)", name[len(beginning) :]) for name in data.shapes if name.startswith(beginning))
    return max((int(match[0]) + 1 for match in found if match), default=0)


def _shape(data: NamedArrays, name: str, n_axes: int) -> Shape:
    shape = data.shapes.get(name)
    if shape is None or len(shape) != n_axes or 0 in shape:
        wrong(data.file, f"the tensor '{name}'", shape_text(shape), f"of {n_axes} axes, none of them empty", PAIR)
    return shape


def _compare(data: NamedArrays, table: str, told: Any, found: Any, keys: Tuple[str, ...], options: Sizes) -> None:
    for key in keys:
        accepted, value = getattr(told, key, None), getattr(found, key)
        if accepted != value:
            item = f"the size '{key}' that {data.file.name} has"
            wrong(options.file, f"the table '{table}'", f"of {key} = {accepted}", f"{value}, {item}", PAIR)


def _read_mix(data: NamedArrays, prefix: str, n_layers: int) -> Optional[Mix]:
    # The mix is a neighbour of the LSTMs in the embedder; a biLM alone has none.
    mix = f"{prefix[: -len(LSTM)]}scalar_mix_0."
    if not prefix.endswith(LSTM) or f"{mix}gamma" not in data:
        return None
    weights = [data.read(f"{mix}scalar_parameters.{k}", (1,)).item() for k in range(n_layers)]
    return tuple(weights), data.read(f"{mix}gamma", (1,)).item()


def _same_network(left: ElmoFiles, right: ElmoFiles) -> bool:
    if left.config != right.config:
        return False
    return all(torch.equal(tensor, right.weights[name]) for name, tensor in left.weights.items())


def _find_options(container: Container) -> Optional[Sizes]:
    # Older archives keep the file that a config names, as fta/model.….options_file.
    if _CONFIG not in container.names:
        return None
    file = container.label / _CONFIG
    config = Options(read_member(container, _CONFIG), file)
    for table in _tables(config.values):
        if is_table(table.get("lstm")) and is_table(table.get("char_cnn")):
            return parse_options(json.dumps(table).encode("utf8"), file)
        named = table.get("options_file")
        if isinstance(named, str):
            last = PurePosixPath(named.replace("\\", "/")).name
            for name in container.names:
                if PurePosixPath(name).name == last or re.fullmatch(r"fta/.*options_file", name):
                    return parse_options(read_member(container, name), container.label / name)
    return None


def _tables(value: Any) -> Iterator[Dict[str, Any]]:
    # All tables in a JSON value, outer ones first.
    waiting: List[Any] = [value]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
