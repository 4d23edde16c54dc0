"""What every reader of an ELMo format gives, and the one check of tensors against sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import torch

from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import PAIR, wrong
from spacy_ctx_embed.networks.elmo.alphabets import CodePoints
from spacy_ctx_embed.networks.elmo.module import ElmoConfig, ElmoModule


@dataclass(frozen=True)
class ElmoFiles:
    """What the files of an ELMo model hold.

    :param config: the parts of the network and their sizes.
    :param weights: float tensors named as in the state of an :class:`~spacy_ctx_embed.networks.elmo.module.ElmoModule`.
    :param source_checksum: for a folder of our own, SHA-256 of the files it was made from, where that is known.
    :param mix: trained weights (before the softmax, one per layer) and scale of a scalar mix, where the model has
        them; they are where a ``scalar_mix`` of all layers starts.
    :param kind: what the format is called.
    """

    config: ElmoConfig
    weights: Dict[str, torch.Tensor]
    source_checksum: Optional[str] = None
    mix: Optional[Tuple[Tuple[float, ...], float]] = None
    kind: str = ""


def read_module(data: NamedArrays, config: ElmoConfig) -> Dict[str, torch.Tensor]:
    """Read the tensors of a file that names them as our module does.

    :param data: the file.
    :param config: the sizes they must have.
    :return: name -> float32 tensor.
    :raises ModelFormatError: if one is missing, of another shape or not finite.
    """
    return {name: data.read(name, shape) for name, shape in module_shapes(config).items()}


def check_rows(data: NamedArrays, config: ElmoConfig) -> None:
    """Refuse a list of words or characters that is not as long as its table: it is that of another model.

    :param data: the weights, for messages.
    :param config: the lists, and the sizes of the tables.
    :raises ModelFormatError: if the highest row number in a list is not that of the last row.
    """
    highest = []
    if config.char_cnn is not None and isinstance(config.alphabet, CodePoints):
        highest.append((max(config.alphabet.rows.values(), default=-1), config.char_cnn.n_chars, "characters"))
    if config.lexicon is not None:
        highest.append((config.lexicon.n_rows - 1, config.n_words, "words"))
    for row, n_rows, what in highest:
        if row != n_rows - 1:
            found, accepted = f"of {n_rows} rows, but the list of {what} goes up to row {row}", "a list of that size"
            wrong(data.file, f"the table of {what}", found, accepted, PAIR)


def module_shapes(config: ElmoConfig) -> Dict[str, Tuple[int, ...]]:
    """List the tensors of a network.

    :param config: its parts and sizes.
    :return: name -> shape.
    """
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in ElmoModule(config).state_dict().items()}
