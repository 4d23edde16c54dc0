"""Python code that a model's repository brings along: whether it is trusted, where it is, what to say if it is not.

``auto_map`` of config.json and tokenizer_config.json names classes as ``file.Class``, or ``org/repo--file.Class``
where the code is in another repository. It runs only with ``trust_remote_code``, and nobody is asked on a terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.hub.client import HubError, fetch_code, in_hub_cache, offline
from spacy_ctx_embed.models.transformer.folder import read_config

_ACCEPTED = "a folder or repository with all the code that its auto_map names"

KEY = "trust_remote_code"


def trusts_code(tokenizer_config: Optional[Dict[str, Any]], transformer_config: Optional[Dict[str, Any]]) -> bool:
    """Tell whether code of the repository may run, so that it has to be fetched.

    :param tokenizer_config: the config value.
    :param transformer_config: the config value.
    :return: whether one of them says so.
    :raises ValueError: if one says neither true nor false.
    """
    model = trust_in("transformer_config", transformer_config or {})
    return trust_in("tokenizer_config", tokenizer_config or {}) or model


def trust_in(key: str, settings: Dict[str, Any]) -> bool:
    """Read ``trust_remote_code``, which is false where it is not set.

    :param key: the config key.
    :param settings: its value.
    :return: whether it is true.
    :raises ValueError: if it is neither true nor false.
    """
    value = settings.get(KEY)
    if value is not None and not isinstance(value, bool):
        raise ValueError(Errors.E001.format(owner="Bert.v1", key=f"{key}.{KEY}", value=value, accepted="true, false"))
    return bool(value)


def code_of_model(folder: Path) -> List[str]:
    """List the code that a model needs where transformers does not know it.

    :param folder: the folder of a transformer.
    :return: classes, as ``auto_map`` names them.
    """
    return _references(folder / "config.json", "AutoConfig", "AutoModel")


def code_of_tokenizer(folder: Path) -> List[str]:
    """List the code of a tokenizer.

    :param folder: the folder of a transformer.
    :return: classes, as ``auto_map`` names them.
    """
    return _references(folder / "tokenizer_config.json", "AutoTokenizer")


def fetch_trusted(folder: Path, references: List[str], revision: Optional[str]) -> None:
    """See that trusted code is there; what is in another repository is fetched into the hub cache.

    :param folder: the folder of a transformer.
    :param references: classes, as ``auto_map`` names them.
    :param revision: branch, tag or commit of the other repository.
    :raises ModelFormatError: if a file is not there.
    """
    for repository in sorted({_repository(reference) for reference in references}):
        files = sorted({_file(reference) for reference in references if _repository(reference) == repository})
        try:
            there = fetch_code(repository, revision) if repository else folder
        except HubError as error:
            reason = f"its code is in another repository, {repository}: {error.reason}"
            raise unreadable(folder, reason, accepted=_ACCEPTED, fix=error.fix) from error
        missing = [file for file in files if not (there / file).is_file()]
        if missing:
            of = f"the repository {repository}" if repository else "it"
            why = ", and HF_HUB_OFFLINE is set" if offline() and in_hub_cache(there) else ""
            fix = "unset HF_HUB_OFFLINE, so that it is fetched" if why else "put that file there"
            reason = f"{of} lacks its code, {', '.join(missing)}{why}"
            raise unreadable(folder, reason, accepted=_ACCEPTED, fix=fix)


def refuse(folder: Path, *, model: bool, tokenizer: bool) -> ModelFormatError:
    """Make the error for code that is needed and not trusted.

    :param folder: the folder of a transformer.
    :param model: whether the model needs it.
    :param tokenizer: whether the tokenizer needs it.
    :return: the error.
    """
    references = [*(code_of_model(folder) if model else []), *(code_of_tokenizer(folder) if tokenizer else [])]
    keys = [*(["transformer_config"] if model else []), *(["tokenizer_config"] if tokenizer else [])]
    return ModelFormatError(
        Errors.E018.format(
            file=folder,
            parts=" and ".join([*(["the model"] if model else []), *(["the tokenizer"] if tokenizer else [])]),
            code=", ".join(dict.fromkeys(map(_describe, references))),
            settings=" and ".join(f'{key} = {{"{KEY}": true}}' for key in keys),
        )
    )


def _references(file: Path, *classes: str) -> List[str]:
    names = read_config(file).get("auto_map")
    if isinstance(names, list):  # of old: the classes of a tokenizer, slow and fast
        names = {"AutoTokenizer": names}
    if not isinstance(names, dict):
        return []
    found: List[object] = []
    for name in classes:
        found += names[name] if isinstance(names.get(name), list) else [names.get(name)]
    return [reference for reference in found if isinstance(reference, str)]


def _repository(reference: str) -> str:
    return reference.split("--")[0] if "--" in reference else ""


def _file(reference: str) -> str:
    return reference.split("--")[-1].rsplit(".", 1)[0].replace(".", "/") + ".py"


def _describe(reference: str) -> str:
    return _file(reference) + (f" of the repository {_repository(reference)}" if _repository(reference) else "")
