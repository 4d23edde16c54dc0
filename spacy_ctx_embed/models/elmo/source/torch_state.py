"""A file that ``torch.save`` wrote to named tensors, without running what a pickle can ask to be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO, Dict

import torch

from spacy_ctx_embed.errors import first_line
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import AGAIN, unreadable, wrong

_STATE = "the tensors of a model by name, as torch.save(model.state_dict(), file) writes them"
_SAVE_AGAIN = "save the model's state_dict() alone, or get the file from its publisher again"
# How versions of torch word what a pickle asked for: "GLOBAL posix.system was not…", "Unsupported class posix.system"
_REFUSED = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)")
_DETAIL = re.compile(r"WeightsUnpickler error:\s*(.+)")
_OTHER_TYPE = re.compile(r"Can only |Trying to call ")


def open_state(stream: BinaryIO, file: Path) -> NamedArrays:
    """Read a dictionary of tensors, in torch's zip layout or in the one before it.

    :param stream: a seekable stream of the file.
    :param file: its name, for messages.
    :return: its tensors, on the CPU.
    :raises ModelFormatError: if it is cut off, something else than tensors by name, or a pickle that asks for more.
    """
    state = load_pickle(stream, file, _SAVE_AGAIN)
    if not isinstance(state, dict):
        wrong(file, "its content", f"of type {type(state).__name__}", _STATE, _SAVE_AGAIN)
    return named_tensors(state, file)


def named_tensors(state: Dict[Any, Any], file: Path) -> NamedArrays:
    """Take tensors by name, and nothing else.

    :param state: what a file held.
    :param file: its name, for messages.
    :return: its tensors.
    :raises ModelFormatError: if a name is not text, or a value is not a plain tensor.
    """
    tensors: Dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not _is_plain(value):
            wrong(file, f"the entry {name!r}", f"of type {type(value).__name__}", _STATE, _SAVE_AGAIN)
        tensors[name] = value.detach()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return NamedArrays(file, shapes, tensors.__getitem__, "tensor")


def load_pickle(stream: BinaryIO, file: Path, fix: str) -> Any:
    """Read what ``torch.save`` wrote, from torch's own list of harmless types only.

    :param stream: a seekable stream of the file.
    :param file: its name, for messages.
    :param fix: what to do where it asks for another type.
    :return: its content, tensors on the CPU.
    :raises ModelFormatError: if it can't be read so.
    """
    try:
        return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # what damaged bytes make an unpickler raise has no type in common
        refused, detail = _REFUSED.search(str(error)), _DETAIL.search(str(error))
        if refused:
            reason = f"it is a pickle that asks to run or make '{refused[1]}', which was refused"
            unreadable(file, reason, fix, error)
        told = (detail[1] if detail else first_line(error)).split(". ")[0].strip()
        # torch 2.4 and 2.5 raise AttributeError where they can't list a type under a second name
        if isinstance(error, AttributeError) or _OTHER_TYPE.match(told):
            unreadable(file, f"it is a pickle that asks for other types than may be made ({told})", fix, error)
        unreadable(file, f"not readable as a file of torch.save, or cut off ({told})", AGAIN, error)


def _is_plain(value: Any) -> bool:
    # Tensors that are sparse, quantized or without values can be in a file too.
    if not isinstance(value, torch.Tensor):
        return False
    return value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
