"""Random numbers that a pass draws: seen by the generators, and drawn from a fixed state where rows must be the same.

Enters: nothing. Leaves: the generators of torch and NumPy as they were, whatever happens inside.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, List

import numpy as np
import torch

_SEED = 0


class Draws:
    """Whether something was drawn: ``found``, set when the block ends."""

    def __init__(self) -> None:
        self.found = False


@contextlib.contextmanager
def draws_of(device: torch.device, *, fixed: bool) -> Iterator[Draws]:
    """Keep what is drawn inside from those outside.

    :param device: whose generator is looked at besides the CPU's.
    :param fixed: whether to begin from a fixed state instead of the present one.
    :yields: whether something was drawn.
    """
    draws = Draws()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        outside = np.random.get_state()  # noqa: NPY002 (the generator that models use)
        if fixed:
            torch.manual_seed(_SEED)
            np.random.seed(_SEED)
        before = _states(device)
        try:
            yield draws
        finally:
            draws.found = any(not np.array_equal(a, b) for a, b in zip(before, _states(device)))
            np.random.set_state(outside)


def _states(device: torch.device) -> List[Any]:
    found = [torch.random.get_rng_state().numpy()]
    if device.type == "cuda":
        found.append(torch.cuda.get_rng_state(device).numpy())
    state = np.random.get_state(legacy=False)
    return [*found, state["state"]["key"], np.array(state["state"]["pos"])]
