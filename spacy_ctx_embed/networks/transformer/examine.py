"""How a loaded model has to be run, found out on the model itself: a few short passes when it is opened.

Enters: a model and a way to make windows for it. Leaves: a :class:`Verdict`: which layers have one state for each
piece, how wide they are, and what the states of a window depend on besides the window. Some models read their padding
(a Fourier transform, convolutions, pooling over positions), some keep state from pass to pass, some draw at random.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import torch

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.networks.transformer.draws import draws_of
from spacy_ctx_embed.networks.transformer.flat import FlatWindows
from spacy_ctx_embed.networks.transformer.layers import TransformerLayers
from spacy_ctx_embed.networks.transformer.module_state import put_back

PADDED, EQUAL, ALONE = "padded", "equal", "alone"
# Largest distance of two rows that count as the same, as a share of their length: what rounding makes of them.
_TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
_SHORT, _LONG = 4, 11  # pieces of the text, special ones not counted

# (number of pieces, number of the text) -> ids and token type ids of a window with special pieces
MakeWindow = Callable[[int, int], Tuple[Ints1d, Ints1d]]


class RandomStatesError(Exception):
    """Two passes over the same window gave different states, also from the same state of the random generators."""


@dataclass(frozen=True)
class Verdict:
    """How a model has to be run so that a window has the states that it has alone.

    :param widths: width of each layer; ``None`` where it does not have one state for each piece.
    :param together: windows that may be in one pass: ``"padded"`` for any, ``"equal"`` for those of one length,
        ``"alone"`` for none. A model that changes or draws when it runs is never trusted with padding.
    :param resets: whether a pass changes the model, which has to be put back then.
    :param seeded: whether the model draws at random, each pass from the same state of the generators then.
    :param flat: the number of a window's first position in a pass without padding; ``None`` where that gives other
        states.
    """

    widths: Tuple[Optional[int], ...]
    together: str
    resets: bool
    seeded: bool
    flat: Optional[int] = None


def examine(layers: TransformerLayers, make_window: MakeWindow) -> Verdict:
    """Run short windows alone and together.

    :param layers: the model, in eval mode; its weights float32 for the finest look.
    :param make_window: makes windows of pieces that the model knows.
    :return: what was found.
    :raises RandomStatesError: if the same window has other states each time.
    """
    short, long, twin = make_window(_SHORT, 0), make_window(_LONG, 1), make_window(_SHORT, 2)
    with torch.inference_mode():
        with put_back(layers.model) as changes, draws_of(layers.device, fixed=False) as draws:
            alone = _states(layers, [short])
        widths = tuple(_width(state, len(short[0])) for state in alone)

        def with_it(*others: Tuple[Ints1d, Ints1d]) -> List[torch.Tensor]:
            with steady(layers, resets=bool(changes.found), seeded=draws.found):
                states = _states(layers, [short, *others])
            return [state[:1, : len(short[0])] for state, width in zip(states, widths) if width is not None]

        def same(*others: Tuple[Ints1d, Ints1d]) -> bool:
            return all(same_states(a, b, tolerance(layers)) for a, b in zip(alone, with_it(*others)))

        alone = with_it() if draws.found else [state for state, width in zip(alone, widths) if width is not None]
        plain = not changes.found and not draws.found
        if plain and same(long):
            together = PADDED
        elif not same():
            raise RandomStatesError
        else:
            together = EQUAL if same(twin) else ALONE
        flat = _first_position(layers, [twin, long, short], widths, alone) if together == PADDED else None
    return Verdict(widths, together, bool(changes.found), draws.found, flat)


@contextlib.contextmanager
def steady(layers: TransformerLayers, *, resets: bool, seeded: bool) -> Iterator[None]:
    """Run a model so that nothing is left of the pass, and nothing of what was before is in it.

    :param layers: the model.
    :param resets: whether to put back what the pass changes in it.
    :param seeded: whether to draw from a fixed state of the generators; the caller's own is kept.
    :yields: nothing.
    """
    with contextlib.ExitStack() as stack:
        if resets:
            stack.enter_context(put_back(layers.model))
        if seeded:
            stack.enter_context(draws_of(layers.device, fixed=True))
        yield


def tolerance(layers: TransformerLayers) -> float:
    """Tell how far apart two rows may be that differ by rounding only.

    :param layers: the model that gave them.
    :return: the length of the difference, as a share of the length of a row.
    """
    if layers.rounded:
        return _TOLERANCES[torch.bfloat16]
    dtype = layers.activations or next(layers.model.parameters()).dtype
    return _TOLERANCES.get(dtype, _TOLERANCES[torch.float32])


def same_states(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    """Compare rows up to rounding.

    :param one: ``(…, width)``.
    :param other: of the same shape.
    :param tolerance: see :func:`tolerance`.
    :return: whether all rows are the same.
    """
    if one.shape != other.shape:
        return False
    difference = (one.float() - other.float()).norm(dim=-1)
    return bool((difference <= tolerance * one.float().norm(dim=-1).clamp_min(1e-6)).all())


def _first_position(
    layers: TransformerLayers,
    windows: Sequence[Tuple[Ints1d, Ints1d]],
    widths: Sequence[Optional[int]],
    alone: Sequence[torch.Tensor],
) -> Optional[int]:
    # With which first position the last window has the states that it has alone, in a pass without padding. RoBERTa and
    # its kin number positions from the padding piece on.
    if not layers.may_be_flat:
        return None
    ids, types = [ids for ids, _ in windows], [types for _, types in windows]
    places = FlatWindows.of([len(window) for window in ids])
    rows = slice(int(places.starts[-1]), int(places.starts[-1]) + len(ids[-1]))
    for first in (0, layers.pad_id + 1):
        try:
            with put_back(layers.model) as changes:
                states = layers.flat_states(ids, types, places, first)
        except Exception:  # whatever a model's code runs into that was not made for it: then it is padded
            continue
        kept = [state[:, rows] for state, width in zip(states, widths) if width is not None]
        if not changes.found and all(same_states(a, b, tolerance(layers)) for a, b in zip(alone, kept)):
            return first
    return None


def _states(layers: TransformerLayers, windows: Sequence[Tuple[Ints1d, Ints1d]]) -> List[torch.Tensor]:
    return layers.states([ids for ids, _ in windows], [types for _, types in windows])


def _width(state: object, n_pieces: int) -> Optional[int]:
    if not isinstance(state, torch.Tensor) or state.ndim != 3 or state.shape[:2] != (1, n_pieces):
        return None
    return int(state.shape[2])
