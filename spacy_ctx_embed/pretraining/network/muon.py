"""Muon: steps of equal size in all directions of a weight matrix, and AdamW for everything that is none.

A matrix is moved by its momentum made orthogonal, all singular values near 1, in place of the momentum itself, which a
few directions rule. Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale,
with which learning rates of AdamW can be kept, is that of Liu et al. 2025, arXiv:2502.16982, section 2.2.
``torch.optim.Muon`` takes no stacks of matrices, and always multiplies in bfloat16, which many CPUs can't do fast.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, cast

import torch

from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.packed.packable import Highway

_MOMENTUM, _ROUNDS = 0.95, 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: 5 rounds bring singular values from 0.01 to 1 near 1

Blocks = Callable[[torch.Tensor], torch.Tensor]  # a parameter, or what has its shape -> (…, a, b), of the same memory


def matrices_of(elmo: ElmoModule) -> List[Tuple[torch.Tensor, Blocks]]:
    """Find the weight matrices of a network, those between hidden layers: not characters, filters and biases.

    :param elmo: a network with a char-CNN and projections.
    :return: parameters, and how each is cut into matrices: each direction, gate and kind of input has one of its own.
    """
    cnn = cast(CharCnn, elmo.char_cnn)
    found: List[Tuple[torch.Tensor, Blocks]] = []
    for highway in cast(List[Highway], list(cnn.highways)):
        found.append((highway.weight, lambda x: x.view(2, -1, x.shape[1])))
    if cnn.projection is not None:
        found.append((cnn.projection.weight, lambda x: x[None]))
    for layer in cast(List[BilmLayer], list(elmo.bilm.layers)):
        assert layer.projection is not None
        found.append((layer.weight, lambda x: x.view(2, 2, x.shape[1] // 2, 4, -1).transpose(2, 3)))
        found.append((layer.projection, lambda x: x))
    return found


class Muon(torch.optim.AdamW):
    """The optimiser.

    :param matrices: parameters that are matrices, and how each is cut into them.
    :param others: parameters that AdamW changes.
    :param lr: learning rate of all.
    :param betas: of AdamW.
    :param weight_decay: of all.
    :param fused: of AdamW.
    :param dtype: of Muon's matrix products.
    """

    def __init__(
        self,
        matrices: Iterable[Tuple[torch.Tensor, Blocks]],
        others: Iterable[torch.Tensor],
        *,
        lr: float,
        betas: Tuple[float, float],
        weight_decay: float,
        fused: bool,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._blocks, self._dtype = list(matrices), dtype
        groups: List[Dict[str, Any]] = [{"params": list(others)}, {"params": [part for part, _ in self._blocks]}]
        super().__init__(groups, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused)

    def step(self, closure: Optional[Callable[[], Any]] = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient.

        :param closure: not used.
        """
        gradients = [part.grad for part, _ in self._blocks]
        for part, _ in self._blocks:
            part.grad = None  # so that AdamW leaves it alone
        try:
            super().step()
        finally:
            for (part, _), gradient in zip(self._blocks, gradients):
                part.grad = gradient
        group = self.param_groups[1]
        with torch.no_grad():
            for part, blocks in self._blocks:
                if part.grad is not None:
                    self._move(part, blocks, group["lr"], group["weight_decay"])

    def _move(self, part: torch.Tensor, blocks: Blocks, rate: float, decay: float) -> None:
        state, gradient = self.state[part], cast(torch.Tensor, part.grad)
        if not state:  # AdamW asks every state that it loads for a step
            state.update(step=torch.tensor(0.0), momentum_buffer=torch.zeros_like(part))
        state["step"] += 1
        momentum = state["momentum_buffer"].mul_(_MOMENTUM).add_(gradient)
        ahead = blocks(gradient.add(momentum, alpha=_MOMENTUM))
        rows, columns = ahead.shape[-2:]
        step = orthogonal(ahead.reshape(-1, rows, columns), self._dtype).view(ahead.shape)
        part.mul_(1 - rate * decay)
        blocks(part).sub_(step, alpha=0.2 * math.sqrt(max(rows, columns)) * rate)


def orthogonal(matrices: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Bring all singular values near 1, by rounds of a polynomial (Newton-Schulz) of products of matrices.

    :param matrices: ``(n, a, b)`` float32.
    :param dtype: of the products: the rounds mend what bfloat16 rounds (Jordan et al.).
    :return: ``(n, a, b)`` with the same singular vectors; of zeros, zeros.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if is_tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(dtype)
    first, third, fifth = _QUINTIC
    for _ in range(_ROUNDS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth), x, beta=first)
    return (x.transpose(1, 2) if is_tall else x).to(matrices.dtype).contiguous()
