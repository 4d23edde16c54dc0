"""Linear layers and tables of a module that is not ours, in 8-bit integers.

Enters: a frozen float32 module on the CPU. Leaves: the same module with a quarter of the weights' memory, products of
rows and weights in integers, results in float32. Each output of a layer and each row of a table has a scale of its own,
and so has each row to multiply, at the time ("vector-wise": Dettmers et al. 2022, arXiv:2208.07339).
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.packed.joined import Joined, triples
from spacy_ctx_embed.networks.packed.linear import fuse_gelu
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, to_int8

_MANY_ROWS = 1024  # of a table; smaller ones (positions, types) stay as they are
SCALE = "_scale"  # behind the name of a tensor of integers, in a state to save


class Int8Linear(nn.Linear):
    """An ``nn.Linear`` whose ``weight`` is only there by name, shape and dtype: its values are NaN."""

    _matrix: Optional[Int8Matrix] = None
    _joined: Optional[Tuple[Joined, Int8Matrix, int, slice]] = None  # with others; then the own matrix is in there
    activation = "none"  # or "gelu", applied to the result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(…, in_features)`` float32.
        :return: ``(…, out_features)``.
        """
        if x.numel() == 0:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        if self._joined is not None and self._joined[0].works:
            found = self._joined[0].result(x, self._joined[2])
            if found is not None:
                return found
        if self._matrix is None:
            self._matrix = Int8Matrix(*self.integers(), fine_rows=True)
        y = self._matrix.product(x.reshape(-1, self.in_features), self.bias)
        if self.activation == "gelu":
            y = nn.functional.gelu(y)
        return y.view(*x.shape[:-1], self.out_features)

    def integers(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Give the weight.

        :return: ``(out_features, in_features)`` int8, and ``(out_features,)`` scales.
        """
        if self._matrix is not None or self._joined is None:
            assert self._matrix is not None
            return self._matrix.integers()
        integers, scales = self._joined[1].integers()
        return integers[self._joined[3]], scales[self._joined[3]]


class Int8Embedding(nn.Embedding):
    """An ``nn.Embedding`` of 8-bit integers; of its ``weight`` too only the name is left."""

    integers: torch.Tensor
    scales: torch.Tensor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look rows up.

        :param ids: ``(…,)`` row numbers.
        :return: ``(…, width)`` float32.
        """
        return self.integers[ids].float().mul_(self.scales[ids][..., None])


def make_int8(module: nn.Module) -> None:
    """Turn the plain linear layers and the large tables of a module into 8-bit ones, in place.

    :param module: a frozen float32 module on the CPU.
    """
    with torch.no_grad():
        for layer in module.modules():
            if type(layer) is nn.Linear:
                matrix = Int8Matrix(layer.weight.detach(), fine_rows=True)
                layer.__class__ = Int8Linear
                cast(Int8Linear, layer)._matrix = matrix
                _forget_weight(layer)
            elif type(layer) is nn.Embedding and len(layer.weight) >= _MANY_ROWS and layer.max_norm is None:
                integers, scales = to_int8(layer.weight.detach())
                layer.__class__ = Int8Embedding
                table = cast(Int8Embedding, layer)
                table.integers, table.scales = integers, scales
                _forget_weight(layer)
        for block in module.modules():
            fuse_gelu(block, Int8Linear)
        for three in triples(module, Int8Linear):
            _join(cast(List[Int8Linear], three))


def state_to_save(module: nn.Module) -> Dict[str, torch.Tensor]:
    """Give all values of a module that has 8-bit layers.

    :param module: the module.
    :return: tensors by name, those of 8-bit layers int8, with the scales of their rows under the name + "_scale".
    """
    found = dict(module.state_dict())
    for name, layer in module.named_modules():
        key = f"{name}.weight" if name else "weight"
        if isinstance(layer, Int8Linear):
            found[key], found[key + SCALE] = layer.integers()
        elif isinstance(layer, Int8Embedding):
            found[key], found[key + SCALE] = layer.integers, layer.scales
    return found


def _forget_weight(layer: Any) -> None:
    nothing = torch.full((), float("nan")).expand(layer.weight.shape)
    layer.weight = nn.Parameter(nothing, requires_grad=False)


def _join(layers: List[Int8Linear]) -> None:
    parts = [layer.integers() for layer in layers]
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    bias = torch.cat(biases) if biases else None
    matrix = Int8Matrix(torch.cat([p for p, _ in parts]), torch.cat([s for _, s in parts]), fine_rows=True)
    joined = Joined(lambda x: matrix.product(x, bias), [layer.out_features for layer in layers])
    start = 0
    for number, layer in enumerate(layers):
        layer._joined = (joined, matrix, number, slice(start, start + layer.out_features))
        layer._matrix = None
        start += layer.out_features
