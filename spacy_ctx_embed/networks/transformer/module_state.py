"""What a pass changes in the modules themselves, seen and put back.

Some models switch to another way of attention after a short text, or keep a table of positions that grew with a long
one, and stay so. Enters: a module, before a pass. Leaves: the module as it was, after it.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import nn

# Parts of a module that hold other things than state, what a training loop sets itself, and our own packed weights.
_NOT_STATE = {"_parameters", "_buffers", "_modules", "training", "_packed"}


class Changes:
    """What a pass changed: ``found`` has the names, as ``module.attribute``, when the block has ended."""

    def __init__(self) -> None:
        self.found: List[str] = []


@contextlib.contextmanager
def put_back(module: nn.Module) -> Iterator[Changes]:
    """Undo what happens inside to attributes, buffers and submodules. Weights are not looked at.

    :param module: the module.
    :yields: what was changed, filled when the block ends.
    """
    changes = Changes()
    holders = [
        (f"{name}.", holder) for name, part in module.named_modules() for holder in (part.__dict__, part._buffers)
    ]
    holders += [(f"{name}.", part._modules) for name, part in module.named_modules()]
    before = [(name, holder, _state_of(holder)) for name, holder in holders]
    try:
        yield changes
    finally:
        with torch.no_grad():
            for name, holder, state in before:
                changes.found += [name + key for key in _restore(holder, state)]


def _state_of(holder: Dict[str, Any]) -> Dict[str, Tuple[Any, Any]]:
    # Each value, and a copy of what is in it where it can be changed in place. transformers puts hooks on a model at
    # its first pass, by which hidden states come out: these stay.
    kept = {key: value for key, value in holder.items() if key not in _NOT_STATE and "hook" not in key}
    return {key: (value, _copy(value)) for key, value in kept.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    return value.copy() if type(value) in (dict, list, set) else value


def _restore(holder: Dict[str, Any], before: Dict[str, Tuple[Any, Any]]) -> List[str]:
    # Names of what was changed.
    now = [key for key in holder if key not in _NOT_STATE and "hook" not in key]
    changed = [key for key in now if key not in before]
    for key in changed:
        del holder[key]
    for key, (value, copy) in before.items():
        if key not in holder or holder[key] is not value and not _same(holder[key], value):
            holder[key] = value
            changed.append(key)
        if not _same(value, copy):
            changed.append(key)
            if isinstance(value, torch.Tensor):
                value.copy_(copy)
            elif isinstance(value, list):
                value[:] = copy
            else:
                value.clear()
                value.update(copy)
    return changed


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return type(one) is type(other) and one.shape == other.shape and bool(torch.equal(one, other))
    if type(one) is not type(other) or not isinstance(one, (bool, int, float, str, dict, list, set)):
        return False
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # containers of tensors or arrays
        return False
