"""Fetches a transformer or an adapter from the Hugging Face Hub, and pickles only if need be."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from spacy_ctx_embed.models.hub.client import CODE, FILES, PICKLED, fetch
from spacy_ctx_embed.models.transformer.folder import transformer_folder, weight_files
from spacy_ctx_embed.models.transformer.modules import pickled_layers


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
    if not weight_files(transformer_folder(folder)):
        inside = transformer_folder(folder).relative_to(folder)
        folder = fetch(repository, revision, [*wanted, (inside / PICKLED).as_posix()], partly=True, local=local)
    pickled = [name for name in pickled_layers(folder) if not (folder / name).is_file()]
    return fetch(repository, revision, [*wanted, *pickled], partly=True, local=local) if pickled else folder


def fetch_adapter(repository: str) -> Path:
    """Fetch a peft adapter. What of it is missing in the cache where the Hub can't be reached, its reader will tell.

    :param repository: ``org/repo``.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    wanted = ["adapter_config.json", "adapter_model.safetensors"]
    folder = fetch(repository, None, wanted, partly=True)
    if not (folder / wanted[-1]).is_file():
        folder = fetch(repository, None, [*wanted, "adapter_model.bin"], partly=True)
    return folder
