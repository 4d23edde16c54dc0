"""A frozen biLM on the CPU: its weights laid out once in the blocks that oneDNN reads, float32 or 8-bit integers.

Enters: the weights of one direction of one layer. Leaves: an object that runs that direction over a
:class:`~spacy_ctx_embed.networks.elmo.bilm.StepPlan`, two to three times as fast as plain products, and that can give
the weights back. Nothing is kept twice: a layer gives its dense weights away when it is packed.

What is folded into the weights: tanh(x) = 2 sigmoid(2x) - 1, so that one sigmoid serves all gates; it is computed
where the product is, while the sums are still in registers. Cells are kept doubled for the same reason.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, List, Optional, Tuple, cast

import torch

from spacy_ctx_embed.networks.packed.row_counts import multiply_in_parts

# From so many rows on, one product over [input; recurrent] with the sigmoid inside wins; below it, reading the weights
# is what costs, so the input's share is computed for a block of steps at once. The first needs a second copy of the
# weights, which large models go without.
_WIDE_STEP = 32
_BLOCK_BYTES = 8 << 20
_STEP_BYTES = 4 << 20  # gates computed at once: they stay near the caches, and memory is asked for in like pieces
_TWO_COPIES = 16 << 20  # bytes of a direction's weights up to which both ways are kept

# (rows (n, n_in), what to add (n, n_out) or None) -> (n, n_out)
Product = Callable[[torch.Tensor, Optional[torch.Tensor]], torch.Tensor]


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


class PackedDirection:
    """One direction of one layer.

    :param weight: ``(2 * projection_dim, 4 * dim)``, rows input then recurrent, blocks input, forget, output,
        candidate; float32.
    :param bias: ``(4 * dim,)``.
    :param projection: ``(dim, projection_dim)``, ``None`` for none.
    :param cell_clip: bound of the cells, ``None`` for none.
    :param proj_clip: bound of the projected output, ``None`` for none.
    :param int8: whether products are computed in 8-bit integers.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        projection: Optional[torch.Tensor],
        cell_clip: Optional[float],
        proj_clip: Optional[float],
        int8: bool = False,
    ) -> None:
        self.width, self.dim = len(weight) // 2, weight.shape[1] // 4
        self.int8 = int8
        self._cell_clip = cell_clip
        gates = weight.t().contiguous()  # (4 * dim, 2 * projection_dim)
        gates[3 * self.dim :] *= 2
        self._bias = bias.clone()
        self._bias[3 * self.dim :] *= 2
        pack = Int8Matrix if int8 else Matrix
        self._input, self._recurrent = pack(gates[:, : self.width]), pack(gates[:, self.width :])
        wide = not int8 and gates.numel() * gates.element_size() <= _TWO_COPIES
        self._both = Matrix(gates) if wide else None
        self._projection = pack(2 * projection.t()) if projection is not None else None
        self._clip = proj_clip if projection is not None else None

    def dense(self) -> Tuple[torch.Tensor, torch.Tensor, Optional[torch.Tensor]]:
        """Give the weights back; packed as integers, they come back rounded.

        :return: weight, bias and projection, as they were given.
        """
        gates = torch.cat([self._input.dense(), self._recurrent.dense()], dim=1)
        gates[3 * self.dim :] /= 2
        bias = self._bias.clone()
        bias[3 * self.dim :] /= 2
        projection = None if self._projection is None else (self._projection.dense() / 2).t().contiguous()
        return gates.t().contiguous(), bias, projection

    def run(
        self, x: torch.Tensor, sizes: List[int], h: torch.Tensor, c: torch.Tensor, outputs: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Run all steps; the batch shrinks as segments end.

        :param x: ``(n_rows, projection_dim)`` inputs in the order of a step plan.
        :param sizes: segments running at each step.
        :param h: ``(n_segments, projection_dim)`` outputs before the first step, longest segment first.
        :param c: ``(n_segments, dim)`` cells before the first step.
        :param outputs: ``(n_rows, projection_dim)``, filled.
        :return: the outputs and cells after each segment's last step.
        """
        h, c = h.clone(), c * 2  # of segments that have ended, the last rows stay
        start = block_start = block_end = 0
        block = x
        n_rows = max(_STEP_BYTES // (16 * self.dim), 1)
        for step, size in enumerate(sizes):
            wide = self._both is not None and size >= _WIDE_STEP
            if not wide and block_end < start + size:
                block_start, block_end = start, _block_end(sizes, step, start, _BLOCK_BYTES // (16 * self.dim))
                del block  # or two would be there at once
                block = self._input.product(x[block_start:block_end], self._bias)
            for first in range(0, size, n_rows):
                last = min(first + n_rows, size)
                rows, inside = slice(start + first, start + last), slice(first, last)
                if wide and self._both is not None:
                    z = self._both.product(torch.cat([x[rows], h[inside]], dim=1), self._bias, "sigmoid")
                else:
                    from_input = block[start + first - block_start : start + last - block_start]
                    z = self._recurrent.product_plus(h[inside], from_input).sigmoid_()
                outputs[rows] = h[inside] = self._cell(z, c[inside])
            start += size
        return h, c.div_(2)

    def _cell(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        # (n, 4 * dim) gates after the sigmoid, the candidate as (tanh + 1) / 2, and (n, dim) doubled cells, which
        # change in place -> (n, projection_dim) outputs
        i, f, o, j = z.chunk(4, dim=1)
        c.mul_(f).addcmul_(i, j.sub_(0.5), value=4)  # 2 c = f * 2 c + i * 2 (2 j - 1)
        if self._cell_clip:
            c.clamp_(-2 * self._cell_clip, 2 * self._cell_clip)
        half = torch.sigmoid(c).sub_(0.5).mul_(o)  # o * tanh(c) / 2
        if self._projection is None:
            return half.mul_(2)
        h = self._projection.product(half, None)
        return h.clamp_(-self._clip, self._clip) if self._clip else h


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


def _block_end(sizes: List[int], step: int, start: int, n_rows: int) -> int:
    # Rows from ``start`` to the end of the first step at which the block has n_rows rows.
    end = start
    for size in sizes[step:]:
        end += size
        if end - start >= n_rows:
            break
    return end
