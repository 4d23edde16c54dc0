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

_STEPS = 127  # of an 8-bit integer, to either side of zero
_COARSE_WEIGHTS = 64  # of 7 bits; two products with rows of 8 bits still fit into 16: 2 * 255 * 64


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

    :param weight: ``(n_out, n_in)`` float32; or int8, as :meth:`integers` gave them, and then with ``scales``.
    :param scales: ``(n_out,)`` what to multiply the integers of an output with.
    :param fine_rows: where the processor wants one side in 7 bits (see :func:`fits_in_8_bits`), whether that is the
        weights: rows with a few large values, as a transformer has them, lose more by it than weights do.
    """

    def __init__(self, weight: torch.Tensor, scales: Optional[torch.Tensor] = None, *, fine_rows: bool = False) -> None:
        fine = fine_rows or fits_in_8_bits()
        self._row_steps = _STEPS if fine else _STEPS // 2
        weight_steps = _STEPS if not fine_rows or fits_in_8_bits() else _COARSE_WEIGHTS
        integers, self._scales = to_int8(weight, weight_steps) if scales is None else (weight, scales)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._packed = torch.ops.onednn.qlinear_prepack(integers.contiguous(), None)

    def integers(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Give the matrix as it is multiplied.

        :return: ``(n_out, n_in)`` int8, and ``(n_out,)`` scales.
        """
        return self._packed.to_dense().t().contiguous(), self._scales

    def dense(self) -> torch.Tensor:
        """Give the rounded matrix back.

        :return: ``(n_out, n_in)`` float32.
        """
        integers, scales = self.integers()
        return integers.float() * scales[:, None]

    def product(self, x: torch.Tensor, bias: Optional[torch.Tensor], activation: str = "none") -> torch.Tensor:
        """Multiply rows, and apply a function to the sums.

        :param x: ``(n, n_in)``.
        :param bias: ``(n_out,)`` or ``None``.
        :param activation: "none" or "gelu".
        :return: ``(n, n_out)``.
        """
        y, scales = self._multiply(x)
        y = y.mul_(scales) if bias is None else torch.addcmul(bias, y, scales)
        return torch.nn.functional.gelu(y) if activation == "gelu" else y

    def product_plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Multiply rows and add.

        :param x: ``(n, n_in)``.
        :param other: ``(n, n_out)``.
        :return: ``(n, n_out)``.
        """
        y, scales = self._multiply(x)
        return torch.addcmul(other, y, scales, out=y)

    def _multiply(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        # Products of rows that were rounded to unsigned integers around a zero point, and (n, 1) what to multiply them
        # with. Each row has a scale of its own, so that no row depends on the others.
        steps = self._row_steps
        largest = torch.maximum(x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True).neg_()).clamp_(min=1e-30)
        rounded = (x * (steps / largest)).round_().to(torch.int8).add_(steps + 1).view(torch.uint8)
        weights = (steps + 1, self._packed, self._scales, self._zeros)
        return multiply_in_parts(lambda rows: _int8_product(rows, *weights), rounded), largest.div_(steps)


class RoundedMatrix:
    """A weight matrix of 8-bit integers, each output with a scale of its own, that multiplies rows in bfloat16.

    Processors with matrix units for both (AMX) multiply bfloat16 so fast that the rounding of rows to integers costs
    more than is gained by them; and rows keep the precision that they have.

    :param weight: ``(n_out, n_in)`` float32; or int8, as :meth:`integers` gave them, and then with ``scales``.
    :param scales: ``(n_out,)`` what to multiply the integers of an output with.
    """

    def __init__(self, weight: torch.Tensor, scales: Optional[torch.Tensor] = None) -> None:
        integers, self._scales = to_int8(weight) if scales is None else (weight, scales)
        self._matrix = Matrix((integers.float() * self._scales[:, None]).bfloat16())

    def integers(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Give the weights as integers: exact, for bfloat16 tells 255 of them apart.

        :return: ``(n_out, n_in)`` int8, and ``(n_out,)`` scales.
        """
        return (self._matrix.dense().float() / self._scales[:, None]).round_().to(torch.int8), self._scales

    def product(self, x: torch.Tensor, bias: Optional[torch.Tensor], activation: str = "none") -> torch.Tensor:
        """Multiply rows, and apply a function to the sums in the same pass.

        :param x: ``(n, n_in)``, rounded to bfloat16.
        :param bias: ``(n_out,)``, rounded to bfloat16, or ``None``.
        :param activation: "none" or "gelu".
        :return: ``(n, n_out)`` bfloat16.
        """
        return self._matrix.product(x.bfloat16(), None if bias is None else bias.bfloat16(), activation)


def to_int8(weight: torch.Tensor, steps: int = _STEPS) -> Tuple[torch.Tensor, torch.Tensor]:
    """Round each row of a matrix to integers.

    :param weight: ``(n, width)`` float32.
    :param steps: the largest distance from zero.
    :return: ``(n, width)`` int8, and ``(n,)`` what to multiply each row with.
    """
    scales = weight.abs().amax(dim=1).clamp_(min=1e-30) / steps
    return (weight / scales[:, None]).round_().clamp_(-steps, steps).to(torch.int8), scales


def multiplies_best_in_bfloat16() -> bool:
    """Tell whether products in bfloat16 are as fast as those of integers here.

    :return: true where the processor has matrix units (AMX) and this build of torch uses them.
    """
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    has_bfloat16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return has_tiles is not None and has_bfloat16 is not None and can_pack() and bool(has_tiles() and has_bfloat16())


@functools.lru_cache(maxsize=None)
def fits_in_8_bits() -> bool:
    """Tell whether rows and weights may both have 8 bits in a product of integers.

    Processors without an instruction for it (VNNI) multiply in pairs whose sum is kept in 16 bits, and a sum beyond
    that is cut without a word: 255 * 127 * 2. There, one side has 7 bits, and sums always fit. Found out by products
    whose result is known, of few and of many rows.

    :return: false where one side has to have 7.
    """
    n_in, n_out = 64, 32
    packed = torch.ops.onednn.qlinear_prepack(torch.full((n_out, n_in), _STEPS, dtype=torch.int8), None)
    scales, zeros = torch.ones(n_out), torch.zeros(n_out, dtype=torch.int32)
    return all(
        bool((_int8_product(rows, 128, packed, scales, zeros) == (255 - 128) * _STEPS * n_in).all())
        for rows in (torch.full((n_rows, n_in), 255, dtype=torch.uint8) for n_rows in (1, 40))
    )


def _int8_product(
    rows: torch.Tensor, zero: int, packed: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    pointwise: Any = torch.ops.onednn.qlinear_pointwise
    product = pointwise(rows, 1.0, zero, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
    return cast(torch.Tensor, product)
