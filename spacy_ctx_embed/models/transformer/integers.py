"""Weights of a transformer that were rounded to 8-bit integers, in a file of their own beside ``config.json``.

Enters: tensors by name, int8 ones with the scales of their rows. Leaves: a folder without a float32 file, and a model
of float32 values that round to the same integers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

from spacy_ctx_embed.models.transformer.refusals import lacking, refusal

FILE = "model.int8.safetensors"
_AGAIN = "save the pipeline again"


def write_integers(folder: Path, state: Mapping[str, Any]) -> None:
    """Write tensors; what two names share is written once.

    :param folder: an existing folder.
    :param state: tensors by name; for each int8 one the ``(n_rows,)`` factors of its rows under the name + "_scale".
    """
    from safetensors.torch import save_file

    seen: Dict[Any, str] = {}
    kept = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.dtype)
        if seen.setdefault(place, name) == name or tensor.numel() == 0:
            kept[name] = tensor.contiguous().clone()
    save_file(kept, str(folder / FILE), metadata={"format": "pt"})


def has_integers(folder: Path) -> bool:
    """Tell whether a folder holds such a file.

    :param folder: the folder of a transformer.
    :return: whether it does.
    """
    return (folder / FILE).is_file()


def read_integers(folder: Path, settings: Dict[str, Any]) -> Any:
    """Make a model of a folder that :func:`write_integers` wrote to.

    :param folder: the folder, with a ``config.json``.
    :param settings: arguments for ``AutoModel.from_config``: ``trust_remote_code`` and the like.
    :return: the model, its weights float32.
    :raises ModelFormatError: if the file is damaged, or is of another model than ``config.json``.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    from spacy_ctx_embed.networks.packed.int8 import SCALE

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, **settings)
    model = AutoModel.from_config(config, **settings).float()
    try:
        state = load_file(str(folder / FILE))
    except Exception as error:  # safetensors raises its own for each fault of a file
        raise refusal(folder, f"its {FILE} is damaged ({error})", _AGAIN) from error
    own = model.state_dict()  # a model's own tensor may be called so too, as logit_scale of CLIP is
    computed = {name for name, _ in model.named_buffers()} - own.keys()  # of its config, whatever was saved
    state = {name: tensor for name, tensor in state.items() if name not in computed}
    named = [name.removesuffix(SCALE) for name in state if name.endswith(SCALE) and name not in own]
    scales = {name: state.pop(name + SCALE) for name in named if name in state or name in own}
    for name in {*scales, *(name for name, tensor in state.items() if tensor.dtype == torch.int8)}:
        if name not in state or name not in scales:
            raise lacking(folder, f"{name + (SCALE if name in state else '')!r} in its {FILE}", _AGAIN)
        state[name] = state[name].float() * scales[name][:, None]
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes
        raise refusal(folder, f"its {FILE} has other shapes than config.json says", _AGAIN) from error
    model.tie_weights()
    tied = {id(parameter) for name, parameter in model.named_parameters() if name in state}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    missing = [name for name in missing if name in parameters and id(parameters[name]) not in tied]
    if missing or unexpected:
        wrong = f"lacks {missing[0]!r}" if missing else f"has {unexpected[0]!r}"
        raise refusal(folder, f"its {FILE} {wrong}: it is of another model than config.json", _AGAIN)
    return model
