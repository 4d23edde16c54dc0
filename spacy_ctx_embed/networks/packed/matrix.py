"""A frozen weight matrix in the blocks that oneDNN's matrix product reads: float32, or 8-bit integers.

Enters: ``(n_out, n_in)`` weights. Leaves: products of rows, some 20 % faster than plain ones, and the weights again
where they are wanted. torch.compile does the same with frozen weights; its operators are reached by name here, so ask
first whether this build of torch has them.
"""

from __future__ import annotations

import functools
from typing import Any, Optional, Tuple, cast

import torch

from spacy_ctx_embed.networks.packed.row_counts import multiply_in_parts


def can_pack() -> bool:
    """Tell whether this build of torch has the operators.

    :return: true where it does.
    """
    names = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


def can_pack_int8() -> bool:
    """Tell whether this build of torch has the operators for 8-bit integers.

    :return: true where it does.
    """
    return can_pack() and hasattr(torch.ops.onednn, "qlinear_prepack")


class Matrix:
    """A weight matrix in oneDNN's layout.

    :param weight: ``(n_out, n_in)`` float32.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)

    def dense(self) -> torch.Tensor:
        """Give the matrix back.

        :return: ``(n_out, n_in)``.
        """
        return cast(torch.Tensor, self._packed.to_dense())

    def product(self, x: torch.Tensor, bias: Optional[torch.Tensor], activation: str = "none") -> torch.Tensor:
        """Multiply rows, and apply a function to the sums in the same pass.

        :param x: ``(n, n_in)``.
        :param bias: ``(n_out,)`` or ``None``.
        :param activation: "none", "relu" or "sigmoid".
        :return: ``(n, n_out)``.
        """
        pointwise: Any = torch.ops.mkldnn._linear_pointwise
        return multiply_in_parts(lambda rows: pointwise(rows, self._packed, bias, activation, [], "none"), x)

    def product_plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Multiply rows and add.

        :param x: ``(n, n_in)``.
        :param other: ``(n, n_out)``.
        :return: ``(n, n_out)``.
        """
        binary: Any = torch.ops.mkldnn._linear_pointwise.binary
        return multiply_in_parts(lambda rows, others: binary(rows, others, self._packed, None, "add"), x, other)


class Int8Matrix:
    """A weight matrix of 8-bit integers with one scale per output; rows to multiply are rounded to 8 bits on the way.

    :param weight: ``(n_out, n_in)`` float32.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self._scales = weight.abs().amax(dim=1).clamp_(min=1e-30) / 127
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        rounded = (weight / self._scales[:, None]).round_().clamp_(-127, 127).to(torch.int8).contiguous()
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)

    def dense(self) -> torch.Tensor:
        """Give the rounded matrix back.

        :return: ``(n_out, n_in)`` float32.
        """
        return self._packed.to_dense().t().float() * self._scales[:, None]

    def product(self, x: torch.Tensor, bias: Optional[torch.Tensor]) -> torch.Tensor:
        """Multiply rows.

        :param x: ``(n, n_in)``.
        :param bias: ``(n_out,)`` or ``None``.
        :return: ``(n, n_out)``.
        """
        y, scales = self._multiply(x)
        return y.mul_(scales) if bias is None else torch.addcmul(bias, y, scales)

    def product_plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Multiply rows and add.

        :param x: ``(n, n_in)``.
        :param other: ``(n, n_out)``.
        :return: ``(n, n_out)``.
        """
        y, scales = self._multiply(x)
        return torch.addcmul(other, y, scales, out=y)

    def _multiply(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        # Products of rows that were rounded to unsigned 8-bit integers around 128, and (n, 1) what to multiply them
        # with. Each row has a scale of its own, so that no row depends on the others.
        steps = row_steps()
        scales = torch.linalg.vector_norm(x, ord=float("inf"), dim=1, keepdim=True).div_(steps).clamp_(min=1e-30)
        rounded = (x / scales).add_(steps + 1.5).to(torch.uint8)
        weights = (self._packed, self._scales, self._zeros)
        return multiply_in_parts(lambda rows: _int8_product(rows, steps + 1, *weights), rounded), scales


@functools.lru_cache(maxsize=None)
def row_steps() -> int:
    """Tell how finely rows are rounded before a product of 8-bit integers.

    Processors without an instruction for it (VNNI) multiply in pairs whose sum is kept in 16 bits, and a sum beyond
    that is cut without a word: 255 * 127 * 2. There, rows have 7 bits, whose sums always fit; the weights, which may
    be saved, are the same everywhere. Found out by products whose result is known, of few and of many rows.

    :return: the largest distance from zero, in steps: 127, or 63 where sums of 8 bits do not fit.
    """
    n_in, n_out = 64, 32
    packed = torch.ops.onednn.qlinear_prepack(torch.full((n_out, n_in), 127, dtype=torch.int8), None)
    scales, zeros = torch.ones(n_out), torch.zeros(n_out, dtype=torch.int32)
    for n_rows in (1, 40):
        rows = torch.full((n_rows, n_in), 255, dtype=torch.uint8)
        if not bool((_int8_product(rows, 128, packed, scales, zeros) == (255 - 128) * 127 * n_in).all()):
            return 63
    return 127


def _int8_product(
    rows: torch.Tensor, zero: int, packed: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    pointwise: Any = torch.ops.onednn.qlinear_pointwise
    product = pointwise(rows, 1.0, zero, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
    return cast(torch.Tensor, product)
