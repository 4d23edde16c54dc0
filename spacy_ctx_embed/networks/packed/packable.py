"""Modules that can give their weights away to a faster layout, and take them back when those are wanted.

A frozen module on the CPU is packed once; its parameters are empty from then on, so that nothing is kept twice. Saving,
copying, moving it to another device, and gradients all see the weights as if nothing had happened.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Optional, TypeVar, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.packed.matrix import Matrix

_LOCK = threading.RLock()
Self = TypeVar("Self", bound="Packable")


class Packable(nn.Module):
    """Base of such modules. A subclass says how its own parameters (not those of modules inside) are packed."""

    packing: Optional[str] = None  # set where the module is to be packed: what kind of numbers, "float32" or "int8"
    packed: Any = None

    def make_packed(self) -> Any:
        """Lay out the parameters.

        :return: an object that :meth:`dense` understands.
        """
        raise NotImplementedError

    def dense(self) -> List[torch.Tensor]:
        """Give the parameters back.

        :return: one tensor per parameter, in the order of ``parameters(recurse=False)``.
        """
        raise NotImplementedError

    def runs_packed(self, x: torch.Tensor) -> bool:
        """Pack if that is wanted and can be used now; unpack if gradients are wanted.

        :param x: an input.
        :return: whether ``packed`` is to be used for it.
        """
        if self.packing is None or x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_grad_enabled():
            self.unpack()
            return False
        self.pack()
        return True

    def pack(self) -> None:
        """Lay out the weights as ``packing`` says, and let go of them. Does nothing if that is done."""
        if self.packed is None and self.packing is not None:
            with _LOCK, torch.inference_mode(False), torch.no_grad():  # else they could only be used in inference mode
                if self.packed is None:
                    packed = self.make_packed()
                    for parameter in self.parameters(recurse=False):
                        parameter.data = parameter.data.new_empty(0)
                    self.packed = packed

    def unpack(self) -> None:
        """Take the weights back from the packed form, which is given up."""
        if self.packed is not None:
            with _LOCK, torch.inference_mode(False), torch.no_grad():
                if self.packed is not None:
                    for parameter, dense in zip(self.parameters(recurse=False), self.dense()):
                        parameter.data = dense
                    self.packed = None

    def _dense_by_name(self) -> Dict[str, torch.Tensor]:
        names = [name for name, _ in self.named_parameters(recurse=False)]
        return dict(zip(names, self.dense())) if self.packed is not None else {}

    def _save_to_state_dict(self, destination: Dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({f"{prefix}{name}": dense for name, dense in self._dense_by_name().items()})

    def _apply(self: Self, *args: Any, **kwargs: Any) -> Self:
        self.unpack()  # the weights move to another device or dtype
        return cast(Self, super()._apply(*args, **kwargs))

    def __getstate__(self) -> Dict[str, Any]:
        # A copy gets the weights themselves, and packs them again.
        if self.packed is None:
            return self.__dict__
        dense = {name: nn.Parameter(part, requires_grad=False) for name, part in self._dense_by_name().items()}
        return {**self.__dict__, "_parameters": {**self._parameters, **dense}, "packed": None}


class FrozenLinear(nn.Linear, Packable):
    """An ``nn.Linear`` of which one copy of the weights is kept, packed where that is faster."""

    def make_packed(self) -> Any:
        """Lay out the weight.

        :return: it, in oneDNN's layout, and a copy of the bias.
        """
        return Matrix(self.weight.detach()), self.bias.detach().clone()

    def dense(self) -> List[torch.Tensor]:
        """Give weight and bias back.

        :return: the two.
        """
        return [self.packed[0].dense(), self.packed[1].clone()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(n, in_features)``.
        :return: ``(n, out_features)``.
        """
        if not len(x) or not self.runs_packed(x):
            self.unpack()
            return super().forward(x)
        return cast(torch.Tensor, self.packed[0].product(x, self.packed[1]))


class Highway(FrozenLinear):
    """A highway layer: ``g * relu(A x + a) + (1 - g) * x`` with ``g = sigmoid(B x + b)`` (Srivastava et al. 2015).

    ``weight`` is ``(2 * width, width)``, A above B, and ``bias`` likewise.

    :param width: of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, 2 * width)

    def make_packed(self) -> Any:
        """Lay out the two halves of the weight.

        :return: A and B, in oneDNN's layout, and a copy of the bias.
        """
        candidate, gate = self.weight.detach().chunk(2)
        return Matrix(candidate), Matrix(gate), self.bias.detach().clone()

    def dense(self) -> List[torch.Tensor]:
        """Give weight and bias back.

        :return: the two.
        """
        candidate, gate, bias = self.packed
        return [torch.cat([candidate.dense(), gate.dense()]), bias.clone()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(n, width)``.
        :return: ``(n, width)``.
        """
        if len(x) and self.runs_packed(x):
            candidate, gate, bias = self.packed
            first, second = bias.chunk(2)
            return torch.lerp(x, candidate.product(x, first, "relu"), gate.product(x, second, "sigmoid"))
        self.unpack()
        candidate, gate = nn.functional.linear(x, self.weight, self.bias).chunk(2, dim=1)
        return torch.lerp(x, torch.relu(candidate), torch.sigmoid(gate))
