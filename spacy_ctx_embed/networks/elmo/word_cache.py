"""Token vectors of words seen before, in bounded memory.

Enters: distinct words. Leaves: one vector each, computed only for words that are not remembered. What is remembered
never changes a result: the least recently used words are forgotten first, and a copy of a cache starts empty.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch

_BYTES_PER_WORD = 200  # a word's text, its place in the order and its slot, about


class WordCache:
    """A table of vectors and the slot in it of each word.

    :param n_bytes: bound on the memory of table and words together.
    :param width: length of a vector.
    """

    def __init__(self, n_bytes: int, width: int) -> None:
        self.n_bytes = n_bytes
        self.width = width
        self._lock = threading.Lock()
        self.clear()

    def __getstate__(self) -> Dict[str, Any]:
        return {"n_bytes": self.n_bytes, "width": self.width}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all words."""
        self._slots: "OrderedDict[str, int]" = OrderedDict()  # least recently used first
        self._table: Optional[torch.Tensor] = None

    def __len__(self) -> int:
        return len(self._slots)

    def look_up(
        self, words: Sequence[str], encode: Callable[[Sequence[str]], torch.Tensor], device: torch.device
    ) -> torch.Tensor:
        """Give the vectors of words.

        :param words: ``n_words`` distinct words.
        :param encode: gives the ``(n_words, width)`` vectors of words that are not remembered.
        :param device: the device of those; what is remembered on another one is forgotten.
        :return: ``(n_words, width)`` vectors, in the dtype of ``encode``.
        """
        if not self.n_bytes:
            return encode(words)
        with self._lock:
            if self._table is not None and self._table.device != device:
                self.clear()
            known = [i for i, word in enumerate(words) if word in self._slots]
            for i in known:
                self._slots.move_to_end(words[i])
            slots = torch.tensor([self._slots[words[i]] for i in known], dtype=torch.long, device=device)
            old = self._table[slots] if self._table is not None else None  # (n_known, width), a copy
        if old is not None and len(known) == len(words):
            return old
        remembered = set(known)
        unknown = [i for i in range(len(words)) if i not in remembered]
        new = encode([words[i] for i in unknown])
        with self._lock:
            self._remember([words[i] for i in unknown], new)
        if old is None or not known:
            return new
        order = torch.tensor(known + unknown, device=device).argsort()
        return torch.cat([old, new])[order]

    def _remember(self, words: Sequence[str], vectors: torch.Tensor) -> None:
        capacity = self.n_bytes // (self.width * vectors.element_size() + _BYTES_PER_WORD)
        n_words = min(len(words), capacity)
        if n_words == 0:
            return
        if self._table is None:
            with torch.inference_mode(False):  # or it could only be written in inference mode
                self._table = vectors.new_empty((capacity, self.width))
        slots: List[int] = []
        for word in words[:n_words]:
            if word in self._slots:  # another thread was quicker
                slot = self._slots[word]
                self._slots.move_to_end(word)  # or its slot could be given away below
            else:
                full = len(self._slots) == capacity
                slot = self._slots.popitem(last=False)[1] if full else len(self._slots)
                self._slots[word] = slot
            slots.append(slot)
        self._table[torch.tensor(slots, device=vectors.device)] = vectors[:n_words]
