"""Memory that is used again in every batch: fresh pages cost more than the arithmetic on them."""

from __future__ import annotations

from typing import DefaultDict, Dict, Tuple

import torch


class Workspace:
    """Tensors by name, for one user at a time."""

    def __init__(self) -> None:
        self._kept: Dict[str, torch.Tensor] = {}

    def take(self, name: str, shape: Tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Give memory of undefined content; what was taken under the name before is overwritten.

        :param name: what for.
        :param shape: its shape.
        :param dtype: its dtype.
        :param device: where.
        :return: the tensor.
        """
        kept = self._kept.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype or kept.device != device:
            kept = self._kept[name] = torch.empty(shape, dtype=dtype, device=device)
        return kept


Workspaces = DefaultDict[int, Workspace]
