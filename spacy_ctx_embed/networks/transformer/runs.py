"""Passes over windows: few and full ones, and in each only windows that do not change one another's states.

Enters: windows of any number and length. Leaves: bounded groups, and the hidden layers of each group. What a model does
with padding, or without any, was seen on short windows when it was opened; that it holds for the lengths at hand is
looked at here whenever they go beyond those seen so far.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.networks.batching import group_by_length, share_out
from spacy_ctx_embed.networks.transformer.draws import draws_of
from spacy_ctx_embed.networks.transformer.examine import ALONE, EQUAL, PADDED, Verdict, same_states, steady, tolerance
from spacy_ctx_embed.networks.transformer.flat import FlatWindows, NotFlatError
from spacy_ctx_embed.networks.transformer.layers import TransformerLayers
from spacy_ctx_embed.networks.transformer.module_state import put_back

_LOCK = threading.RLock()  # of models that change while they run


@dataclass(frozen=True)
class States:
    """Hidden layers of a group of windows.

    :param rows: ``(n_layers, n_rows, width)`` float32: the pieces of all windows, and rows of no use where there was
        padding.
    :param starts: ``(n_windows,)`` row of each window's first piece.
    """

    rows: torch.Tensor
    starts: Ints1d

    def of(self, window: int, length: int) -> torch.Tensor:
        """Give the rows of one window.

        :param window: which.
        :param length: its pieces.
        :return: ``(n_layers, length, width)``.
        """
        return self.rows[:, int(self.starts[window]) : int(self.starts[window]) + length]


class Runs:
    """Runs windows of one model.

    :param layers: the model.
    :param verdict: how it has to be run.
    :param limit: pieces that it reads at once. Some models refuse a pass of more, whatever positions they are given.
    """

    def __init__(self, layers: TransformerLayers, verdict: Verdict, limit: int) -> None:
        self._layers, self._limit = layers, limit
        self._together = verdict.together
        self._resets, self._seeded = verdict.resets, verdict.seeded
        self._flat: Optional[int] = verdict.flat
        if not self.pads:
            layers.flat_attention.use(flat=True)  # a model opened before may have been the one that was looked at
        self._known = _Known()
        self._lengths = (1 << 60, 0)  # shortest and longest window run so far
        self._flat_lengths = (1 << 60, 0)  # shortest and longest that had the same states without padding
        self._flat_most = 0  # pieces of the largest pass without padding

    @property
    def pads(self) -> bool:
        """Whether windows of one pass cost as much as its longest."""
        return self._flat is None or not self._layers.may_be_flat

    def settled(self, lengths: Sequence[int]) -> bool:
        """Tell whether passes over windows may run beside one another: without padding, and nothing to look at.

        :param lengths: pieces of the windows of all passes.
        :return: whether they may.
        """
        large = sum(lengths) > self._limit >= self._flat_most  # a pass of so many pieces was not seen yet
        return not self.pads and not large and _within(lengths, self._flat_lengths)

    def groups(self, lengths: Sequence[int], budget: int) -> List[List[int]]:
        """Share windows out among passes.

        :param lengths: pieces of each window, special ones included.
        :param budget: pieces per pass, padding included; a longer window has a pass of its own.
        :return: indices into ``lengths``, each in one group.
        """
        if not self.pads:
            few = sum(lengths) <= budget + max(lengths)  # as a batch may be that share_out made
            return [list(range(len(lengths)))] if few else share_out(lengths, budget)
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
    ) -> States:
        """Run one group.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param layers: layer numbers wanted.
        :param again: with gradients, whether to compute the pass a second time for them instead of keeping it.
        :return: the states, those of each window as they are alone.
        """
        if torch.is_grad_enabled():  # what the network drops at random hides what padding does
            if not again:
                return _padded(self._pass(windows, types, layers))
            mode = self._layers.training  # the second time is in the backward pass, when the step has ended
            return _padded(checkpoint(self._pass_in, mode, windows, types, layers, use_reentrant=False))
        if not self.pads:
            states = self._run_flat(windows, types, layers)
            if states is not None:
                return states
        states = _padded(self._pass_watched(windows, types, layers))
        lengths = [len(window) for window in windows]
        mixed = min(lengths) < max(lengths)
        odd = mixed and (self._resets or self._seeded)
        if odd or (len(windows) > 1 and not self._known.covers(lengths)):
            if odd or not self._same_alone(windows, types, layers, states):
                self._together = EQUAL if mixed else ALONE
                return self._apart(windows, types, layers)
            self._known.add(lengths)
        return states

    def _run_flat(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> Optional[States]:
        # The states of a pass without padding; None where the model turns out to have others by it.
        lengths = [len(window) for window in windows]
        places, first = FlatWindows.of(lengths), self._flat
        if first is None:  # another thread found out
            return None
        try:
            states = States(self._layers(windows, types, layers, places, first)[:, 0], places.starts)
        except NotFlatError:
            return None
        except torch.cuda.OutOfMemoryError:  # the caller may try a smaller batch
            raise
        except Exception:  # as in examine.py; a fault that has another reason is there with padding too
            if sum(lengths) <= self._flat_most:
                raise
            self._flat = None
            return None
        self._flat_most = max(self._flat_most, sum(lengths))
        if _within(lengths, self._flat_lengths):
            return states
        if not self._same_alone(windows, types, layers, states) or self._resets or self._seeded:
            self._flat = None
            return None
        low, high = self._flat_lengths
        self._flat_lengths = (min(low, *lengths), max(high, *lengths))
        return states

    def _same_alone(
        self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int], states: States
    ) -> bool:
        # Whether the shortest window, the middle and the longest one have the states that they have alone.
        by_length = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        for i in {by_length[0], by_length[len(by_length) // 2], by_length[-1]}:
            alone = self._pass_watched([windows[i]], [types[i]], layers)
            if not same_states(alone[:, 0], states.of(i, len(windows[i])), tolerance(self._layers)):
                return False
        return True

    def _apart(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> States:
        # The same as run, of windows that were put together and must not be.
        lengths = [len(window) for window in windows]
        rows: List[torch.Tensor] = [torch.empty(0)] * len(windows)
        for group in self.groups(lengths, len(lengths) * max(lengths)):
            together = self.run([windows[i] for i in group], [types[i] for i in group], layers)
            for k, i in enumerate(group):
                rows[i] = together.of(k, lengths[i])
        return States(torch.cat(rows, dim=1), np.cumsum([0, *lengths])[:-1])

    def _pass_watched(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> torch.Tensor:
        # A pass, and where its lengths are new a look at whether it changed the model.
        lengths, (low, high) = [len(window) for window in windows], self._lengths
        if self._resets or _within(lengths, self._lengths):
            return self._pass(windows, types, layers)
        with _LOCK, put_back(self._layers.model) as changes, draws_of(self._layers.device, fixed=False) as draws:
            states = self._pass(windows, types, layers)
        self._lengths = (min(low, *lengths), max(high, *lengths))
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


def _padded(states: torch.Tensor) -> States:
    # (n_layers, n_windows, longest, width) of a padded pass
    n_layers, n_windows, longest, width = states.shape
    return States(states.reshape(n_layers, n_windows * longest, width), np.arange(n_windows) * longest)


def _within(lengths: Sequence[int], seen: Tuple[int, int]) -> bool:
    return seen[0] <= min(lengths) and max(lengths) <= seen[1]


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
