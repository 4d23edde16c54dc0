"""A batch without padding: the pieces of all windows in one row of a Hugging Face model, attention window by window.

Enters: windows of any lengths. Leaves: one sequence in which they stand one behind the other, shortest first, and the
attention function that keeps them apart. All else in an encoder looks at one piece at a time, so that products are
over real pieces only. transformers calls the function by its registered name; whether a model's states come out the
same by it is looked at, not assumed (:mod:`~spacy_ctx_embed.networks.transformer.examine`).
"""

from __future__ import annotations

import contextlib
import functools
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


class FlatAttention:
    """Has a model call :func:`_attention`, which goes window by window in a flat pass and else does what "sdpa" does.

    The model's config names it for good, so that several threads may run the model, one way or the other.

    :param model: a Hugging Face model.
    """

    def __init__(self, model: nn.Module) -> None:
        configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
        self._configs = [config for config in configs.values() if hasattr(config, _KEY)]

    @property
    def works(self) -> bool:
        """Whether the installed transformers lets a function be named, and the model's own is one that it can be."""
        names = {getattr(config, _KEY) for config in self._configs}
        return _registered() and bool(names) and names <= {"sdpa", _NAME}

    def use(self, *, flat: bool) -> None:
        """Name the function in the model's config, or "sdpa" again.

        :param flat: which.
        """
        for config in self._configs:
            setattr(config, _KEY, _NAME if flat else "sdpa")


@contextlib.contextmanager
def flat_pass(windows: Optional[FlatWindows]) -> Iterator[None]:
    """Say to the attention of what is run inside, in this thread, where windows stand.

    :param windows: where; ``None`` in a padded pass.
    :yields: nothing.
    """
    _PASS.windows = windows
    try:
        yield
    finally:
        _PASS.windows = None


@functools.lru_cache(maxsize=None)
def _registered() -> bool:
    try:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    except ImportError:  # before 4.53
        return False
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, _mask)
    return True


def _mask(*args: Any, **kwargs: Any) -> Any:
    if getattr(_PASS, "windows", None) is not None:
        return None
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    return ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](*args, **kwargs)


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
    windows: Optional[FlatWindows] = getattr(_PASS, "windows", None)
    if windows is None:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        given = {"scaling": scaling, "sliding_window": sliding_window, "is_causal": is_causal}
        given = {name: setting for name, setting in given.items() if setting is not None}
        own: Tuple[torch.Tensor, None] = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask, **given, **others
        )
        return own
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        raise NotFlatError("attention with a mask of its own, or to another text")
    if key.shape[1] != query.shape[1]:
        n_shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(n_shared, dim=1), value.repeat_interleave(n_shared, dim=1)
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    n_heads, n_pieces = query.shape[1:3]
    result = query.new_empty(n_pieces, n_heads, value.shape[3])
    for start, n_windows, length in windows.runs:
        shape, end = (n_windows, length), start + n_windows * length
        q, k, v = (part[0, :, start:end].unflatten(1, shape).transpose(0, 1) for part in (query, key, value))
        band = None
        if sliding_window is not None and length > sliding_window:
            band = _band(length, sliding_window, causal, query.device)
        found = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=band, scale=scaling, is_causal=causal and band is None
        )
        result[start:end].view(*shape, n_heads, -1).copy_(found.transpose(1, 2))
    return result[None], None


@functools.lru_cache(maxsize=4)
def _band(length: int, reach: int, causal: bool, device: torch.device) -> torch.Tensor:
    # (length, length) whether a piece sees another: one less than ``reach`` away, and with ``causal`` none behind it.
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None, :]
    seen = distance < reach
    return seen & (distance >= 0) if causal else seen & (distance > -reach)
