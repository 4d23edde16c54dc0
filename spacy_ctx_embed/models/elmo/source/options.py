"""ELMo's ``options.json`` to two configurations, and the errors that ELMo's files share.

Keys that only training reads are ignored. Source of the keys: bilm-tf ``bilm/model.py`` and ``bilm/training.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional, Tuple

from spacy_ctx_embed import errors
from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import ACTIVATIONS, CharCnnConfig

AGAIN = "get the file again, it may have been cut off or changed on its way"
PAIR = "give the options, weights and vocabulary of one and the same model"
ACCEPTED = (
    "an ELMo model of AllenNLP, bilm-tf, TF-Hub, NLPL, ELMoForManyLangs, or one that "
    "'python -m spacy embed convert-elmo' wrote"
)
COUNT = "a whole number of at least 1"
_REQUIRED = object()


@dataclass(frozen=True)
class Sizes:
    """What the options say. Whether projections are there, only the weights tell: both are taken as used.

    :param char_cnn: sizes of the token encoder, ``None`` for a model that reads words instead of characters.
    :param bilm: sizes of the biLM.
    :param file: where they stand, for messages.
    """

    char_cnn: Optional[CharCnnConfig]
    bilm: BilmConfig
    file: Path


class Options:
    """A JSON file whose keys are checked as they are read.

    :param text: its content.
    :param file: its name, for messages.
    :raises ModelFormatError: if it is not JSON.
    """

    def __init__(self, text: bytes, file: Path) -> None:
        self.file = file
        try:
            self.values: Any = json.loads(text.decode("utf-8-sig"))
        except ValueError as error:
            unreadable(file, f"not readable as JSON ({error})", AGAIN, error)

    def get(self, path: str, accept: Callable[[Any], bool], expected: str, default: Any = _REQUIRED) -> Any:
        """Read a value.

        :param path: its key, with the keys of the tables around it before it: ``lstm.dim``.
        :param accept: tells whether a value makes sense.
        :param expected: what makes sense, for the message.
        :param default: what a missing key means; without one the key is required.
        :return: the value.
        :raises ModelFormatError: if it is missing or makes no sense.
        """
        value: Any = self.values
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and default is not _REQUIRED:
            return default
        if not accept(value):
            found = "missing" if value is None else repr(value)
            wrong(self.file, f"the key '{path}'", found, expected, "take the options that belong to the weights")
        return value


def parse_options(text: bytes, file: Path) -> Sizes:
    """Read the sizes of a bilm-tf model.

    :param text: content of ``options.json``.
    :param file: its name, for messages.
    :return: sizes of the token encoder and of the biLM.
    :raises ModelFormatError: if it is not JSON, a key is missing, or a value makes no sense.
    """
    options = Options(text, file)
    get = options.get
    get("lstm", is_table, "a table")
    width = get("lstm.projection_dim", is_count, COUNT)
    bilm = BilmConfig(
        dim=get("lstm.dim", is_count, COUNT),
        projection_dim=width,
        n_layers=get("lstm.n_layers", is_count, COUNT, 1),
        cell_clip=read_clip(options, "lstm.cell_clip"),
        proj_clip=read_clip(options, "lstm.proj_clip"),
        use_skip_connections=get("lstm.use_skip_connections", _is_bool, "true or false", False),
    )
    reads_characters = get("char_cnn", is_table, "a table", None) is not None
    return Sizes(_char_cnn(options, width) if reads_characters else None, bilm, file)


def _char_cnn(options: Options, width: int) -> CharCnnConfig:
    get = options.get
    max_chars = read_max_chars(options, "char_cnn.max_characters_per_token")
    return CharCnnConfig(
        embedding_dim=get("char_cnn.embedding.dim", is_count, COUNT),
        filters=read_filters(options, "char_cnn.filters", max_chars),
        activation=get("char_cnn.activation", ACTIVATIONS.__contains__, " or ".join(map(repr, ACTIVATIONS))),
        n_highway=get("char_cnn.n_highway", is_count_or_zero, "a whole number of at least 0", 0),
        max_chars=max_chars,
        projection_dim=width,
    )


def read_clip(options: Options, path: str) -> Optional[float]:
    """Read a bound of the LSTMs.

    :param options: where it stands.
    :param path: its key, which may be missing.
    :return: the bound, ``None`` for none; AllenNLP takes 0 as none, and so do we.
    :raises ModelFormatError: if it is something else.
    """
    bound: Optional[float] = options.get(path, _is_clip, "a number of at least 0, or null", None)
    return bound or None


def read_max_chars(options: Options, path: str) -> int:
    """Read the number of ids per word.

    :param options: where it stands.
    :param path: its key; where it is missing, it means 50 as in every published model.
    :return: the number.
    :raises ModelFormatError: if it is something else.
    """
    return int(options.get(path, _is_max_chars, "a whole number of at least 3", 50))


def read_filters(options: Options, path: str, max_chars: int) -> Tuple[Tuple[int, int], ...]:
    """Read a list of convolutions.

    :param options: where it stands.
    :param path: its key.
    :param max_chars: characters per word, which no convolution may exceed.
    :return: width in characters and number of outputs of each.
    :raises ModelFormatError: if it is something else, or one is too wide.
    """
    filters = options.get(path, _is_filters, "a list of [width, number] pairs")
    if max(pair[0] for pair in filters) > max_chars:
        wrong(options.file, f"the key '{path}'", repr(filters), f"widths of at most {max_chars} characters", PAIR)
    return tuple((w, n) for w, n in filters)


def unreadable(file: Path, reason: str, fix: str, cause: Optional[BaseException] = None) -> NoReturn:
    """Refuse a file or folder.

    :param file: which.
    :param reason: why it cannot be read.
    :param fix: what to do.
    :param cause: the error that told so.
    :raises ModelFormatError: always.
    """
    raise errors.unreadable(file, reason, accepted=ACCEPTED, fix=fix) from cause


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


def is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_count_or_zero(value: Any) -> bool:
    return type(value) is int and value >= 0


def is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_max_chars(value: Any) -> bool:
    return type(value) is int and value >= 3


def _is_clip(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _is_filters(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(pair, list) and len(pair) == 2 and all(map(is_count, pair)) for pair in value)
