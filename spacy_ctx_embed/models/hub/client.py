"""Fetches a repository of the Hugging Face Hub: its id -> the folder in the local hub cache that has the files.

Fetched are configs, weights and tokenizer; pickled weights only where there are no others, and Python code only for
one who trusts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed.errors import reason_of

FILES = "*.json *.safetensors *.txt *.txt.gz *.model *.tiktoken *.hdf5 *_best_mapping.pth *.npy *.parquet *.vec".split()
CODE = ["*.py"]
PICKLED = "pytorch_model*.bin"
# What tells that there is a model of a kind among these files, and what is fetched too where there is not: a repository
# may have a model in several formats, and one is enough.
_MODELS = {"elmo": ["*.safetensors", "*.hdf5"], "static": [pattern for pattern in FILES if pattern != "*.json"]}
_SPACY = "*vectors *key2row *vectors.cfg"
_OTHERS = {
    "elmo": [PICKLED, *"*.th *.pkl *.dic saved_model.pb checkpoint *.index *.data-*-of-*".split()],
    "static": f"*.bin *.ftz *.floret *.npz *.arrow *.feather *.magnitude *.kv *.gz *.bz2 *.zip {_SPACY}".split(),
}


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


def fetch(
    repository: str, revision: Optional[str], patterns: List[str], *, partly: bool = False, local: bool = False
) -> Path:
    """Fetch files of a repository.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :param patterns: names of files, with ``*`` for anything.
    :param partly: whether what the cache has of it will do where the Hub can't be reached.
    :param local: whether to look into the cache only.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    from huggingface_hub import snapshot_download

    try:
        only_local = local or offline()
        folder = snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=only_local)
        return Path(folder)
    except Exception as error:  # the hub client raises types of three HTTP libraries; each is a reason to report
        part = getattr(error, "snapshot_path", None)  # set where some, and not all, of the files are in the cache
        if partly and part is not None:
            return Path(part)
        at = f" at revision {revision!r}" if revision else ""
        reason = f"the Hugging Face Hub gave no files{at} ({reason_of(error)})"
        if offline():
            reason += "; HF_HUB_OFFLINE is set, only the local hub cache was searched"
            raise HubError(reason, "unset HF_HUB_OFFLINE") from error
        raise HubError(reason, "download the repository where there is a network") from error


def fetch_files(kind: str, repository: str, revision: Optional[str], *, local: bool = False) -> Path:
    """Fetch a model that is no transformer.

    :param kind: "static" or "elmo".
    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :param local: whether to look into the cache only.
    :return: the folder.
    :raises HubError: if there is no such repository, or not all of it is in the cache and the Hub can't be reached.
    """
    folder = fetch(repository, revision, FILES, local=local)
    if not any(path for pattern in _MODELS[kind] for path in folder.rglob(pattern)):
        folder = fetch(repository, revision, [*FILES, *_OTHERS[kind]], local=local)
    return folder


def fetch_code(repository: str, revision: Optional[str]) -> Path:
    """Fetch the Python files of a repository, for one who trusts them.

    :param repository: ``org/repo``.
    :param revision: branch, tag or commit.
    :return: the folder.
    :raises HubError: if there is no such repository, or it is not in the cache and the Hub can't be reached.
    """
    return fetch(repository, revision, CODE)


def in_hub_cache(folder: Path) -> bool:
    """Tell whether a folder is one that the hub client fetched, or a folder in it.

    :param folder: a folder.
    :return: whether it lies in ``models--org--repo/snapshots``.
    """
    return any(path.name == "snapshots" and path.parent.name.startswith("models--") for path in folder.parents)
