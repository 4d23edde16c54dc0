"""Queries, keys and values as one product: three layers of a module that is not ours, called with the same input.

Enters: the three layers, in the order of the joint matrix. Leaves: the result of whichever is asked for; the first call
computes all three. One large product is faster than three, and rounds its rows to 8 bits once.
"""

from __future__ import annotations

import threading
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import nn

# What the three are called in the modules of transformers.
_NAMES = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"))


class Joined:
    """The joint product of layers that read the same rows.

    :param product: ``(n, n_in)`` to the results of all layers side by side.
    :param sizes: outputs of each layer.
    """

    def __init__(self, product: Callable[[torch.Tensor], torch.Tensor], sizes: Sequence[int]) -> None:
        self._product = product
        self._sizes = list(sizes)
        self._kept = threading.local()  # ``results``: an input, and what was not asked for yet
        self.works = True  # until the layers turn out to read different rows

    def result(self, x: torch.Tensor, number: int) -> Optional[torch.Tensor]:
        """Give the result of one layer.

        :param x: ``(…, n_in)``; the same object for each layer.
        :param number: which layer.
        :return: ``(…, n_out)``; ``None`` where the layers do not read the same rows.
        """
        kept: Optional[Tuple[torch.Tensor, List[Optional[torch.Tensor]]]] = getattr(self._kept, "results", None)
        if kept is None or kept[0] is not x or kept[1][number] is None:
            if kept is not None and kept[0] is not x:
                self.works = False
                self._kept.results = None
                return None
            y = self._product(x.reshape(-1, x.shape[-1]))
            parts = [part.view(*x.shape[:-1], part.shape[1]) for part in y.split(self._sizes, dim=1)]
            kept = (x, list(parts))
        mine = kept[1][number]
        kept[1][number] = None
        self._kept.results = kept if any(part is not None for part in kept[1]) else None
        return mine


def triples(module: nn.Module, kind: type) -> List[List[nn.Linear]]:
    """Find the layers that make queries, keys and values.

    :param module: a module.
    :param kind: the class that all three must have.
    :return: the three of each attention, where they take rows of one width and agree on a bias.
    """
    found = []
    for block in module.modules():
        for names in _NAMES:
            three = [getattr(block, name, None) for name in names]
            if all(type(layer) is kind for layer in three):
                layers = [layer for layer in three if isinstance(layer, nn.Linear)]
                if len({(layer.in_features, layer.bias is None) for layer in layers}) == 1:
                    found.append(layers)
    return found
