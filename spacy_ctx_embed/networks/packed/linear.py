"""Linear layers of a module that is not ours, with a packed copy of their weights.

Enters: a frozen module on the CPU. Leaves: the same module, its linear layers some 20 % faster, the GELU of a BERT's
feed-forward part done in the same pass, results equal to rounding. The weights themselves stay, unlike those of
:class:`~spacy_ctx_embed.networks.packed.packable.FrozenLinear`: code of others reads ``weight`` (tied embeddings, T5's
look at its dtype, experts that multiply by a slice), and would find it empty.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.packed.matrix import Matrix, can_pack

# Packing keeps a second copy of the weights: past so many bytes the memory is worth more than the time.
MAX_BYTES = 512 << 20


class PackedLinear(nn.Linear):
    """An ``nn.Linear`` that keeps a packed copy of its weight, made at first use and never saved or copied."""

    _packed: Optional[Matrix] = None
    activation = "none"  # or "gelu", applied to the result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer.

        :param x: ``(…, in_features)``; other devices and dtypes than CPU float32, and gradients, take the plain way.
        :return: ``(…, out_features)``.
        """
        if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or x.numel() == 0:
            y = super().forward(x)
            return nn.functional.gelu(y) if self.activation == "gelu" else y
        if self._packed is None:
            self._packed = Matrix(self.weight.detach())
        y = self._packed.product(x.reshape(-1, self.in_features), self.bias, self.activation)
        return y.view(*x.shape[:-1], self.out_features)

    def __getstate__(self) -> Dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_packed"}

    def _apply(self, *args: Any, **kwargs: Any) -> "PackedLinear":
        self._packed = None  # the weights move to another device or dtype
        return cast("PackedLinear", super()._apply(*args, **kwargs))


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
            _fuse_gelu(block)


def _fuse_gelu(block: nn.Module) -> None:
    # Blocks of the BERT family are ``intermediate_act_fn(dense(x))``; transformers wraps the exact GELU in a class.
    dense, activation = getattr(block, "dense", None), getattr(block, "intermediate_act_fn", None)
    exact = type(activation).__name__ == "GELUActivation" or getattr(activation, "approximate", None) == "none"
    if isinstance(dense, PackedLinear) and exact:
        dense.activation = "gelu"
        block.intermediate_act_fn = nn.Identity()
