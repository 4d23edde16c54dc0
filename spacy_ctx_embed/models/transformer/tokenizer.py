"""Opens the tokenizer of a model, or says what it is instead: missing, slow, in need of a package, damaged.

Enters: a folder. Leaves: a ``transformers`` tokenizer whose pieces have character offsets.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from spacy_ctx_embed.errors import Errors, ModelFormatError, first_line
from spacy_ctx_embed.models.transformer.code import code_of_tokenizer, refuse
from spacy_ctx_embed.models.transformer.convert import to_fast
from spacy_ctx_embed.models.transformer.folder import broken_json, missing_vocabulary, read_config, vocabulary_files
from spacy_ctx_embed.models.transformer.pieces import is_plain, pieces_of
from spacy_ctx_embed.models.transformer.refusals import explained, lacking, refusal

_SAVE = "save the tokenizer beside the model, tokenizer.save_pretrained(folder)"
# Package to install -> module that transformers imports of it.
_FOR_SENTENCEPIECE = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
_FOR_TIKTOKEN = {"tiktoken": "tiktoken"}
_TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")


def read_tokenizer(folder: Path, settings: Dict[str, Any], *, trusted: bool, config: Optional[Any]) -> Any:
    """Load a tokenizer.

    :param folder: the folder of a transformer.
    :param settings: arguments for ``AutoTokenizer.from_pretrained``.
    :param trusted: whether code of the repository may run.
    :param config: the model's config, where transformers does not know its type; else ``None``.
    :return: the tokenizer.
    :raises ModelFormatError: if there is no tokenizer, a slow one without offsets, or one that can't be read.
    """
    from transformers import AutoTokenizer

    arguments = {"local_files_only": True, **settings, "use_fast": True, "trust_remote_code": trusted}
    if config is not None:
        arguments.setdefault("config", config)
    with explained(folder, "the tokenizer", "tokenizer_config", settings):
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **arguments)
        except Exception as error:
            known = _known_fault(folder, settings, trusted, error)
            if known is None:
                raise
            raise known from error
        if not getattr(tokenizer, "is_fast", False) and not is_plain(tokenizer):
            tokenizer = _converted(folder, tokenizer)
        if not is_plain(tokenizer) and not _has_pieces(folder, settings, tokenizer):
            raise lacking(folder, missing_vocabulary(folder) or "word pieces in its tokenizer file", _SAVE)
        with _unknown_words_allowed():
            pieces_of(tokenizer).encode("a 1 .")  # some faults of a vocabulary show only here
        longest = tokenizer.model_max_length
        if not isinstance(longest, (int, float)):
            fix = 'set it in the config, as by tokenizer_config = {"model_max_length": 512}'
            raise refusal(folder, f"the model_max_length of its tokenizer is {longest!r}", fix)
    return tokenizer


@contextlib.contextmanager
def _unknown_words_allowed() -> Iterator[None]:
    # A vocabulary without an unknown piece is a whole one: what it lacks is named when a text has it.
    try:
        yield
    except Exception as error:  # the tokenizers library raises bare Exceptions
        if "Missing" not in str(error):
            raise


def _known_fault(folder: Path, settings: Dict[str, Any], trusted: bool, error: Exception) -> Optional[ModelFormatError]:
    # What is behind an error of transformers, where that can be told.
    if not trusted and "trust_remote_code" in str(error) and code_of_tokenizer(folder):
        return refuse(folder, model=False, tokenizer=True)
    slow = _slow_class(folder)
    if slow is not None:
        return _slow(folder, slow)
    if missing_vocabulary(folder):
        return lacking(folder, missing_vocabulary(folder), _SAVE)
    broken = broken_json(folder)
    if broken:
        return refusal(folder, f"its {broken[0]} is not a JSON object", "download or save the tokenizer again")
    files = vocabulary_files(folder)
    if "tokenizer.json" in files:
        return None
    models = [file for file in files if file.endswith(".model")]
    fault = _model_fault(folder, models[0]) if models else None
    if fault is None and "backend tokenizer" in str(error) and not settings:
        kind = read_config(folder / "config.json").get("model_type")
        reason = f"for a model of type {kind!r}, transformers can't make a fast tokenizer of {', '.join(files)}"
        fix = 'name its family, as by tokenizer_config = {"tokenizer_type": "xlm-roberta"}; or save tokenizer.json'
        return refusal(folder, reason, fix)
    return fault


def _slow_class(folder: Path) -> Optional[str]:
    # The class of a tokenizer that has no fast one; of several in a mapping, the last is the fast one.
    from transformers import PreTrainedTokenizerFast
    from transformers.models.auto import tokenization_auto

    config = read_config(folder / "config.json")
    named = read_config(folder / "tokenizer_config.json").get("tokenizer_class") or config.get("tokenizer_class")
    if not isinstance(named, str):
        known = tokenization_auto.TOKENIZER_MAPPING_NAMES.get(str(config.get("model_type")))
        both = known if isinstance(known, (tuple, list)) else [known]
        named = next((name for name in reversed(both) if name is not None), None)
    if named is None:
        return None
    for name in (named.removesuffix("Fast") + "Fast", named):
        try:
            found = tokenization_auto.tokenizer_class_from_name(name)
        except Exception:  # a package that it needs is not there; then its own message is the better one
            return None
        if found is not None:
            return None if issubclass(found, PreTrainedTokenizerFast) else str(found.__name__)
    return None


def _converted(folder: Path, slow: Any) -> Any:
    fast = to_fast(slow)
    if fast is None:
        raise _slow(folder, type(slow).__name__)
    return fast


def _slow(folder: Path, name: str) -> ModelFormatError:
    command = f"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained({str(folder)!r})"
    return ModelFormatError(
        Errors.E013.format(
            file=folder,
            item=f"the tokenizer {name}",
            found="a slow one, written in Python, which gives no character offsets; and no conversion of this version "
            "of transformers makes a fast one of it that cuts texts the same",
            expected="a fast tokenizer (tokenizer.json), CanineTokenizer, ByT5Tokenizer, or one that can be converted",
            fix=f'where another version of transformers has a fast one, write it: python -c "{command}'
            f'.save_pretrained({str(folder)!r})"; else choose a model that has one',
        )
    )


def _has_pieces(folder: Path, settings: Dict[str, Any], tokenizer: Any) -> bool:
    # transformers 5 makes an empty tokenizer where it finds no file, without a word.
    special = set(tokenizer.all_special_tokens)
    if all(piece in special for piece in tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)):
        return False
    inside = folder / str(settings.get("subfolder") or "")
    own = [name for name in getattr(tokenizer, "vocab_files_names", {}).values() if (inside / str(name)).is_file()]
    return bool(own or vocabulary_files(inside) or code_of_tokenizer(folder))


def _model_fault(folder: Path, name: str) -> Optional[ModelFormatError]:
    # Why a file that SentencePiece or tiktoken wrote can't be read, where it is the file or a package.
    file = folder / name
    with file.open("rb") as stream:
        tiktoken = bool(_TIKTOKEN_LINE.match(stream.readline()))
    missing = _missing(_FOR_TIKTOKEN if tiktoken else _FOR_SENTENCEPIECE)
    if missing:
        maker = "tiktoken" if tiktoken else "SentencePiece"
        reason = f"its tokenizer, {name}, is one of {maker}, and for that {' and '.join(missing)} must be installed"
        return refusal(folder, reason, f"pip install {' '.join(missing)}")
    if tiktoken:
        return None
    try:
        from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2  # noqa: F401
    except Exception as error:  # the second refuses a protobuf that is older than the one it was made with
        reason = (
            f"its tokenizer, {name}, is one of SentencePiece, and the packages for that don't go together ({error})"
        )
        return refusal(folder, reason, "pip install --upgrade sentencepiece protobuf")
    try:
        SentencePieceProcessor(model_file=str(file))
    except Exception as error:
        return refusal(
            folder, f"its tokenizer, {name}, is damaged ({first_line(error)})", "download or save the tokenizer again"
        )
    return None


def _missing(packages: Dict[str, str]) -> List[str]:
    return [package for package, module in packages.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
