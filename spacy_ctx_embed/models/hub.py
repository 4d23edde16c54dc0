"""Fetches a repository of the Hugging Face Hub: its id -> the folder in the local hub cache that has the files.

Fetched are configs, weights and tokenizer; pickled weights only where there are no others, and Python code only for
one who trusts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed.models.transformer.folder import transformer_folder, weight_files

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.hdf5", "*.npy", "*.parquet", "*.vec"]
_CODE = ["*.py"]
_PICKLED = "pytorch_model*.bin"


class HubError(Exception):
    """Why a repository could not be had.

    :param reason: what is wrong.
    :param fix: what would mend it.
    """

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason, fix)
        self.reason = reason
        self.fix = fix


def offline() -> bool:
    """Tell whether ``HF_HUB_OFFLINE`` forbids the network.

    :return: true where it is set to 1, true, yes or on.
    """
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def fetch_transformer(repository: str, revision: Optional[str], *, own_code: bool) -> Path:
    """Fetch a transformer. What of it is missing in the cache where the Hub can't be reached, its reader will tell.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :param own_code: whether to fetch the Python files too.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    wanted = [*_FILES, *(_CODE if own_code else [])]
    folder = _fetch(repository, revision, wanted, partly=True)
    if not weight_files(transformer_folder(folder)):
        inside = transformer_folder(folder).relative_to(folder)
        folder = _fetch(repository, revision, [*wanted, (inside / _PICKLED).as_posix()], partly=True)
    return folder


def fetch_files(repository: str, revision: Optional[str]) -> Path:
    """Fetch a model that is no transformer.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :return: the folder.
    :raises HubError: if there is no such repository, or not all of it is in the cache and the Hub can't be reached.
    """
    folder = _fetch(repository, revision, _FILES)
    if not any(folder.rglob("*.safetensors")) and not any(folder.rglob("*.hdf5")):
        folder = _fetch(repository, revision, [*_FILES, _PICKLED])
    return folder


def fetch_code(repository: str, revision: Optional[str]) -> Path:
    """Fetch the Python files of a repository, for one who trusts them.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    return _fetch(repository, revision, _CODE)


def in_hub_cache(folder: Path) -> bool:
    """Tell whether a folder is one that the hub client fetched, or a folder in it.

    :param folder: a folder.
    :return: whether it lies in ``models--org--repo/snapshots``.
    """
    return any(path.name == "snapshots" and path.parent.name.startswith("models--") for path in folder.parents)


def _fetch(repository: str, revision: Optional[str], patterns: List[str], *, partly: bool = False) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=offline())
        )
    except Exception as error:  # the hub client raises types of three HTTP libraries; each is a reason to report
        part = getattr(error, "snapshot_path", None)  # set where some, and not all, of the files are in the cache
        if partly and part is not None:
            return Path(part)
        at = f" at revision {revision!r}" if revision else ""
        lines = str(error).strip().splitlines() or [repr(error)]
        reason = f"the Hugging Face Hub gave no files{at} ({type(error).__name__}: {lines[0]})"
        if offline():
            reason += "; HF_HUB_OFFLINE is set, only the local hub cache was searched"
            raise HubError(reason, "unset HF_HUB_OFFLINE") from error
        raise HubError(reason, "download the repository where there is a network") from error
