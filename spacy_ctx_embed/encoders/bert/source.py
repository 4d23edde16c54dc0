"""From which files saved weights came: a checksum beside them, so that a pipeline can be saved by reference again.

Enters: the folders of a model and of its adapter. Leaves: their checksum, computed or as it was saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

import srsly

if TYPE_CHECKING:
    from spacy_ctx_embed.encoders.bert.settings import BertSettings

_FILE = "source.json"


def checksum_of(files: Sequence[Path], settings: BertSettings) -> str:
    """Hash the files of a model.

    :param files: its folder, and that of its adapter where it has one.
    :param settings: the encoder's config values.
    :return: SHA-256 in hex of each.
    """
    from spacy_ctx_embed.models.identity import checksum_of_adapter, checksum_of_transformer

    model, *adapter = files
    found = checksum_of_transformer(model, settings.tokenizer_config or {}, settings.transformer_config or {})
    return " + adapter ".join([found, *map(checksum_of_adapter, adapter)])


def write_source(folder: Path, checksum: str) -> None:
    """Save what weights were made from.

    :param folder: an existing folder.
    :param checksum: what :func:`checksum_of` gave for the first files.
    """
    srsly.write_json(folder / _FILE, {"checksum": checksum})


def read_source(folder: Path) -> Optional[str]:
    """Read what :func:`write_source` wrote.

    :param folder: a folder of saved weights.
    :return: the checksum; ``None`` for weights that were learnt, and of versions that did not save it.
    """
    file = folder / _FILE
    return str(srsly.read_json(file)["checksum"]) if file.is_file() else None
