"""Linear layers of a module that is not ours, with a packed copy of their weights.

Enters: a frozen module on the CPU. Leaves: the same module, its linear layers some 20 % faster, the GELU of a BERT's
feed-forward part done in the same pass, queries, keys and values in one product, results equal to rounding. The weights
themselves stay, unlike those of :class:`~spacy_ctx_embed.networks.packed.packable.FrozenLinear`: code of others reads
``weight`` (tied embeddings, T5's look at its dtype, experts that multiply by a slice), and would find it empty.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.packed.joined import Joined, triples
from spacy_ctx_embed.networks.packed.matrix import Matrix, can_pack

# Packing keeps a second copy of the weights: past so many bytes the memory is worth more than the time.
MAX_BYTES = 512 << 20


class PackedLinear(nn.Linear):
    """An ``nn.Linear`` that keeps a packed copy of its weight, made at first use and never saved or copied."""

    _packed: Optional[Matrix] = None
    _joined: Optional[Tuple[Joined, int]] = None
    activation = "none"  # or "gelu", applied to the result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(…, in_features)``; other devices and dtypes than those of the packed weights, and gradients, take
            the plain way.
        :return: ``(…, out_features)``.
        """
        dtype = self.weight.dtype
        if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != dtype or not packs(dtype) or x.numel() == 0:
            y = super().forward(x)
            return nn.functional.gelu(y) if self.activation == "gelu" else y
        if self._joined is not None and self._joined[0].works:
            found = self._joined[0].result(x, self._joined[1])
            if found is not None:
                return found
        if self._packed is None:
            self._packed = Matrix(self.weight.detach())
        y = self._packed.product(x.reshape(-1, self.in_features), self.bias, self.activation)
        return y.view(*x.shape[:-1], self.out_features)

    def __getstate__(self) -> Dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_packed", "_joined")}

    def _apply(self, *args: Any, **kwargs: Any) -> "PackedLinear":
        self._packed = self._joined = None  # the weights move to another device or dtype
        return cast("PackedLinear", super()._apply(*args, **kwargs))


def packs(dtype: torch.dtype) -> bool:
    """Tell whether this processor has a fast product of packed weights.

    :param dtype: of weights and rows.
    :return: true for float32; for 16 bits where it has instructions for them.
    """
    if dtype == torch.float32:
        return True
    return dtype in (torch.bfloat16, torch.float16) and can_pack() and computes_in(dtype)


def computes_in(dtype: torch.dtype) -> bool:
    """Tell whether this processor has instructions for a dtype of 16 bits; without, it is slower than float32.

    :param dtype: ``torch.bfloat16`` or ``torch.float16``.
    :return: whether it has.
    """
    name = "_is_mkldnn_bf16_supported" if dtype == torch.bfloat16 else "_is_mkldnn_fp16_supported"
    return hasattr(torch.ops.mkldnn, name) and bool(getattr(torch.ops.mkldnn, name)())


def pack_linears(module: nn.Module) -> None:
    """Turn the plain linear layers of a module into packed ones, in place. Parameters stay as they are.

    :param module: a module that will not be trained.
    """
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear]
    n_bytes = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    if can_pack() and n_bytes <= MAX_BYTES:
        for layer in layers:
            layer.__class__ = PackedLinear
        for block in module.modules():
            fuse_gelu(block, PackedLinear)
        for three in triples(module, PackedLinear):
            _join(cast(List[PackedLinear], three))


def fuse_gelu(block: nn.Module, kind: type) -> None:
    """Have a linear layer apply the exact GELU behind it, where there is one.

    :param block: may be one of the BERT family: ``intermediate_act_fn(dense(x))``.
    :param kind: class of the linear layer, which has an ``activation``.
    """
    dense, activation = getattr(block, "dense", None), getattr(block, "intermediate_act_fn", None)
    # transformers wraps the exact GELU in a class
    exact = type(activation).__name__ == "GELUActivation" or getattr(activation, "approximate", None) == "none"
    if type(dense) is kind and exact:
        cast(Any, dense).activation = "gelu"
        cast(Any, block).intermediate_act_fn = nn.Identity()


def _join(layers: List[PackedLinear]) -> None:
    matrix: List[Matrix] = []  # made at first use
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = torch.cat([part.detach() for part in biases]) if biases else None

    def product(x: torch.Tensor) -> torch.Tensor:
        if not matrix:
            matrix.append(Matrix(torch.cat([layer.weight.detach() for layer in layers])))
        return matrix[0].product(x, bias)

    joined = Joined(product, [layer.out_features for layer in layers])
    for number, layer in enumerate(layers):
        layer._joined = (joined, number)
