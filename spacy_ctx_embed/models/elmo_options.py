"""ELMo's ``options.json`` to two configurations, and the errors that ELMo's files share.

Keys that only training reads are ignored. Source of the keys: bilm-tf ``bilm/model.py`` and ``bilm/training.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional, Tuple

from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.networks.bilm import BilmConfig
from spacy_ctx_embed.networks.char_cnn import ACTIVATIONS, CharCnnConfig

AGAIN = "get the file again, it may have been cut off or changed on its way"
PAIR = "give the options and the weights of one and the same model"
_ACCEPTED = "an ELMo model as AllenNLP and bilm-tf publish them: options.json and weights.hdf5"
_REQUIRED = object()


def parse_options(file: Path) -> Tuple[CharCnnConfig, BilmConfig]:
    """Read the sizes of a model. Whether projections are there, only the weights tell: both are taken as used.

    :param file: the options file.
    :return: sizes of the token encoder and of the biLM.
    :raises ModelFormatError: if it is not JSON, a key is missing, or a value makes no sense.
    """
    try:
        options = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        unreadable(file, f"not readable as JSON ({error})", AGAIN, error)

    def get(path: str, accept: Callable[[Any], bool], expected: str, default: Any = _REQUIRED) -> Any:
        value: Any = options
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and default is not _REQUIRED:
            return default
        if not accept(value):
            found = "missing" if value is None else repr(value)
            wrong(file, f"the key '{path}'", found, expected, "take the options.json that belongs to the weights")
        return value

    get("lstm", _is_table, "a table")
    get("char_cnn", _is_table, "a table: only models that read characters are supported, not token ids")
    count, some = "a whole number of at least 1", "a whole number of at least 0"
    width = get("lstm.projection_dim", _is_count, count)
    max_chars = get("char_cnn.max_characters_per_token", _is_max_chars, "a whole number of at least 3", 50)
    filters = get("char_cnn.filters", _is_filters, "a list of [width, number] pairs")
    if max(pair[0] for pair in filters) > max_chars:
        wrong(file, "the key 'char_cnn.filters'", repr(filters), f"widths of at most {max_chars} characters", PAIR)
    char_cnn = CharCnnConfig(
        embedding_dim=get("char_cnn.embedding.dim", _is_count, count),
        filters=tuple((w, n) for w, n in filters),
        activation=get("char_cnn.activation", ACTIVATIONS.__contains__, " or ".join(map(repr, ACTIVATIONS))),
        n_highway=get("char_cnn.n_highway", _is_count_or_zero, some, 0),
        max_chars=max_chars,
        projection_dim=width,
    )
    clip = "a number of at least 0, or null"
    bilm = BilmConfig(
        dim=get("lstm.dim", _is_count, count),
        projection_dim=width,
        n_layers=get("lstm.n_layers", _is_count, count, 1),
        cell_clip=get("lstm.cell_clip", _is_clip, clip, None) or None,  # AllenNLP takes 0 as none
        proj_clip=get("lstm.proj_clip", _is_clip, clip, None) or None,
        use_skip_connections=get("lstm.use_skip_connections", _is_bool, "true or false", False),
    )
    return char_cnn, bilm


def unreadable(file: Path, reason: str, fix: str, cause: Optional[BaseException] = None) -> NoReturn:
    """Refuse a file or folder.

    :param file: which.
    :param reason: why it cannot be read.
    :param fix: what to do.
    :param cause: the error that told so.
    :raises ModelFormatError: always.
    """
    raise ModelFormatError(Errors.E012.format(file=file, reason=reason, accepted=_ACCEPTED, fix=fix)) from cause


def wrong(file: Path, item: str, found: str, expected: str, fix: str) -> NoReturn:
    """Refuse one thing in a file.

    :param file: the file.
    :param item: the key, dataset or tensor.
    :param found: what it is.
    :param expected: what is accepted.
    :param fix: what to do.
    :raises ModelFormatError: always.
    """
    raise ModelFormatError(Errors.E013.format(file=file, item=item, found=found, expected=expected, fix=fix))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count_or_zero(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_max_chars(value: Any) -> bool:
    return type(value) is int and value >= 3


def _is_clip(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _is_filters(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_count, pair)) for pair in value)
