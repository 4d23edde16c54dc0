"""Passes over windows: few and full ones, and in each only windows that do not change one another's states.

Enters: windows of any number and length. Leaves: bounded groups, and the hidden layers of each group. What a model does
with padding was seen on short windows when it was opened; that it holds for the lengths at hand is looked at here
whenever they go beyond those seen so far.
"""

from __future__ import annotations

import threading
from typing import Dict, List, Sequence, Tuple

import torch
from torch.utils.checkpoint import checkpoint

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.networks.batching import group_by_length
from spacy_ctx_embed.networks.transformer.draws import draws_of
from spacy_ctx_embed.networks.transformer.examine import ALONE, EQUAL, PADDED, Verdict, same_states, steady, tolerance
from spacy_ctx_embed.networks.transformer.layers import TransformerLayers
from spacy_ctx_embed.networks.transformer.module_state import put_back

_LOCK = threading.RLock()  # of models that change while they run


class Runs:
    """Runs windows of one model.

    :param layers: the model.
    :param verdict: how it has to be run.
    """

    def __init__(self, layers: TransformerLayers, verdict: Verdict) -> None:
        self._layers = layers
        self._together = verdict.together
        self._resets, self._seeded = verdict.resets, verdict.seeded
        self._known = _Known()
        self._lengths = (1 << 60, 0)  # shortest and longest window run so far

    def groups(self, lengths: Sequence[int], budget: int) -> List[List[int]]:
        """Share windows out among passes.

        :param lengths: pieces of each window, special ones included.
        :param budget: padded pieces per pass; a longer window has a pass of its own.
        :return: indices into ``lengths``, each in one group.
        """
        if self._together == PADDED:
            if len(lengths) * max(lengths) <= budget:
                return [list(range(len(lengths)))]
            return group_by_length(lengths, budget)
        by_length: Dict[int, List[int]] = {}
        for i, length in enumerate(lengths):
            by_length.setdefault(length, []).append(i)
        return [
            members[first : first + most]
            for length, members in by_length.items()
            for most in [1 if self._together == ALONE else max(budget // length, 1)]
            for first in range(0, len(members), most)
        ]

    def run(
        self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int], *, again: bool = False
    ) -> torch.Tensor:
        """Run one group.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param layers: layer numbers wanted.
        :param again: with gradients, whether to compute the pass a second time for them instead of keeping it.
        :return: ``(len(layers), n_windows, longest, width)`` float32, each window as it is alone; nothing of use in
            padded positions.
        """
        if torch.is_grad_enabled():  # what the network drops at random hides what padding does
            if not again:
                return self._pass(windows, types, layers)
            mode = self._layers.training  # the second time is in the backward pass, when the step has ended
            states: torch.Tensor = checkpoint(self._pass_in, mode, windows, types, layers, use_reentrant=False)
            return states
        states = self._pass_watched(windows, types, layers)
        lengths = [len(window) for window in windows]
        mixed = min(lengths) < max(lengths)
        odd = mixed and (self._resets or self._seeded)
        if odd or (len(windows) > 1 and not self._known.covers(lengths)):
            if odd or not self._same_alone(windows, types, layers, states):
                self._together = EQUAL if mixed else ALONE
                return self._apart(windows, types, layers)
            self._known.add(lengths)
        return states

    def _same_alone(
        self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int], states: torch.Tensor
    ) -> bool:
        # Whether the shortest window and the middle one have the states that they have alone.
        by_length = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        for i in {by_length[0], by_length[len(by_length) // 2]}:
            alone = self._pass_watched([windows[i]], [types[i]], layers)
            if not same_states(alone[:, 0], states[:, i, : len(windows[i])], tolerance(self._layers)):
                return False
        return True

    def _apart(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> torch.Tensor:
        # The same as run, of windows that were put together and must not be.
        lengths = [len(window) for window in windows]
        states: List[torch.Tensor] = [torch.empty(0)] * len(windows)
        for group in self.groups(lengths, len(lengths) * max(lengths)):
            together = self.run([windows[i] for i in group], [types[i] for i in group], layers)
            for i, state in zip(group, together.unbind(1)):
                states[i] = torch.nn.functional.pad(state, (0, 0, 0, max(lengths) - lengths[i]))
        return torch.stack(states, dim=1)

    def _pass_watched(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> torch.Tensor:
        # A pass, and where its lengths are new a look at whether it changed the model.
        low, high = self._lengths
        shortest, longest = min(map(len, windows)), max(map(len, windows))
        if self._resets or low <= shortest and longest <= high:
            return self._pass(windows, types, layers)
        with _LOCK, put_back(self._layers.model) as changes, draws_of(self._layers.device, fixed=False) as draws:
            states = self._pass(windows, types, layers)
        self._lengths = (min(low, shortest), max(high, longest))
        self._resets = bool(changes.found)
        if draws.found and not self._seeded:
            self._seeded = True
            return self._pass(windows, types, layers)
        return states

    def _pass_in(
        self, training: bool, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]
    ) -> torch.Tensor:
        before = self._layers.training
        self._layers.train(training)
        try:
            return self._pass(windows, types, layers)
        finally:
            self._layers.train(before)

    def _pass(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> torch.Tensor:
        seeded = self._seeded and not torch.is_grad_enabled()  # in training what is random stays so
        if not (self._resets or seeded):
            states: torch.Tensor = self._layers(windows, types, layers)
            return states
        with _LOCK, steady(self._layers, resets=self._resets, seeded=seeded):
            states = self._layers(windows, types, layers)
            return states


class _Known:
    # Lengths of windows that were seen to go together. Where a model reads short inputs in another way than long ones,
    # a pass with both shows it; so ranges that share a length are one.
    def __init__(self) -> None:
        self._ranges: List[Tuple[int, int]] = []
        self._most = 1

    def covers(self, lengths: Sequence[int]) -> bool:
        low, high = min(lengths), max(lengths)
        fits = low == high or any(first <= low and high <= last for first, last in self._ranges)
        return fits and len(lengths) <= self._most

    def add(self, lengths: Sequence[int]) -> None:
        low, high = min(lengths), max(lengths)
        near = [r for r in self._ranges if r[0] <= high and low <= r[1]]
        self._ranges = [r for r in self._ranges if r not in near]
        self._ranges.append((min([low, *(r[0] for r in near)]), max([high, *(r[1] for r in near)])))
        self._most = max(self._most, len(lengths))
