"""A frozen biLM on the CPU: its weights laid out once in the blocks that oneDNN reads, float32 or 8-bit integers.

Enters: the weights of one direction of one layer. Leaves: an object that runs that direction over a
:class:`~spacy_ctx_embed.networks.elmo.bilm.StepPlan`, two to three times as fast as plain products, and that can give
the weights back. Nothing is kept twice: a layer gives its dense weights away when it is packed.

What is folded into the weights: tanh(x) = 2 sigmoid(2x) - 1, so that one sigmoid serves all gates; it is computed
where the product is, while the sums are still in registers. Cells are kept doubled for the same reason.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import torch

from spacy_ctx_embed.networks.batching import block_end
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, Matrix

# From so many rows on, one product over [input; recurrent] with the sigmoid inside wins; below it, reading the weights
# is what costs, so the input's share is computed for a block of steps at once. The first needs a second copy of the
# weights, which large models go without.
_WIDE_STEP = 32
_BLOCK_BYTES = 8 << 20
_STEP_BYTES = 4 << 20  # gates computed at once: they stay near the caches, and memory is asked for in like pieces
_TWO_COPIES = 16 << 20  # bytes of a direction's weights up to which both ways are kept


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
        start = block_start = block_stop = 0
        block = x
        n_rows = max(_STEP_BYTES // (16 * self.dim), 1)
        for step, size in enumerate(sizes):
            wide = self._both is not None and size >= _WIDE_STEP
            if not wide and block_stop < start + size:
                n_block = _BLOCK_BYTES // (16 * self.dim)
                block_start, block_stop = start, block_end(sizes[step:], start, n_block)
                del block  # or two would be there at once
                block = self._input.product(x[block_start:block_stop], self._bias)
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
