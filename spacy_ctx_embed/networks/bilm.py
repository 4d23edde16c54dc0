"""The bidirectional language model of ELMo: two stacks of projected LSTMs, run side by side.

Enters: word vectors. Leaves: one matrix per layer, and the state after the last step.
Source of the formulas: Peters et al. 2018, Sak et al. 2014 (projection), and bilm-tf ``bilm/model.py``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spacy_ctx_embed.networks.packed_bilm import PackedDirection

# From so many rows on, one product over [input; recurrent] beats separate ones; below it, reading the weights is
# what costs, so the input's share is computed for a block of steps at once.
_WIDE_STEP = 64
_BLOCK_ROWS = 512
_PACKING = threading.Lock()

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


class BilmLayer(nn.Module):
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
        self.packing: Optional[str] = None  # "float32" or "int8" where a frozen layer is to be packed when it runs
        self._packed: List[PackedDirection] = []  # then one per direction, and the parameters are empty

    def pack(self) -> None:
        """Lay out the weights as ``packing`` says, and let go of them. Does nothing if that is done."""
        with _PACKING:
            if self._packed or self.packing is None:
                return
            clips = self.config.cell_clip, self.config.proj_clip
            int8 = self.packing == "int8"
            with torch.inference_mode(False), torch.no_grad():  # or the weights could only be used in inference mode
                for d in (0, 1):
                    projection = self.projection[d] if self.projection is not None else None
                    self._packed.append(PackedDirection(self.weight[d], self.bias[d, 0], projection, *clips, int8))
                for parameter in self.parameters(recurse=False):
                    parameter.data = parameter.data.new_empty(0)

    def unpack(self) -> None:
        """Take the weights back from the packed form, which is given up."""
        with _PACKING:
            with torch.inference_mode(False), torch.no_grad():
                for parameter, dense in zip(self.parameters(recurse=False), self._dense()):
                    parameter.data = dense
            self._packed = []

    def _dense(self) -> List[torch.Tensor]:
        # The parameters, in their order, of a packed layer; nothing for one that is not.
        parts = zip(*(direction.dense() for direction in self._packed))
        stacked = [torch.stack(cast(Any, part)) for part in parts if part[0] is not None]
        return [part[:, None] if part.dim() == 2 else part for part in stacked]

    def _save_to_state_dict(self, destination: Dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        names = (name for name, _ in self.named_parameters(recurse=False))
        destination.update({f"{prefix}{name}": dense for name, dense in zip(names, self._dense())})

    def _apply(self, *args: Any, **kwargs: Any) -> "BilmLayer":
        self.unpack()  # the weights move to another device or dtype
        return cast("BilmLayer", super()._apply(*args, **kwargs))

    def __getstate__(self) -> Dict[str, Any]:
        # A copy gets the weights themselves, and packs them again.
        if not self._packed:
            return self.__dict__
        names = [name for name, _ in self.named_parameters(recurse=False)]
        dense = {name: nn.Parameter(part, requires_grad=False) for name, part in zip(names, self._dense())}
        return {**self.__dict__, "_parameters": {**self._parameters, **dense}, "_packed": []}

    def forward(self, x: torch.Tensor, sizes: List[int], state: BilmState) -> Tuple[torch.Tensor, BilmState]:
        """Run all steps; the batch shrinks as segments end.

        :param x: ``(2, n_rows, projection_dim)`` inputs in the order of a :class:`StepPlan`.
        :param sizes: segments running at each step.
        :param state: ``(2, n_segments, projection_dim)`` and ``(2, n_segments, dim)``, longest segment first.
        :return: ``(2, n_rows, projection_dim)`` raw outputs, and the state after each segment's last step.
        """
        if self.packing is not None and x.device.type == "cpu" and x.dtype == torch.float32:
            if torch.is_grad_enabled():
                self.unpack()
            else:
                return self._run_packed(x, sizes, state)
        width = self.config.projection_dim
        from_input, recurrent = self.weight[:, :width], self.weight[:, width:]
        cell = self._cell if torch.is_grad_enabled() else self._cell_in_place
        h, c = state
        outputs, ended = [], []
        start = block_start = block_end = 0
        block = x
        for step, size in enumerate(sizes):
            if size < h.shape[1]:
                ended.append((h[:, size:], c[:, size:]))
                h, c = h[:, :size], c[:, :size]
            end = start + size
            if size >= _WIDE_STEP:
                z = torch.baddbmm(self.bias, torch.cat([x[:, start:end], h], dim=2), self.weight)
            else:
                if block_end < end:
                    block_start, block_end = start, _block_end(sizes, step, start)
                    block = torch.baddbmm(self.bias, x[:, block_start:block_end], from_input)
                z = torch.baddbmm(block[:, start - block_start : end - block_start], h, recurrent)
            h, c = cell(z, c)
            outputs.append(h)
            start = end
        ended.append((h, c))
        final = tuple(torch.cat(parts[::-1], dim=1) for parts in zip(*ended))
        return (torch.cat(outputs, dim=1) if outputs else x), cast(BilmState, final)

    def _run_packed(self, x: torch.Tensor, sizes: List[int], state: BilmState) -> Tuple[torch.Tensor, BilmState]:
        self.pack()
        runs = [part.run(x[d], sizes, state[0][d], state[1][d]) for d, part in enumerate(self._packed)]
        outputs, hidden, cells = (torch.stack(parts) for parts in zip(*runs))
        return outputs, (hidden, cells)

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
    ) -> Tuple[torch.Tensor, BilmState]:
        """Encode a batch of segments of any lengths.

        Without a state, layers above the highest that is wanted are not computed.

        :param tokens: ``(n_tokens, projection_dim)`` word vectors, boundary symbols included, of the segments one
            after another.
        :param lengths: tokens of each segment; their sum is ``n_tokens``.
        :param state: where to start from, all layers; zeros if not given.
        :param layers: the layers wanted, from 0 to ``config.n_layers``; all if not given.
        :return: ``(n_chosen, n_tokens, 2 * projection_dim)``; and, of the layers computed, the state after each
            segment's last step (forward after its last token, backward after its first).
        """
        n_segments = len(lengths)
        chosen = list(range(self.config.n_layers + 1)) if layers is None else list(layers)
        plan = plan_steps(lengths)
        order = torch.from_numpy(plan.order).to(tokens.device)
        places = torch.from_numpy(plan.places).to(tokens.device)
        top = self.config.n_layers if state is not None else max(chosen)
        hidden, cells = (part[:, :, order] for part in state or self.zero_state(n_segments))
        x = torch.stack([tokens[places[0]], tokens[places[1]]])  # (2, n_tokens, projection_dim)
        found = {0: x}
        finals = []
        for k, layer in enumerate(self.layers[:top]):
            h, final = layer(x, plan.sizes, (hidden[k], cells[k]))
            x = h + x if k > 0 and self.config.use_skip_connections else h
            found[k + 1] = x
            finals.append(final)
        rank = order.argsort()
        new_state = tuple(torch.stack(parts)[:, :, rank] for parts in zip(*finals)) or (hidden[:0], cells[:0])
        back = places.argsort(dim=1)  # (2, n_tokens) row of each token
        rows = [torch.cat([found[k][0][back[0]], found[k][1][back[1]]], dim=1) for k in chosen]
        return torch.stack(rows), cast(BilmState, new_state)

    def pack(self, packing: str) -> None:
        """Make frozen layers on the CPU faster; see :mod:`~spacy_ctx_embed.networks.packed_bilm`.

        :param packing: "float32", or "int8" for products in 8-bit integers.
        """
        for layer in cast(Iterable[BilmLayer], self.layers):
            layer.packing = packing
            layer.pack()

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


def _block_end(sizes: List[int], step: int, start: int) -> int:
    # Rows from ``start`` to the end of the first step at which the block has _BLOCK_ROWS rows.
    end = start
    for size in sizes[step:]:
        end += size
        if end - start >= _BLOCK_ROWS:
            break
    return end


def _tanh_(x: torch.Tensor) -> torch.Tensor:
    # On a CPU, torch's sigmoid is several times faster than its tanh; the error stays near 1e-7 in float32.
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x.tanh_()
