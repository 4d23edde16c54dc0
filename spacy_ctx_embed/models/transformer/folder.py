"""What a folder in the layout of the Hugging Face Hub holds, told from the names of its files and its JSON alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy_ctx_embed.checks import parts_inside

# In the order in which transformers looks for them.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.*.json",
    "vocab.txt",
    "vocab.json",
    "*.model",
    "*.tiktoken",
    "tekken.json",
)
_TOKENIZER_JSON = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Modules of sentence-transformers before its version 0.3, each for one type of model.
_TYPES = {
    "albert": "albert",
    "bert": "bert",
    "camembert": "camembert",
    "distilbert": "distilbert",
    "roberta": "roberta",
    "t5": "t5",
    "xlmroberta": "xlm-roberta",
    "xlnet": "xlnet",
}


def transformer_folder(folder: Path) -> Path:
    """Find the transformer of a sentence-transformers model, which may lie in a folder inside, as ``0_Transformer``.

    :param folder: a folder.
    :return: the folder of the first module of its ``modules.json``; the folder itself where it has no such file.
    """
    path = _first_module(folder).get("path")
    parts = parts_inside(path) if isinstance(path, str) else None
    if parts is None:
        return folder
    inside = folder.joinpath(*parts)
    moved = not (inside / "config.json").is_file() and "model_type" in read_config(folder / "config.json")
    return folder if moved else inside


def type_by_module(folder: Path) -> Optional[str]:
    """Tell the type of a transformer that sentence-transformers saved when config.json did not name it yet.

    :param folder: the folder with ``modules.json``.
    :return: a ``model_type``; ``None`` where the first module does not tell.
    """
    return _TYPES.get(str(_first_module(folder).get("type")).rsplit(".", 1)[-1].lower())


def is_transformer(kind: str) -> bool:
    """Tell whether a module of sentence-transformers is a transformer.

    :param kind: name of its class.
    :return: whether it is.
    """
    return kind == "Transformer" or kind.lower() in _TYPES


def read_json(file: Path) -> Any:
    """Read a file that may be there.

    :param file: a JSON file.
    :return: what is in it; ``None`` where it is not there or not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None


def read_config(file: Path) -> Dict[str, Any]:
    """Read a file of settings that may be there.

    :param file: a JSON file.
    :return: the settings; none where it is not there or holds something else.
    """
    config = read_json(file)
    return config if isinstance(config, dict) else {}


def weight_files(folder: Path) -> List[str]:
    """List the weights that transformers would look for.

    :param folder: the folder of a transformer.
    :return: names of those that are there: whole files, and indexes of shards.
    """
    return [name for name in _WEIGHTS if (folder / name).is_file()]


def missing_shards(folder: Path) -> List[str]:
    """List the parts of the weights that an index names and that are not there.

    :param folder: the folder of a transformer.
    :return: names of files; empty where the weights are one file.
    """
    first = next(iter(weight_files(folder)), "")
    shards = read_config(folder / first).get("weight_map") if first.endswith(".index.json") else None
    names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
    return sorted(name for name in names if not (folder / name).is_file())


def vocabulary_files(folder: Path) -> List[str]:
    """List the files that a tokenizer may be made of.

    :param folder: the folder of a transformer.
    :return: names of those that are there, the best first.
    """
    return [file.name for pattern in _VOCABULARIES for file in sorted(folder.glob(pattern)) if file.is_file()]


def missing_vocabulary(folder: Path) -> str:
    """Name what a tokenizer needs and is not there.

    :param folder: the folder of a transformer.
    :return: a file; empty where there is one that a tokenizer can be made of.
    """
    files = vocabulary_files(folder)
    merges = (folder / "merges.txt").is_file()
    if files == ["vocab.json"] and not merges:
        return "merges.txt, which goes with vocab.json"
    if not files and merges:
        return "vocab.json, which goes with merges.txt"
    return "" if files else "tokenizer file (tokenizer.json)"


def broken_json(folder: Path) -> List[str]:
    """List the files of a tokenizer that can't be read as what they are.

    :param folder: the folder of a transformer.
    :return: names of files that hold something else than a JSON object.
    """
    there = [folder / name for name in _TOKENIZER_JSON if (folder / name).is_file()]
    return [file.name for file in there if not isinstance(read_json(file), dict)]


def _first_module(folder: Path) -> Dict[str, Any]:
    modules = read_json(folder / "modules.json")
    first = modules[0] if isinstance(modules, list) and modules else None
    return first if isinstance(first, dict) else {}
