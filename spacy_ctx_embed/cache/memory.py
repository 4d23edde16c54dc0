"""Entries in bounded memory.

What is kept is chosen for epochs over a corpus, also one that is larger than the cache: were every new entry let in,
each would push out the one that is wanted soonest, and a scan in a fixed order would never hit. So once the store is
full only one new entry in sixteen is let in, for which the least recently used ones leave. An epoch then hits about as
often as the share of the corpus that fits, and what is never asked for again is gone in the end.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any, Dict, List, Optional, Sequence, Tuple

from spacy_ctx_embed.cache.entry import Entry, unite

ADMIT_EVERY = 16  # new entries, once the store is full
OVERHEAD = 700  # bytes per entry, about: the objects around its arrays, and its place in the order


class MemoryStore:
    """Entries by key. Threads may share a store; a copy of one is empty.

    :param max_bytes: bound on arrays, keys and overhead together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._start()

    def __getstate__(self) -> Dict[str, Any]:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.max_bytes = state["max_bytes"]
        self._start()

    def _start(self) -> None:
        self._entries: "OrderedDict[bytes, Entry]" = OrderedDict()  # least recently used first
        self._n_bytes = 0
        self._refused = 0  # new entries since one was let in by pushing out others
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes in use, as the bound counts them."""
        return self._n_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get_many(self, keys: Sequence[bytes], numbers: Sequence[int]) -> List[Optional[Entry]]:
        """Look entries up.

        :param keys: ``n_docs`` keys.
        :param numbers: layer numbers, in the order wanted.
        :return: per key an entry of exactly those layers, or ``None`` if one is missing.
        """
        wanted = tuple(numbers)
        found: List[Optional[Entry]] = []
        with self._own_lock():
            for key in keys:
                entry = self._entries.get(key)
                if entry is not None:
                    entry = entry.only(wanted)
                if entry is not None:
                    self._entries.move_to_end(key)
                found.append(entry)
        return found

    def put_many(self, items: Sequence[Tuple[bytes, Entry]]) -> None:
        """Offer entries; layers on hand for the same tokens are kept as well.

        :param items: keys and entries, which are not to be written into afterwards.
        """
        with self._own_lock():
            for key, entry in items:
                self._put(key, entry)

    def _put(self, key: bytes, entry: Entry) -> None:
        old = self._entries.get(key)
        if old is not None:
            entry = unite(old, entry)
            if entry is old:
                self._entries.move_to_end(key)
                return
        size = _size(key, entry)
        if size > self.max_bytes:
            return  # what is on hand has fewer layers, but fits
        if old is not None:
            self._drop(key)
        elif self._n_bytes + size > self.max_bytes:
            self._refused += 1
            if self._refused < ADMIT_EVERY:
                return
            self._refused = 0
        while self._n_bytes + size > self.max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = entry.owned()
        self._n_bytes += size

    def _drop(self, key: bytes) -> None:
        self._n_bytes -= _size(key, self._entries.pop(key))

    def _own_lock(self) -> threading.Lock:
        # A fork may have copied a lock that a thread of the parent held, and a sum between two changes.
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._n_bytes = sum(_size(key, entry) for key, entry in self._entries.items())
            self._pid = os.getpid()
        return self._lock


def _size(key: bytes, entry: Entry) -> int:
    return entry.n_bytes + len(key) + OVERHEAD
