"""The bidirectional language model of ELMo: two stacks of projected LSTMs, run side by side.

Enters: word vectors. Leaves: one matrix per layer, and the state after the last step.
Source of the formulas: Peters et al. 2018, Sak et al. 2014 (projection), and bilm-tf ``bilm/model.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spacy_ctx_embed.networks.batching import block_end
from spacy_ctx_embed.networks.packed.bilm import PackedDirection
from spacy_ctx_embed.networks.packed.packable import Packable

# From so many rows on, one product over [input; recurrent] beats separate ones; below it, reading the weights is
# what costs, so the input's share is computed for a block of steps at once.
_WIDE_STEP = 64
_BLOCK_ROWS = 512

# (recurrent output (n_layers, 2, n_segments, projection_dim), cell (n_layers, 2, n_segments, dim)); 2: directions
BilmState = Tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class BilmConfig:
    """Sizes of a biLM.

    :param dim: cells per direction and layer.
    :param projection_dim: width of the input and of each direction's output.
    :param n_layers: LSTM layers per direction.
    :param cell_clip: bound of the cells, ``None`` for none.
    :param proj_clip: bound of the projected output, ``None`` for none; means nothing without a projection.
    :param use_skip_connections: whether layers from the second on add their input to their output.
    :param use_projection: whether the cells are projected; without it ``dim`` is ``projection_dim``.
    """

    dim: int
    projection_dim: int
    n_layers: int
    cell_clip: Optional[float]
    proj_clip: Optional[float]
    use_skip_connections: bool
    use_projection: bool = True


@dataclass(frozen=True)
class StepPlan:
    """The order in which rows are computed: step by step, in each step the longest segments first.

    :param order: ``(n_segments,)`` segment of each rank, longest first.
    :param sizes: how many segments are still running at each step.
    :param places: ``(2, n_rows)`` where the token of each row stands in the text (segments one after another), for
        the forward and for the backward direction.
    """

    order: NDArray[np.int64]
    sizes: List[int]
    places: NDArray[np.int64]


def plan_steps(lengths: Sequence[int]) -> StepPlan:
    """Lay out segments so that a step is a slice of rows, and neither direction needs padding.

    :param lengths: tokens of each segment.
    :return: the plan, of ``sum(lengths)`` rows.
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-tokens, kind="stable")
    sizes = (tokens[:, None] > np.arange(tokens.max(initial=0))).sum(axis=0)
    steps = np.repeat(np.arange(len(sizes)), sizes)
    ranks = np.arange(len(steps)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    segments = order[ranks]
    starts = np.cumsum(tokens) - tokens
    forward = starts[segments] + steps
    backward = starts[segments] + tokens[segments] - 1 - steps
    return StepPlan(order, sizes.tolist(), np.stack([forward, backward]))


class BilmLayer(Packable):
    """One LSTM layer of both directions (leading axis 2). The blocks of ``weight`` and ``bias`` are the gates
    input, forget, output and then the candidate; the forget bias includes the 1 that TensorFlow adds when it runs.

    :param config: the sizes.
    """

    def __init__(self, config: BilmConfig) -> None:
        super().__init__()
        width, dim = config.projection_dim, config.dim
        self.config = config
        self.weight = nn.Parameter(torch.empty(2, 2 * width, 4 * dim))  # rows: input, then recurrent
        self.bias = nn.Parameter(torch.empty(2, 1, 4 * dim))
        self.projection = nn.Parameter(torch.empty(2, dim, width)) if config.use_projection else None

    def make_packed(self) -> List[PackedDirection]:
        """Lay out the weights.

        :return: one object per direction.
        """
        clips, int8 = (self.config.cell_clip, self.config.proj_clip), self.packing == "int8"
        projections = self.projection if self.projection is not None else (None, None)
        return [PackedDirection(self.weight[d], self.bias[d, 0], projections[d], *clips, int8) for d in (0, 1)]

    def dense(self) -> List[torch.Tensor]:
        """Give the weights back.

        :return: weight, bias and, where there is one, projection.
        """
        parts = zip(*(direction.dense() for direction in self.packed))
        stacked = [torch.stack(part) for part in parts if part[0] is not None]
        return [part[:, None] if part.dim() == 2 else part for part in stacked]

    def forward(self, x: torch.Tensor, sizes: List[int], state: BilmState) -> Tuple[torch.Tensor, BilmState]:
        """Run all steps; the batch shrinks as segments end.

        :param x: ``(2, n_rows, projection_dim)`` inputs in the order of a :class:`StepPlan`.
        :param sizes: segments running at each step.
        :param state: ``(2, n_segments, projection_dim)`` and ``(2, n_segments, dim)``, longest segment first.
        :return: ``(2, n_rows, projection_dim)`` raw outputs, and the state after each segment's last step.
        """
        if self.runs_packed(x):
            rows = torch.empty_like(x)
            ended = [part.run(x[d], sizes, state[0][d], state[1][d], rows[d]) for d, part in enumerate(self.packed)]
            hidden, cells = (torch.stack(parts) for parts in zip(*ended))
            return rows, (hidden, cells)
        width = self.config.projection_dim
        from_input, recurrent = self.weight[:, :width], self.weight[:, width:]
        cell = self._cell if torch.is_grad_enabled() else self._cell_in_place
        h, c = state
        outputs, ended = [], []
        start = block_start = block_stop = 0
        block = x
        for step, size in enumerate(sizes):
            if size < h.shape[1]:
                ended.append((h[:, size:], c[:, size:]))
                h, c = h[:, :size], c[:, :size]
            end = start + size
            if size >= _WIDE_STEP:
                z = torch.baddbmm(self.bias, torch.cat([x[:, start:end], h], dim=2), self.weight)
            else:
                if block_stop < end:
                    block_start, block_stop = start, block_end(sizes[step:], start, _BLOCK_ROWS)
                    block = torch.baddbmm(self.bias, x[:, block_start:block_stop], from_input)
                z = torch.baddbmm(block[:, start - block_start : end - block_start], h, recurrent)
            h, c = cell(z, c)
            outputs.append(h)
            start = end
        ended.append((h, c))
        final = tuple(torch.cat(parts[::-1], dim=1) for parts in zip(*ended))
        return (torch.cat(outputs, dim=1) if outputs else x), cast(BilmState, final)

    def _cell(self, z: torch.Tensor, c: torch.Tensor) -> BilmState:
        # (2, size, 4 * dim) sums and (2, size, dim) cells -> outputs (2, size, projection_dim), cells; for autograd
        i, f, o, j = z.chunk(4, dim=2)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        if self.config.cell_clip:
            c = c.clamp(-self.config.cell_clip, self.config.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.projection is not None:
            h = torch.bmm(h, self.projection)
            if self.config.proj_clip:
                h = h.clamp(-self.config.proj_clip, self.config.proj_clip)
        return h, c

    def _cell_in_place(self, z: torch.Tensor, c: torch.Tensor) -> BilmState:
        # The same without a graph: z is overwritten, c is not (it may be a slice of a kept state).
        dim = self.config.dim
        i, f, o = z[:, :, : 3 * dim].sigmoid_().chunk(3, dim=2)
        c = torch.mul(f, c).addcmul_(i, _tanh_(z[:, :, 3 * dim :]))
        if self.config.cell_clip:
            c.clamp_(-self.config.cell_clip, self.config.cell_clip)
        h = _tanh_(c.clone()).mul_(o)
        if self.projection is not None:
            h = torch.bmm(h, self.projection)
            if self.config.proj_clip:
                h.clamp_(-self.config.proj_clip, self.config.proj_clip)
        return h, c


class Bilm(nn.Module):
    """All layers of both directions. Layer 0 of the result is the input, twice.

    :param config: the sizes.
    """

    def __init__(self, config: BilmConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(BilmLayer(config) for _ in range(config.n_layers))

    def forward(
        self,
        tokens: torch.Tensor,
        lengths: Sequence[int],
        state: Optional[BilmState] = None,
        layers: Optional[Sequence[int]] = None,
        keep: Optional[NDArray[np.int64]] = None,
    ) -> Tuple[torch.Tensor, BilmState]:
        """Encode a batch of segments of any lengths.

        Without a state, layers above the highest that is wanted are not computed.

        :param tokens: ``(n_tokens, projection_dim)`` word vectors, boundary symbols included, of the segments one
            after another.
        :param lengths: tokens of each segment; their sum is ``n_tokens``.
        :param state: where to start from, all layers; zeros if not given.
        :param layers: the layers wanted, from 0 to ``config.n_layers``; all if not given.
        :param keep: ``(n_kept,)`` the tokens whose rows are wanted, in order; all if not given.
        :return: ``(n_chosen, n_kept, 2 * projection_dim)``; and, of the layers computed, the state after each
            segment's last step (forward after its last token, backward after its first).
        """
        chosen = list(range(self.config.n_layers + 1)) if layers is None else list(layers)
        plan = plan_steps(lengths)
        order = torch.from_numpy(plan.order).to(tokens.device)
        places = torch.from_numpy(plan.places).to(tokens.device)
        top = self.config.n_layers if state is not None else max(chosen)
        hidden, cells = (part[:, :, order] for part in state or self.zero_state(len(lengths)))
        x = torch.stack([tokens[places[0]], tokens[places[1]]])  # (2, n_tokens, projection_dim)
        width = x.shape[2]
        kept = np.arange(len(tokens)) if keep is None else keep
        rank_of = torch.from_numpy(np.argsort(plan.places, axis=1)[:, kept]).to(tokens.device)  # (2, n_kept)
        rows = tokens.new_empty((len(chosen), len(kept), 2 * width))
        finals = []
        for k in range(top + 1):
            if k > 0:
                layer = cast(BilmLayer, self.layers[k - 1])
                h, final = layer(x, plan.sizes, (hidden[k - 1], cells[k - 1]))
                if k > 1 and self.config.use_skip_connections:
                    h = h + x if torch.is_grad_enabled() else h.add_(x)
                x = h
                finals.append(final)
            for i in (i for i, wanted in enumerate(chosen) if wanted == k):
                for d in (0, 1):
                    rows[i, :, d * width : (d + 1) * width] = x[d][rank_of[d]]
        rank = order.argsort()
        new_state = tuple(torch.stack(parts)[:, :, rank] for parts in zip(*finals)) or (hidden[:0], cells[:0])
        return rows, cast(BilmState, new_state)

    def zero_state(self, n_segments: int) -> BilmState:
        """Give the state of a text's beginning.

        :param n_segments: number of segments.
        :return: ``(n_layers, 2, n_segments, projection_dim)`` and ``(n_layers, 2, n_segments, dim)`` zeros on the
            device and in the dtype of the weights.
        """
        shape = (self.config.n_layers, 2, n_segments)
        weight = cast(BilmLayer, self.layers[0]).bias
        return (
            weight.new_zeros((*shape, self.config.projection_dim)),
            weight.new_zeros((*shape, self.config.dim)),
        )


def _tanh_(x: torch.Tensor) -> torch.Tensor:
    # On a CPU, torch's sigmoid is several times faster than its tanh; the error stays near 1e-7 in float32.
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x.tanh_()
