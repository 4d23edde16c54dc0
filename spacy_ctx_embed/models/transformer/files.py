"""Opens a Hugging Face model and its tokenizer from a folder, and refuses what is not a whole model.

Enters: a folder. Leaves: a ``transformers`` model in eval mode, float weights checked, and a tokenizer.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.transformer.code import (
    KEY,
    code_of_model,
    code_of_tokenizer,
    fetch_trusted,
    refuse,
    trust_in,
)
from spacy_ctx_embed.models.transformer.folder import (
    missing_shards,
    read_config,
    read_json,
    transformer_folder,
    type_by_module,
    weight_files,
)
from spacy_ctx_embed.models.transformer.integers import has_integers, read_integers, write_integers
from spacy_ctx_embed.models.transformer.refusals import explained, lacking, refusal
from spacy_ctx_embed.models.transformer.tokenizer import read_tokenizer

_AGAIN = "download or save the model again"
# Arguments that lead transformers to other files than the usual ones.
ELSEWHERE = ("gguf_file", "state_dict", "subfolder", "use_safetensors", "variant")


def read_transformer(
    folder: Path, tokenizer_config: Dict[str, Any], transformer_config: Dict[str, Any]
) -> Tuple[Any, Any]:
    """Load model and tokenizer.

    :param folder: local folder in the layout of the Hugging Face Hub, or of sentence-transformers.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``.
    :param transformer_config: arguments for ``AutoModel.from_pretrained``.
    :return: the model, in eval mode on the CPU, and the tokenizer.
    :raises ModelFormatError: if a file is missing, broken, of another shape, or holds NaN; if it needs code of its own
        that is not trusted; and in place of whatever transformers raises.
    :raises ValueError: if ``trust_remote_code`` is neither true nor false.
    """
    trusted = trust_in("transformer_config", transformer_config)
    tokenizer_trusted = trust_in("tokenizer_config", tokenizer_config)
    kind = type_by_module(folder)
    folder = transformer_folder(folder)
    _check_files(folder, transformer_config, kind)
    if trusted:
        fetch_trusted(folder, code_of_model(folder), transformer_config.get("code_revision"))
    if tokenizer_trusted:
        fetch_trusted(folder, code_of_tokenizer(folder), tokenizer_config.get("code_revision"))
    with _quiet_loading():
        model = _read_model(folder, transformer_config, kind, trusted=trusted, tokenizer_trusted=tokenizer_trusted)
        # What transformers can't tell from config.json without code, or at all, it is told.
        told = not _names_type(folder) or (code_of_model(folder) and (trusted or tokenizer_trusted))
        config = model.config if told else None
        tokenizer = read_tokenizer(folder, tokenizer_config, trusted=tokenizer_trusted, config=config)
    with explained(folder, "the model", "transformer_config", transformer_config):
        _check_rows(folder, tokenizer, model)
        _check_finite(folder, model)
        return model.eval(), tokenizer


def write_transformer(folder: Path, model: Any, tokenizer: Any, integers: Optional[Mapping[str, Any]] = None) -> None:
    """Save model and tokenizer so that :func:`read_transformer` loads them.

    :param folder: an existing folder.
    :param model: a ``transformers`` model.
    :param tokenizer: its tokenizer.
    :param integers: all tensors of a model of 8-bit integers, which is saved as these.
    """
    with _quiet_loading():
        if integers is None:
            model.save_pretrained(str(folder), safe_serialization=True)
        else:
            model.config.save_pretrained(str(folder))
            write_integers(folder, integers)
        tokenizer.save_pretrained(str(folder))


def _read_model(
    folder: Path, settings: Dict[str, Any], kind: Optional[str], *, trusted: bool, tokenizer_trusted: bool
) -> Any:
    from transformers import AutoModel

    if has_integers(folder):
        with explained(folder, "the model", "transformer_config", settings):
            return read_integers(folder, {KEY: trusted})
    hint = ""
    if code_of_model(folder) and not trusted:
        hint = (
            f'; or, if you trust the code of the repository, set transformer_config = {{"{KEY}": true}} in the config'
        )
    arguments = {"local_files_only": True, **settings}
    with explained(folder, "the model", "transformer_config", settings, hint):
        if kind is not None and not _names_type(folder):
            arguments = _with_config(folder, kind, arguments)
        arguments.update({"output_loading_info": True, KEY: trusted})
        try:
            model, info = AutoModel.from_pretrained(str(folder), **arguments)
        except Exception as error:
            if not trusted and KEY in str(error) and code_of_model(folder):
                tokenizer_too = bool(code_of_tokenizer(folder)) and not tokenizer_trusted
                raise refuse(folder, model=True, tokenizer=tokenizer_too) from error
            if "ignore_mismatched_sizes" in str(error):
                fix = f"{_AGAIN}; use config.json and weights of one model{hint}"
                raise refusal(folder, "its weights have other shapes than config.json says", fix) from error
            raise
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key and "position_ids" not in key)
        if missing:
            raise ModelFormatError(
                Errors.E013.format(
                    file=folder,
                    item=f"{len(missing)} weight tensors, the first {missing[0]!r},",
                    found="missing",
                    expected="all weights that config.json describes",
                    fix=f"{_AGAIN}; use config.json and weights of one model{hint}",
                )
            )
    return model


def _check_files(folder: Path, settings: Dict[str, Any], kind: Optional[str]) -> None:
    file = folder / str(settings.get("subfolder") or "") / "config.json"
    if not file.is_file():
        fix = "set 'name' to the folder that save_pretrained wrote, or to a hub id"
        if (folder / "adapter_config.json").is_file():
            fix = "set 'adapter' to this folder, and 'name' to the model that the adapter was trained on"
        raise lacking(folder, "config.json, so it is not a transformers model", fix)
    if not isinstance(read_json(file), dict):
        raise refusal(folder, "its config.json is not a JSON object", _AGAIN)
    if not _names_type(file.parent) and kind is None and not code_of_model(folder):
        fix = f'{_AGAIN}; of an old one, write its type into config.json, as "model_type": "bert"'
        raise refusal(folder, "its config.json names no model_type", fix)
    if any(settings.get(key) is not None for key in ELSEWHERE):
        return
    if not weight_files(folder) and not has_integers(folder):
        raise lacking(folder, "weights (model.safetensors, or pytorch_model.bin)", _AGAIN)
    shards = missing_shards(folder)
    if shards:
        raise lacking(
            folder, f"{', '.join(shards)}, a part of the weights that {weight_files(folder)[0]} names", _AGAIN
        )


def _names_type(folder: Path) -> bool:
    return bool(read_config(folder / "config.json").get("model_type"))


def _with_config(folder: Path, kind: str, settings: Dict[str, Any]) -> Dict[str, Any]:
    # The arguments with a config made of a config.json that does not say of which type it is.
    from transformers import AutoConfig

    make = type(AutoConfig.for_model(kind))
    config, others = make.from_pretrained(str(folder), return_unused_kwargs=True, **settings)
    return {**others, "config": config}


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    # Progress bars and notes about unused heads are no news to a pipeline; what matters is checked and raised here.
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check_rows(folder: Path, tokenizer: Any, model: Any) -> None:
    try:
        rows = model.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):  # no table of pieces: another check will say if it is no text model
        return
    if len(tokenizer) > rows:
        raise ModelFormatError(
            Errors.E013.format(
                file=folder,
                item="the tokenizer's vocabulary",
                found=f"of {len(tokenizer)} pieces",
                expected=f"at most the {rows} pieces that the weights have rows for",
                fix="use tokenizer and weights of one model",
            )
        )


def _check_finite(folder: Path, model: Any) -> None:
    for name, tensor in model.named_parameters():
        if not bool(tensor.isfinite().all()):
            raise ModelFormatError(
                Errors.E013.format(
                    file=folder,
                    item=f"the weight tensor {name!r}",
                    found="not finite (NaN or infinity)",
                    expected="numbers",
                    fix="download or save the model again",
                )
            )
