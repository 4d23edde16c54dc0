"""Fetches a transformer or an adapter from the Hugging Face Hub, and pickles only if need be."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed.models.hub.client import CODE, FILES, PICKLED, fetch
from spacy_ctx_embed.models.transformer.folder import missing_shards, transformer_folder, weight_files
from spacy_ctx_embed.models.transformer.modules import pickled_layers

_PICKLED_NAME = "pytorch_model."  # how the names of a whole file and of an index of shards begin
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def fetch_transformer(repository: str, revision: Optional[str], *, own_code: bool, local: bool = False) -> Path:
    """Fetch a transformer. What of it is missing in the cache where the Hub can't be reached, its reader will tell.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :param own_code: whether to fetch the Python files too.
    :param local: whether to look into the cache only.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    wanted = [*FILES, *(CODE if own_code else [])]
    folder = fetch(repository, revision, wanted, partly=True, local=local)
    pickled = _missing_pickles(folder)
    return fetch(repository, revision, [*wanted, *pickled], partly=True, local=local) if pickled else folder


def fetch_adapter(repository: str) -> Path:
    """Fetch a peft adapter. What of it is missing in the cache where the Hub can't be reached, its reader will tell.

    :param repository: ``org/repo``.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    config, weights, pickled = ADAPTER
    folder = fetch(repository, None, [config, weights], partly=True)
    if not (folder / weights).is_file():
        folder = fetch(repository, None, [config, weights, pickled], partly=True)
    return folder


def read_patterns(folder: Path, *, own_code: bool) -> List[str]:
    """Name the files of a repository that are read. There may be more in its folder, which others fetched.

    :param folder: the folder that :func:`fetch_transformer` gave.
    :param own_code: as it was given there.
    :return: names relative to the folder, with ``*`` for anything.
    """
    inside = transformer_folder(folder)
    pickled = pickled_layers(folder)
    if next(iter(weight_files(inside)), "").startswith(_PICKLED_NAME):
        pickled.append((inside.relative_to(folder) / PICKLED).as_posix())
    return [*FILES, *(CODE if own_code else []), *pickled]


def _missing_pickles(folder: Path) -> List[str]:
    # Names of the pickled weights that have to be read, for want of others, and are not all there.
    inside = transformer_folder(folder)
    first = next(iter(weight_files(inside)), None)
    missing = [name for name in pickled_layers(folder) if not (folder / name).is_file()]
    if first is None or (first.startswith(_PICKLED_NAME) and missing_shards(inside)):
        missing.append((inside.relative_to(folder) / PICKLED).as_posix())
    return missing
