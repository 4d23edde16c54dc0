"""Linear layers and tables of a module that is not ours, in 8-bit integers.

Enters: a frozen float32 module on the CPU. Leaves: the same module with a quarter of the weights' memory, products of
rows and weights in integers, results in float32. Each output of a layer and each row of a table has a scale of its own,
and so has each row to multiply, at the time ("vector-wise": Dettmers et al. 2022, arXiv:2208.07339). On a processor
that multiplies bfloat16 as fast, rows stay unrounded: weights are integers all the same, and all else is bfloat16.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.packed.joined import Joined, triples
from spacy_ctx_embed.networks.packed.linear import fuse_gelu
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, RoundedMatrix, multiplies_best_in_bfloat16, to_int8

_MANY_ROWS = 1024  # of a table; smaller ones (positions, types) stay as they are
_EXACT = "float32_of_saved"  # attribute of a module: its own tensors as they were before it became bfloat16
SCALE = "_scale"  # behind the name of a tensor of integers, in a state to save


_Matrix = Union[Int8Matrix, RoundedMatrix]


class Int8Linear(nn.Linear):
    """An ``nn.Linear`` whose ``weight`` is only there by name, shape and dtype: its values are NaN."""

    _matrix: Optional[_Matrix] = None
    _joined: Optional[Tuple[Joined, _Matrix, int, slice]] = None  # with others; then the own matrix is in there
    activation = "none"  # or "gelu", applied to the result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(…, in_features)`` in the dtype of the module.
        :return: ``(…, out_features)``.
        """
        if x.numel() == 0:
            return x.new_zeros(*x.shape[:-1], self.out_features)
        if self._joined is not None and self._joined[0].works:
            found = self._joined[0].result(x, self._joined[2])
            if found is not None:
                return found
        if self._matrix is None:
            self._matrix = _matrix(*self.integers(), dtype=x.dtype)
        y = self._matrix.product(x.reshape(-1, self.in_features), self.bias, self.activation)
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
        :return: ``(…, width)`` in the dtype of the module.
        """
        return self.integers[ids].float().mul_(self.scales[ids][..., None]).to(self.weight.dtype)


def make_int8(module: nn.Module) -> None:
    """Turn the plain linear layers and the large tables of a module into 8-bit ones, in place.

    :param module: a frozen float32 module on the CPU; it becomes bfloat16 where products of that are as fast.
    """
    dtype = torch.bfloat16 if multiplies_best_in_bfloat16() else torch.float32
    rounded: List[Any] = []
    with torch.no_grad():
        for layer in module.modules():
            if type(layer) is nn.Linear:
                matrix = _matrix(layer.weight.detach(), dtype=dtype)
                layer.__class__ = Int8Linear
                cast(Int8Linear, layer)._matrix = matrix
                rounded.append(layer)
            elif type(layer) is nn.Embedding and len(layer.weight) >= _MANY_ROWS and layer.max_norm is None:
                integers, scales = to_int8(layer.weight.detach())
                layer.__class__ = Int8Embedding
                table = cast(Int8Embedding, layer)
                table.integers, table.scales = integers, scales
                rounded.append(layer)
        if dtype != torch.float32:
            _make_bfloat16(module, rounded)
        for layer in rounded:
            _forget_weight(layer)
        for block in module.modules():
            fuse_gelu(block, Int8Linear)
        for three in triples(module, Int8Linear):
            _join(cast(List[Int8Linear], three), dtype)


def state_to_save(module: nn.Module) -> Dict[str, torch.Tensor]:
    """Give all values of a module that has 8-bit layers.

    :param module: the module.
    :return: tensors by name, those of 8-bit layers int8, with the scales of their rows under the name + "_scale".
    """
    found = dict(module.state_dict())
    for name, layer in module.named_modules():
        for own, tensor in getattr(layer, _EXACT, {}).items():
            found[f"{name}.{own}" if name else own] = tensor
        key = f"{name}.weight" if name else "weight"
        if isinstance(layer, Int8Linear):
            found[key], found[key + SCALE] = layer.integers()
        elif isinstance(layer, Int8Embedding):
            found[key], found[key + SCALE] = layer.integers, layer.scales
    return found


def _matrix(weight: torch.Tensor, scales: Optional[torch.Tensor] = None, *, dtype: torch.dtype) -> _Matrix:
    if dtype == torch.bfloat16:
        return RoundedMatrix(weight, scales)
    return Int8Matrix(weight, scales, fine_rows=True)


def _forget_weight(layer: Any) -> None:
    nothing = torch.full((), float("nan"), dtype=layer.weight.dtype).expand(layer.weight.shape)
    layer.weight = nn.Parameter(nothing, requires_grad=False)


def _make_bfloat16(module: nn.Module, rounded: List[Any]) -> None:
    # All else than the integers; what is saved stays as it was.
    weights = {id(layer.weight) for layer in rounded}
    for layer in module.modules():
        tensors = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        kept = ((name, tensor) for name, tensor in tensors if tensor.is_floating_point() and id(tensor) not in weights)
        setattr(layer, _EXACT, {name: tensor.detach().clone() for name, tensor in kept})
    module.to(torch.bfloat16)


def _join(layers: List[Int8Linear], dtype: torch.dtype) -> None:
    parts = [layer.integers() for layer in layers]
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    bias = torch.cat(biases) if biases else None
    matrix = _matrix(torch.cat([p for p, _ in parts]), torch.cat([s for _, s in parts]), dtype=dtype)
    joined = Joined(lambda x: matrix.product(x, bias), [layer.out_features for layer in layers])
    start = 0
    for number, layer in enumerate(layers):
        layer._joined = (joined, matrix, number, slice(start, start + layer.out_features))
        layer._matrix = None
        start += layer.out_features
