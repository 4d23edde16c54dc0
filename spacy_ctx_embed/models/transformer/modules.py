"""The files that sentence-transformers keeps beside a transformer, and what they say of the vector of a text.

Enters: a folder. Leaves: those files, so that they can be saved again, and a :class:`SentenceModel` made of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from spacy_ctx_embed.checks import parts_inside
from spacy_ctx_embed.data import TEXT_MODES, Dense, TextHead
from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.transformer.dense import WEIGHTS, read_dense, unknown
from spacy_ctx_embed.models.transformer.folder import is_transformer, read_json, transformer_folder

Files = Dict[str, bytes]

OWNER = "spacy_ctx_embed.Bert.v1"  # whose setting a prompt's name is
_MODULES, _PROMPTS, _INPUT, _CONFIG = (
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "config.json",
)
_OLD_MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
_AFTER = ("Dense", "Normalize", "Dropout")  # what may come after the pooling; dropout is for training
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_FIX = "download or save the model again, or set doc_pooling = 'mean'"


@dataclass(frozen=True)
class SentenceModel:
    """How a model makes the vector of a text.

    :param head: pooling and what comes after it.
    :param prompt: what is put before a text.
    :param include_prompt: whether its pieces are pooled too.
    :param lowercase: whether a text is lower-cased first.
    """

    head: TextHead
    prompt: str = ""
    include_prompt: bool = True
    lowercase: bool = False


def keep_modules(folder: Path) -> Files:
    """Read the files beside a transformer, in the layout in which they are saved: the transformer in the folder itself.

    :param folder: the folder of a model.
    :return: content by relative name; empty where there is no ``modules.json``.
    """
    if not (folder / _MODULES).is_file():
        return {}
    files = {name: (folder / name).read_bytes() for name in (_MODULES, _PROMPTS) if (folder / name).is_file()}
    inputs = sorted(transformer_folder(folder).glob("sentence_*_config.json"))
    if inputs:
        files[_INPUT] = inputs[0].read_bytes()
    modules = read_json(folder / _MODULES)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        return files
    for module in modules[1:]:
        path = _path(module)
        weights = [name for name in WEIGHTS if (folder / path / name).is_file()][:1] if _kind(module) == "Dense" else []
        for name in (_CONFIG, *weights):
            if path and (folder / path / name).is_file():
                files[f"{path}/{name}"] = (folder / path / name).read_bytes()
    if modules and is_transformer(_kind(modules[0])):
        files[_MODULES] = json.dumps([{**modules[0], "path": ""}, *modules[1:]], indent=2).encode("utf8")
    return files


def pickled_layers(folder: Path) -> List[str]:
    """Name the pickled weights of the dense layers of a model that have no others.

    :param folder: its folder.
    :return: relative names, of files that may not be there.
    """
    modules = read_json(folder / _MODULES)
    layers = [m for m in modules if isinstance(m, dict) and _kind(m) == "Dense"] if isinstance(modules, list) else []
    safe, pickled = WEIGHTS
    return [f"{_path(layer)}/{pickled}" for layer in layers if not (folder / _path(layer) / safe).is_file()]


def write_modules(folder: Path, files: Files) -> None:
    """Save the files beside a transformer.

    :param folder: the folder that the transformer is in.
    :param files: what :func:`keep_modules` gave.
    """
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read_modules(folder: Path, files: Files, config: Any, prompt_name: Optional[str] = None) -> SentenceModel:
    """Read how a model makes the vector of a text. Without files it is what sentence-transformers makes then.

    :param folder: where the model was found, for messages.
    :param files: what :func:`keep_modules` gave.
    :param config: the transformer's own config.
    :param prompt_name: which of its prompts is put before a text; ``None`` for its default.
    :return: it.
    :raises ValueError: if there is no prompt of that name.
    :raises ModelFormatError: if a file is damaged, or says what can't be done here.
    """
    if not files:
        _prompt(folder / _PROMPTS, {}, prompt_name)
        causal = str((getattr(config, "architectures", None) or [""])[0]).endswith("ForCausalLM")
        return SentenceModel(TextHead(("lasttoken" if causal and getattr(config, "is_causal", True) else "mean",)))
    modules = _json(folder, files, _MODULES, list)
    if len(modules) < 2 or not all(isinstance(module, dict) for module in modules):
        raise _damaged(folder / _MODULES, "it is no list of a transformer and its pooling")
    _check_kinds(folder, modules)
    inputs = _check_input(folder, _json(folder, files, _INPUT, dict) if _INPUT in files else {})
    prompts = _json(folder, files, _PROMPTS, dict) if _PROMPTS in files else {}
    pooling = _json(folder, files, f"{_path(modules[1])}/{_CONFIG}", dict)
    modes = _modes(folder / _path(modules[1]) / _CONFIG, pooling)
    steps: List[Any] = [step for module in modules[2:] for step in _steps(folder, files, module)]
    columns = prompts.get("truncate_dim")
    if columns is not None and (type(columns) is not int or columns < 1):
        raise _damaged(folder / _PROMPTS, f"its truncate_dim is {columns!r}, no number of columns")
    steps += [] if columns is None else [columns]
    prompt = _prompt(folder / _PROMPTS, prompts, prompt_name)
    include_prompt, lowercase = bool(pooling.get("include_prompt", True)), bool(inputs.get("do_lower_case"))
    return SentenceModel(TextHead(modes, tuple(steps)), prompt, include_prompt, lowercase)


def _kind(module: Dict[str, Any]) -> str:
    # Name of a class of sentence-transformers; of another class its whole name.
    kind = str(module.get("type"))
    return kind.rsplit(".", 1)[-1] if kind.startswith("sentence_transformers.") else kind


def _path(module: Dict[str, Any]) -> str:
    return "/".join(parts_inside(str(module.get("path") or "")) or [])


def _json(folder: Path, files: Files, name: str, kind: type) -> Any:
    if name not in files:
        raise unreadable(folder / name, "it is not there", accepted="the file that modules.json names", fix=_FIX)
    try:
        found = json.loads(files[name])
    except ValueError as error:
        raise _damaged(folder / name, f"it is no JSON ({error})") from error
    if not isinstance(found, kind):
        raise _damaged(folder / name, f"it holds no JSON {'list' if kind is list else 'object'}")
    return found


def _damaged(file: Path, reason: str) -> ModelFormatError:
    return unreadable(file, reason, accepted="the file as sentence-transformers saves it", fix=_FIX)


def _check_kinds(folder: Path, modules: List[Dict[str, Any]]) -> None:
    for i, module in enumerate(modules):
        kind = _kind(module)
        right = is_transformer(kind) if i == 0 else kind == "Pooling" if i == 1 else kind in _AFTER
        if not right:
            raise unknown(folder / _MODULES, f"module {i}", str(module.get("type")))


def _check_input(folder: Path, config: Dict[str, Any]) -> Dict[str, Any]:
    # Whether it pools the last states of a text. Its max_seq_length is where a text would be cut off.
    modalities = config.get("modality_config")
    text = modalities.get("text") if isinstance(modalities, dict) else _TEXT
    found = {
        "transformer_task": config.get("transformer_task") in (None, "feature-extraction"),
        "module_output_name": config.get("module_output_name") in (None, "token_embeddings"),
        "modality_config": isinstance(text, dict) and {key: text.get(key) for key in _TEXT} == _TEXT,
    }
    for key, right in found.items():
        if not right:
            raise unknown(folder / _INPUT, key, config[key])
    return config


def _modes(file: Path, config: Dict[str, Any]) -> Tuple[str, ...]:
    named = config.get("pooling_mode")
    if named is None:
        old = zip(_OLD_MODES, TEXT_MODES)  # in the order of their results
        return tuple(mode for key, mode in old if config.get(f"pooling_mode_{key}")) or ("mean",)
    modes = tuple(named) if isinstance(named, list) else (named,)
    for mode in modes:
        if mode not in TEXT_MODES:
            raise unknown(file, "pooling_mode", mode)
    return modes


def _steps(folder: Path, files: Files, module: Dict[str, Any]) -> List[Any]:
    kind, name = _kind(module), f"{_path(module)}/{_CONFIG}"
    config = _json(folder, files, name, dict) if kind == "Dense" or name in files else {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise unknown(folder / name, key, config[key])
    if kind == "Dense":
        weights = {key: files[f"{_path(module)}/{key}"] for key in WEIGHTS if f"{_path(module)}/{key}" in files}
        dense: Dense = read_dense(folder / _path(module), config, weights)
        return [dense]
    return ["normalize"] if kind == "Normalize" else []


def _prompt(file: Path, config: Dict[str, Any], wanted: Optional[str]) -> str:
    prompts = config.get("prompts") or {}
    name = config.get("default_prompt_name")
    if not isinstance(prompts, dict):
        raise _damaged(file, f"its prompts are {prompts!r}, no JSON object")
    known = {"query": "", "document": "", **prompts}  # the first two are always there
    if wanted is not None:
        if wanted not in known or not prompts:
            accepted = f"null, or a name in {file}: {', '.join(map(repr, prompts)) or 'there is none'}"
            raise ValueError(Errors.E001.format(owner=OWNER, key="prompt_name", value=wanted, accepted=accepted))
        return str(known[wanted] or "")
    if name is None:
        return ""
    if not isinstance(name, str) or name not in known:
        raise ModelFormatError(
            Errors.E013.format(
                file=file,
                item="default_prompt_name",
                found=f"{name!r}, which is none of its prompts",
                expected=f"null, or one of {', '.join(map(repr, known))}",
                fix="change it there, or set doc_pooling = 'mean'",
            )
        )
    return str(known[name] or "")
