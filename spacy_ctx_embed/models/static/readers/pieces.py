"""model2vec's and POTION's folders, and those of sentence-transformers' ``StaticEmbedding``: pieces with a row each.

Enters: a folder with ``tokenizer.json`` and ``model.safetensors``. Leaves: a :class:`VectorTable` without words, whose
rows are what ``StaticModel.encode`` or ``SentenceTransformer.encode`` gives for a word alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import numpy as np
import srsly
from numpy.typing import NDArray

from spacy_ctx_embed.errors import ModelFormatError, unreadable
from spacy_ctx_embed.models.static.tables.pieces import Pieces
from spacy_ctx_embed.models.static.tables.table import VectorTable, table_of_parts, to_float32

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODULES, CONFIG, TENSORS, TOKENIZER = "modules.json", "config.json", "model.safetensors", "tokenizer.json"
_ACCEPTED = (
    "a folder of model2vec (config.json, tokenizer.json and model.safetensors with 'embeddings'), or of "
    "sentence-transformers with the modules StaticEmbedding and, at most, Normalize"
)
_FIX = "save or fetch it again"
_MOST_PIECES = 512  # of model2vec, where its config says nothing
_FEW_TYPES = ("float32", "float16", "int8")


def is_pieces(folder: Path) -> bool:
    """Recognise such a folder by its modules, or by the names of the arrays in its weights.

    :param folder: a folder.
    :return: whether it looks like one.
    """
    if any(name.endswith("StaticEmbedding") for name, _ in _modules(folder)):
        return True
    return (folder / TOKENIZER).is_file() and not {"embeddings", "embedding.weight"}.isdisjoint(_names(folder))


def read_pieces(folder: Path) -> VectorTable:
    """Read a table.

    :param folder: the folder.
    :return: the table.
    :raises ModelFormatError: if a file is missing, damaged or does not fit the others.
    """
    modules = _modules(folder)
    others = [name for name, _ in modules if name.rpartition(".")[2] not in ("StaticEmbedding", "Normalize")]
    if others:
        raise unreadable(folder, f"it has a module {others[0]}", accepted=_ACCEPTED, fix="name a model without that")
    inside = next((folder / path for name, path in modules if name.endswith("StaticEmbedding")), folder)
    arrays = _arrays(inside / TENSORS)
    config = _json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if not isinstance(config, dict):
        raise unreadable(folder / CONFIG, "it is no object", accepted=_ACCEPTED, fix=_FIX)
    tokenizer = _tokenizer(inside / TOKENIZER)
    if "embeddings" in arrays:
        parts = _of_model2vec(inside, arrays, config, tokenizer)
    else:
        scaled = any(name.endswith("Normalize") for name, _ in modules)
        parts = Pieces(
            arrays["embedding.weight"],
            _bytes(tokenizer),
            unknown=_unknown(tokenizer),
            drops_unknown=False,
            unit_length=scaled,
        )
    _check(inside, parts, tokenizer)
    return table_of_parts(inside / TENSORS, parts)


def _of_model2vec(folder: Path, arrays: Dict[str, Any], config: Dict[str, Any], tokenizer: Tokenizer) -> Pieces:
    most = config.get("max_length", _MOST_PIECES)
    if most is not None and (not isinstance(most, int) or most < 1):
        raise unreadable(folder / CONFIG, f"its max_length is {most!r}", accepted=_ACCEPTED, fix=_FIX)
    letters = None
    if most is None:
        tokenizer.no_truncation()
    else:  # as model2vec does, which leaves letters out before it cuts
        tokenizer.enable_truncation(most)
        letters = most * int(np.median([len(piece) for piece in tokenizer.get_vocab()] or [1]))
    values, scales = arrays["embeddings"], None
    if values.dtype == np.int8:  # with one factor for all, which it has lost: rows are of any length
        scales = np.ones(len(values), np.float32)
    return Pieces(
        values,
        _bytes(tokenizer),
        scales=scales,
        places=arrays.get("mapping"),
        weights=arrays.get("weights"),
        unknown=_unknown(tokenizer),
        unit_length=bool(config.get("normalize", False)),
        most_letters=letters,
    )


def _check(folder: Path, parts: Pieces, tokenizer: Tokenizer) -> None:
    n_pieces = tokenizer.get_vocab_size()
    for name, array in (("mapping", parts.places), ("weights", parts.weights)):
        if array is not None and (array.ndim != 1 or len(array) < n_pieces):
            reason = f"its {name} has shape {array.shape}, and the tokenizer {n_pieces} pieces"
            raise unreadable(folder / TENSORS, reason, accepted=_ACCEPTED, fix=_FIX)
    if parts.weights is not None and not np.isfinite(parts.weights).all():
        raise unreadable(folder / TENSORS, "one of its weights is not finite", accepted=_ACCEPTED, fix=_FIX)
    n_rows = len(parts.ngrams) if parts.ngrams.ndim else 0
    if parts.places is None:
        fits = n_rows >= n_pieces
    else:
        fits = int(parts.places.min(initial=0)) >= 0 and int(parts.places.max(initial=0)) < n_rows
    if not fits:
        reason = f"it has {n_rows} rows, too few for the {n_pieces} pieces of the tokenizer"
        raise unreadable(folder / TENSORS, reason, accepted=_ACCEPTED, fix=_FIX)


def _arrays(file: Path) -> Dict[str, Any]:
    # Rows, and mapping and weights where there are such, in types that a table has.
    from safetensors import safe_open

    try:
        with safe_open(file, "numpy") as tensors:
            names = set(tensors.keys())
            rows = "embeddings" if "embeddings" in names else "embedding.weight"
            if rows not in names:
                reason = f"it has no array 'embeddings' or 'embedding.weight', but {', '.join(sorted(names)[:5])}"
                raise unreadable(file, reason, accepted=_ACCEPTED, fix=_FIX)
            kind = tensors.get_slice(rows).get_dtype()
            if kind == "BF16":  # which NumPy does not have
                with safe_open(file, "pt") as other:
                    found = {rows: other.get_tensor(rows).float().numpy()}
            else:
                found = {rows: tensors.get_tensor(rows)}
            extra = {name: tensors.get_tensor(name) for name in ("mapping", "weights") if name in names}
            if str(found[rows].dtype) not in _FEW_TYPES:
                found[rows] = to_float32(file, found[rows])
            for name, dtype in (("mapping", np.int64), ("weights", np.float32)):
                if name in extra:
                    found[name] = _numbers(file, name, extra[name]).astype(dtype)
    except ModelFormatError:
        raise
    except Exception as error:  # safetensors has an exception of its own, and passes on what NumPy raises
        raise unreadable(file, error, accepted=_ACCEPTED, fix=_FIX) from error
    return found


def _numbers(file: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in ("iu" if name == "mapping" else "f"):
        raise unreadable(file, f"its {name} is of type {array.dtype}", accepted=_ACCEPTED, fix=_FIX)
    return array


def _names(folder: Path) -> List[str]:
    # Names in the header of a safetensors file, a JSON object behind its length.
    try:
        with (folder / TENSORS).open("rb") as file:
            return list(json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 1 << 24))))
    except (OSError, ValueError, TypeError, RecursionError):
        return []


def _modules(folder: Path) -> List[Tuple[str, str]]:
    # Type and path of each module of a sentence-transformers model.
    if not (folder / MODULES).is_file():
        return []
    try:
        modules = srsly.read_json(folder / MODULES)
        return [(str(module["type"]), str(module["path"])) for module in modules]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _json(file: Path) -> Any:
    try:
        return srsly.read_json(file)
    except (OSError, ValueError) as error:
        raise unreadable(file, error, accepted=_ACCEPTED, fix=_FIX) from error


def _tokenizer(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # it raises bare exceptions
        raise unreadable(file, error, accepted=_ACCEPTED, fix=_FIX) from error
    tokenizer.no_padding()
    return tokenizer


def _bytes(tokenizer: Tokenizer) -> NDArray[np.uint8]:
    return np.frombuffer(tokenizer.to_str().encode("utf8"), np.uint8)


def _unknown(tokenizer: Tokenizer) -> Optional[int]:
    # As model2vec finds it: WordPiece, BPE and WordLevel name the piece, Unigram has its number.
    if hasattr(tokenizer.model, "unk_token"):
        name = tokenizer.model.unk_token
        return None if name is None else tokenizer.token_to_id(name)
    found = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return None if found is None else int(found)
