"""Adapters of peft: small weights beside a transformer, merged into its own or kept apart to be learnt.

Enters: a ``transformers`` model and a folder as ``PeftModel.save_pretrained`` writes it. Leaves: the same model with
other weights; or, where the adapter learns, with its layers in place and only their parameters open to gradients.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from spacy_ctx_embed.errors import Errors, ModelFormatError, reason_of, unreadable
from spacy_ctx_embed.models.transformer.files import write_transformer
from spacy_ctx_embed.models.transformer.folder import read_config

CONFIG = "adapter_config.json"
SAVED = "adapter"  # folder beside a base model that write_learnt wrote
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_ACCEPTED = f"a folder with {CONFIG} and {_WEIGHTS[0]}, as PeftModel.save_pretrained writes it"
_ROOT = "base_model.model."  # before the name of each weight


class MisfitError(Exception):
    """An adapter that was made for another model; the text says why."""


class KindError(Exception):
    """An adapter of a kind that is not for this use; the text says why."""


class Learnt:
    """A model with the layers of an adapter in it.

    :param peft_model: peft's wrapper.
    :param prefix: under which name the model is in it, where the adapter was trained below a head; else empty.
    """

    def __init__(self, peft_model: Any, prefix: str) -> None:
        self.peft_model = peft_model
        self._prefix = prefix

    def write(self, folder: Path, tokenizer: Any) -> None:
        """Save the model as it is without the adapter, and the adapter in a folder of its own.

        :param folder: an existing, empty folder.
        :param tokenizer: the model's tokenizer.
        """
        import torch
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        write_transformer(folder, _inside(copy.deepcopy(self.peft_model).unload(), self._prefix), tokenizer)
        (folder / SAVED).mkdir()
        # Embeddings are in the model beside it; left to itself, peft asks the Hub whether they were changed.
        state = get_peft_model_state_dict(self.peft_model, save_embedding_layers=False)
        tensors = {name: torch.clone(tensor.detach().cpu()).contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / SAVED / _WEIGHTS[0], metadata={"format": "pt"})
        self.peft_model.peft_config["default"].save_pretrained(str(folder / SAVED))


def adapter_config(folder: Path) -> Dict[str, Any]:
    """Read what an adapter says of itself.

    :param folder: the folder of an adapter.
    :return: its settings.
    :raises ModelFormatError: if it is no adapter, or not a whole one.
    """
    if not (folder / CONFIG).is_file():
        whole = (folder / "config.json").is_file()
        fix = "set 'name' to it, as it is a whole model" if whole else "set 'adapter' to the folder of an adapter"
        raise unreadable(folder, f"it has no {CONFIG}, so it is no adapter of peft", accepted=_ACCEPTED, fix=fix)
    config, again = read_config(folder / CONFIG), "download or save the adapter again"
    if not isinstance(config.get("peft_type"), str):
        raise unreadable(folder, f"its {CONFIG} is no JSON object with a 'peft_type'", accepted=_ACCEPTED, fix=again)
    return config


def add_adapter(model: Any, folder: Path, *, learns: bool) -> Tuple[Any, Optional[Learnt]]:
    """Bring an adapter into a model. Needs peft.

    :param model: a ``transformers`` model, float32; it is changed.
    :param folder: the folder of an adapter.
    :param learns: whether the adapter is to learn, and is therefore not merged.
    :return: the model; and what saves it where the adapter learns, else ``None``.
    :raises ModelFormatError: if a file of the adapter is missing or broken.
    :raises MisfitError: if it was made for another model.
    :raises KindError: if it can't be merged, or can't learn inside the layers of the model.
    """
    from peft import PeftConfig, PeftModel

    settings = adapter_config(folder)
    kind = settings["peft_type"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft warns of is an error here, or of no concern to an encoder
        try:
            config = PeftConfig.from_pretrained(str(folder))
        except (KeyError, ValueError) as error:
            raise KindError(f"is of the kind {kind!r}, which this version of peft can't read") from error
        except TypeError as error:
            raise unreadable(folder, error, accepted=_ACCEPTED, fix="pip install --upgrade peft") from error
        if config.is_prompt_learning or config.is_adaption_prompt:
            raise KindError(f"is of the kind {kind!r}, which adds to the input and leaves all weights as they are")
        _check_family(model, settings)
        state = _read_weights(folder)
        prefix = _prefix_of(model, state)
        config.inference_mode = not learns
        try:
            adapted = PeftModel(_below(model, prefix), config)
        except Exception as error:  # ValueErrors of many causes, and what the layers of a kind run into
            raise MisfitError(f"peft says {reason_of(error)}") from error
        _fill(adapted, state, model, prefix)
        if not learns:
            try:
                return _inside(adapted.merge_and_unload(), prefix), None
            except Exception as error:  # NotImplementedError, ValueError, AttributeError, by kind
                raise KindError(f"is of the kind {kind!r}, which can't be merged ({reason_of(error)})") from error
        inside = {id(parameter) for parameter in model.parameters()}
        if any(parameter.requires_grad and id(parameter) not in inside for parameter in adapted.parameters()):
            raise KindError(f"is of the kind {kind!r}, which keeps weights outside of the layers")
        return model, Learnt(adapted, prefix)


def _read_weights(folder: Path) -> Dict[str, Any]:
    from peft.utils import load_peft_weights

    again = "download or save the adapter again"
    if not any((folder / name).is_file() for name in _WEIGHTS):  # peft would ask the Hub
        raise unreadable(folder, f"it has no {' or '.join(_WEIGHTS)}", accepted=_ACCEPTED, fix=again)
    try:
        state: Dict[str, Any] = load_peft_weights(str(folder), device="cpu")
    except Exception as error:  # of safetensors, or of torch where it is a pickle
        raise unreadable(folder, error, accepted=_ACCEPTED, fix=again) from error
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            item, found = f"the weight tensor {name!r} of the adapter", "not finite (NaN or infinity)"
            raise ModelFormatError(
                Errors.E013.format(file=folder, item=item, found=found, expected="numbers", fix=again)
            )
    return state


def _check_family(model: Any, settings: Dict[str, Any]) -> None:
    # The layers of many families have the same names and sizes, so that weights alone don't tell.
    import transformers

    mapping = settings.get("auto_mapping")
    name = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    made_for = getattr(getattr(transformers, str(name), None), "config_class", None)
    if made_for is not None and made_for.model_type != model.config.model_type:
        raise MisfitError(f"it was trained on a {name}")


def _prefix_of(model: Any, state: Dict[str, Any]) -> str:
    # Of an adapter that was trained below a head, the name that the model has there.
    name = str(model.base_model_prefix)
    if not name or hasattr(model, name):
        return ""
    return name if any(key.startswith(f"{_ROOT}{name}.") for key in state) else ""


def _below(model: Any, prefix: str) -> Any:
    # The model under the name that it had when the adapter was trained: its config may name layers in full.
    import torch

    if not prefix:
        return model
    holder = torch.nn.Module()
    holder.is_gradient_checkpointing = False  # type: ignore[assignment]
    setattr(holder, prefix, model)
    return holder


def _inside(model: Any, prefix: str) -> Any:
    return getattr(model, prefix) if prefix else model


def _fill(adapted: Any, state: Dict[str, Any], model: Any, prefix: str) -> None:
    # Put the weights of an adapter in place, all but those of a head.
    from peft import set_peft_model_state_dict

    mine = {key: tensor for key, tensor in state.items() if key.startswith(f"{_ROOT}{prefix}") or not prefix}
    try:
        found: Any = set_peft_model_state_dict(adapted, mine)
    except Exception as error:  # a RuntimeError that lists sizes; KeyErrors
        raise MisfitError(_sizes(error)) from error
    of_kind = adapted.base_model.prefix
    missing = [key for key in found.missing_keys if of_kind in key and not _unused(model, key)]
    extra = [key for key in found.unexpected_keys if of_kind in key]
    if extra:
        raise MisfitError(f"the model has no place for {len(extra)} of its weights, such as {extra[0]!r}")
    if missing:
        raise MisfitError(f"it lacks {len(missing)} weights for layers of the model, such as {missing[0]!r}")


def _unused(model: Any, key: str) -> bool:
    # Of an encoder-decoder model only the encoder is run.
    return bool(getattr(model.config, "is_encoder_decoder", False)) and ".decoder." in key


def _sizes(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
    if not lines:
        return f"peft says {reason_of(error)}"
    return f"{len(lines)} of its weights are of another size, such as: {lines[0].rstrip('.')}"
