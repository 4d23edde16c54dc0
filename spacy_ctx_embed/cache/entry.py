"""What the cache keeps of one Doc: the un-mixed layers of the tokens that have some.

A leaf: nothing here knows where an entry is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d, Statuses1d


@dataclass(frozen=True, eq=False)
class Entry:
    """Layers of one Doc. Its arrays may be shared with the cache: read them, do not write into them.

    :param numbers: the ``n_layers`` layer numbers, distinct, of the first axis of ``layers``.
    :param tokens: ``(n_covered,)`` indices into the Doc, the second axis; a token without rows is left out.
    :param layers: ``(n_layers, n_covered, width)`` float32 array on the CPU, C-contiguous.
    :param statuses: ``(n_covered,)`` uint8 array of :class:`~spacy_ctx_embed.data.Status` values.
    """

    numbers: Tuple[int, ...]
    tokens: Ints1d
    layers: np.ndarray
    statuses: Statuses1d

    def __post_init__(self) -> None:
        if self.layers.ndim != 3 or self.layers.dtype != np.float32 or not self.layers.flags.c_contiguous:
            raise ValueError(
                "Entry.layers must be a contiguous float32 array (n_layers, n_covered, width), got shape "
                f"{self.layers.shape}, {self.layers.dtype}"
            )
        if self.tokens.dtype.kind != "i" or self.tokens.shape != self.layers.shape[1:2]:
            raise ValueError(
                f"Entry.tokens must be {self.layers.shape[1]} integers, got shape {self.tokens.shape}, "
                f"{self.tokens.dtype}"
            )
        if self.statuses.dtype != np.uint8 or self.statuses.shape != self.tokens.shape:
            raise ValueError(
                f"Entry.statuses must be {len(self.tokens)} bytes, got shape {self.statuses.shape}, "
                f"{self.statuses.dtype}"
            )
        if len(self.numbers) != len(self.layers) or len(set(self.numbers)) != len(self.numbers):
            raise ValueError(f"Entry.numbers must be {len(self.layers)} distinct numbers, got {self.numbers}")

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        return self.tokens.nbytes + self.layers.nbytes + self.statuses.nbytes

    def select(self, numbers: Sequence[int]) -> Optional[np.ndarray]:
        """Give some layers.

        :param numbers: ``n_wanted`` layer numbers, in the order wanted.
        :return: ``(n_wanted, n_covered, width)`` contiguous float32 array, or ``None`` if a layer is missing. No copy
            where the layers wanted stand one after another in this entry.
        """
        wanted = tuple(numbers)
        if wanted == self.numbers:
            return self.layers
        places = {number: place for place, number in enumerate(self.numbers)}
        try:
            rows = [places[number] for number in wanted]
        except KeyError:
            return None
        if rows and rows == list(range(rows[0], rows[0] + len(rows))):
            return self.layers[rows[0] : rows[0] + len(rows)]
        return self.layers[np.array(rows, dtype=np.intp)]  # (n_wanted, n_covered, width)

    def only(self, numbers: Sequence[int]) -> Optional[Entry]:
        """Give an entry of some layers.

        :param numbers: distinct layer numbers, in the order wanted.
        :return: an entry of exactly those, this one where it is that already; ``None`` if a layer is missing.
        """
        wanted = tuple(numbers)
        if wanted == self.numbers:
            return self
        layers = self.select(wanted)
        return None if layers is None else Entry(wanted, self.tokens, layers, self.statuses)

    def owned(self) -> Entry:
        """Give an entry that keeps nothing but its own bytes alive.

        :return: this entry, or one with copies of arrays that are views of something else.
        """
        if _owns(self.tokens) and _owns(self.layers) and _owns(self.statuses):
            return self
        return Entry(self.numbers, self.tokens.copy(), self.layers.copy(), self.statuses.copy())


def unite(old: Entry, new: Entry) -> Entry:
    """Keep the layers of two entries of one Doc.

    :param old: what is on hand.
    :param new: what was computed since.
    :return: ``old`` itself if ``new`` has no further layer, else the layers of both; ``new`` itself where the two are
        not of the same tokens, statuses and width.
    """
    same_tokens = np.array_equal(old.tokens, new.tokens) and np.array_equal(old.statuses, new.statuses)
    if old.layers.shape[1:] != new.layers.shape[1:] or not same_tokens:
        return new
    further = [place for place, number in enumerate(new.numbers) if number not in old.numbers]
    if not further:
        return old
    numbers = (*old.numbers, *(new.numbers[place] for place in further))
    order = np.argsort(numbers)
    layers = np.concatenate([old.layers, new.layers[further]])[order]
    return Entry(tuple(numbers[place] for place in order), old.tokens, layers, old.statuses)


def _owns(array: np.ndarray) -> bool:
    # A reshaped array is a view too, but of no more than itself.
    base = array.base
    return base is None or (isinstance(base, np.ndarray) and base.base is None and base.nbytes == array.nbytes)
