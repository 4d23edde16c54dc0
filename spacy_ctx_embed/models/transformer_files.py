"""Opens a Hugging Face model and its fast tokenizer from a folder, and refuses what is not a whole model.

Enters: a folder. Leaves: a ``transformers`` model in eval mode, float weights checked, and a tokenizer.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from spacy_ctx_embed.errors import Errors, ModelFormatError

_ACCEPTED = "a folder with config.json, weights (model.safetensors) and a fast tokenizer (tokenizer.json)"
# transformers makes an empty tokenizer where it finds none of these, without a word
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
)


def read_transformer(
    folder: Path, tokenizer_config: Dict[str, Any], transformer_config: Dict[str, Any]
) -> Tuple[Any, Any]:
    """Load model and tokenizer.

    :param folder: local folder in the layout of the Hugging Face Hub.
    :param tokenizer_config: arguments for ``AutoTokenizer.from_pretrained``.
    :param transformer_config: arguments for ``AutoModel.from_pretrained``.
    :return: the model, in eval mode on the CPU, and the tokenizer.
    :raises ModelFormatError: if a file is missing, broken, of another shape, or holds NaN.
    """
    from transformers import AutoModel, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise ModelFormatError(
            Errors.E012.format(
                file=folder,
                reason="it has no config.json, so it is not a transformers model",
                accepted=_ACCEPTED,
                fix="set 'name' to the folder that save_pretrained wrote, or to a hub id",
            )
        )
    if not any((folder / file).is_file() for file in _VOCABULARIES):
        raise ModelFormatError(
            Errors.E012.format(
                file=folder,
                reason="it has no tokenizer file",
                accepted=_ACCEPTED,
                fix="save the tokenizer beside the model, tokenizer.save_pretrained(folder)",
            )
        )
    with _quiet_loading(), _explained(folder):
        model, info = AutoModel.from_pretrained(
            str(folder), **{"local_files_only": True, **transformer_config, "output_loading_info": True}
        )
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), **{"local_files_only": True, **tokenizer_config, "use_fast": True}
        )
    _check_complete(folder, info)
    _check_tokenizer(folder, tokenizer, model)
    _check_finite(folder, model)
    return model.eval(), tokenizer


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # transformers, tokenizers and safetensors each raise types of their own
        lines = str(error).strip().splitlines() or [""]
        raise ModelFormatError(
            Errors.E012.format(
                file=folder,
                reason=f"transformers says {type(error).__name__}: {lines[0][:300]}",
                accepted=_ACCEPTED,
                fix="download or save the model again; check 'transformer_config' and 'tokenizer_config'",
            )
        ) from error


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


def _check_complete(folder: Path, info: Dict[str, Any]) -> None:
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key and "position_ids" not in key)
    if missing:
        raise ModelFormatError(
            Errors.E013.format(
                file=folder,
                item=f"{len(missing)} weight tensors, the first {missing[0]!r},",
                found="missing",
                expected="all weights that config.json describes",
                fix="download or save the model again; use config.json and weights of one model",
            )
        )


def _check_tokenizer(folder: Path, tokenizer: Any, model: Any) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ModelFormatError(
            Errors.E013.format(
                file=folder,
                item=f"the tokenizer {type(tokenizer).__name__}",
                found="a slow one, which gives no character offsets",
                expected="a fast tokenizer (tokenizer.json)",
                fix="convert it with transformers.convert_slow_tokenizer, or choose a model that ships one",
            )
        )
    rows = model.get_input_embeddings().num_embeddings
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


def write_transformer(folder: Path, model: Any, tokenizer: Any) -> None:
    """Save model and tokenizer so that :func:`read_transformer` loads them.

    :param folder: an existing folder.
    :param model: a ``transformers`` model.
    :param tokenizer: its tokenizer.
    """
    with _quiet_loading():
        model.save_pretrained(str(folder), safe_serialization=True)
        tokenizer.save_pretrained(str(folder))
