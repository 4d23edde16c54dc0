"""A batch without padding: the pieces of all windows in one row of a Hugging Face model, attention window by window.

Enters: windows of any lengths. Leaves: one sequence in which they stand one behind the other, shortest first, and the
attention function that keeps them apart. All else in an encoder looks at one piece at a time, so that products are
over real pieces only. transformers calls the function by its registered name; whether a model's states come out the
same by it is looked at, not assumed (:mod:`~spacy_ctx_embed.networks.transformer.examine`).
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import nn

from spacy_ctx_embed.data import Ints1d

_NAME = "spacy_ctx_embed_flat"  # of the attention function, among those of transformers
_KEY = "_attn_implementation"  # of a config
_PASS = threading.local()  # its ``windows``: a FlatWindows while one of this thread is run


class NotFlatError(Exception):
    """The model's attention is not plain attention within a window."""


@dataclass(frozen=True)
class FlatWindows:
    """Where windows stand in one sequence.

    :param order: ``(n_windows,)`` which window is first, second, …: by length, so that equal ones are neighbours.
    :param starts: ``(n_windows,)`` where each window starts, in the order in which they were given.
    :param runs: (start, number of windows, their length) of each run of windows of equal length.
    :param positions: ``(n_pieces,)`` place of each piece in its window.
    """

    order: Ints1d
    starts: Ints1d
    runs: List[Tuple[int, int, int]]
    positions: Ints1d

    @classmethod
    def of(cls, lengths: Sequence[int]) -> FlatWindows:
        """Lay windows out.

        :param lengths: pieces of each window, at least 1 each.
        :return: where they stand.
        """
        sizes = np.asarray(lengths, dtype=np.int64)
        order = np.argsort(sizes, kind="stable")
        ends = sizes[order].cumsum()
        starts = np.empty_like(sizes)
        starts[order] = ends - sizes[order]
        different, first, counts = np.unique(sizes[order], return_index=True, return_counts=True)
        places = (ends - sizes[order])[first]
        runs = list(zip(places.tolist(), counts.tolist(), different.tolist()))
        positions = np.arange(int(ends[-1])) - np.repeat(ends - sizes[order], sizes[order])
        return cls(order, starts, runs, positions)

    def join(self, windows: Sequence[Ints1d]) -> torch.Tensor:
        """Put windows one behind the other.

        :param windows: one array per window.
        :return: ``(1, n_pieces)``.
        """
        return torch.from_numpy(np.concatenate([windows[i] for i in self.order]))[None]


class AttentionSwitch:
    """Says by which attention function a model is run, in its config, where transformers looks for the name.

    The name stays for the next pass of its kind: a model is run one way or the other, and several threads may do so at
    once.

    :param model: a Hugging Face model.
    """

    def __init__(self, model: nn.Module) -> None:
        configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
        self._own = [(config, getattr(config, _KEY)) for config in configs.values() if hasattr(config, _KEY)]

    @property
    def works(self) -> bool:
        """Whether the installed transformers lets an attention function be named, and there is a config for it."""
        try:
            from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
        except ImportError:  # before 4.48
            return False
        if not hasattr(ALL_ATTENTION_FUNCTIONS, "register"):
            return False
        ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
        return bool(self._own)

    @contextlib.contextmanager
    def to(self, windows: Optional[FlatWindows]) -> Iterator[None]:
        """Run the model over flat windows inside, or its own way.

        :param windows: where windows stand; ``None`` for the model's own attention.
        :yields: nothing.
        """
        for config, own in self._own:
            name = own if windows is None else _NAME
            if getattr(config, _KEY) != name:
                setattr(config, _KEY, name)
        _PASS.windows = windows
        try:
            yield
        finally:
            _PASS.windows = None


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Optional[torch.Tensor],
    scaling: Optional[float] = None,
    sliding_window: Optional[int] = None,
    is_causal: Optional[bool] = None,
    **others: Any,
) -> Tuple[torch.Tensor, None]:
    # As transformers calls it: (1, n_heads, n_pieces, width) each; keys and values may have fewer heads.
    windows = _PASS.windows
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        raise NotFlatError("attention with a mask of its own, or to another text")
    longest = windows.runs[-1][2]
    if sliding_window is not None and longest > sliding_window // 2:
        raise NotFlatError("attention that ends at some distance")
    if key.shape[1] != query.shape[1]:
        n_shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(n_shared, dim=1), value.repeat_interleave(n_shared, dim=1)
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    n_heads, n_pieces = query.shape[1:3]
    result = query.new_empty(n_pieces, n_heads, value.shape[3])
    for start, n_windows, length in windows.runs:
        shape, end = (n_windows, length), start + n_windows * length
        q, k, v = (part[0, :, start:end].unflatten(1, shape).transpose(0, 1) for part in (query, key, value))
        found = nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling, is_causal=bool(causal))
        result[start:end].view(*shape, n_heads, -1).copy_(found.transpose(1, 2))
    return result[None], None
