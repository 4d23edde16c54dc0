"""The cache that an encoder asks: memory first, then the folder where there is one.

Enters: content keys, layer numbers, and what was computed. Leaves: entries with exactly the layers asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from spacy_ctx_embed.cache.disk import DiskStore
from spacy_ctx_embed.cache.entry import Entry
from spacy_ctx_embed.cache.memory import MemoryStore
from spacy_ctx_embed.errors import Errors


class LayerCache:
    """Un-mixed layers by content key. Threads may share a cache. A copy has the same folder and an empty memory.

    ``hits`` and ``misses`` count keys asked for since the cache was made.

    :param max_bytes: bound on the memory in use; 0 keeps nothing in memory.
    :param folder: keeps all entries across runs and processes; opened at first use. ``None`` for memory only.
    :raises ValueError: if the folder is not a path.
    """

    def __init__(self, max_bytes: int, folder: Optional[Union[str, Path]] = None) -> None:
        if folder is not None and (not isinstance(folder, (str, Path)) or not str(folder).strip()):
            raise ValueError(Errors.E050.format(value=folder, reason="not a path"))
        self.max_bytes = max_bytes
        self.folder = None if folder is None else Path(folder)
        self._start()

    def __getstate__(self) -> Dict[str, Any]:
        return {"max_bytes": self.max_bytes, "folder": self.folder}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self.hits = 0
        self.misses = 0
        self._memory = MemoryStore(self.max_bytes)
        self._disk = None if self.folder is None else DiskStore(self.folder)

    @property
    def n_bytes(self) -> int:
        """Bytes of memory in use, keys and overhead included."""
        return self._memory.n_bytes

    def get_many(self, keys: Sequence[bytes], numbers: Sequence[int]) -> List[Optional[Entry]]:
        """Look Docs up.

        :param keys: ``n_docs`` keys of 1 to 511 bytes.
        :param numbers: layer numbers, distinct, in the order wanted.
        :return: per key an entry of exactly those layers, or ``None`` where not all of them are known. Its arrays may
            be those of the cache: they are not to be written into.
        :raises ValueError: at first use, if the folder can't be opened, made or used, or holds something else.
        """
        wanted = tuple(numbers)
        found = self._memory.get_many(keys, wanted)
        missing = [i for i, entry in enumerate(found) if entry is None]
        if missing and self._disk is not None:
            fetched: List[Tuple[bytes, Entry]] = []
            for i, entry in zip(missing, self._disk.get_many([keys[i] for i in missing])):
                found[i] = None if entry is None else entry.only(wanted)
                if entry is not None and found[i] is not None:
                    fetched.append((keys[i], entry))
            self._memory.put_many(fetched)
        n_missed = sum(entry is None for entry in found)
        self.misses += n_missed  # no lock: threads may lose a count, and a fork could not copy one that is held
        self.hits += len(keys) - n_missed
        return found

    def put_many(self, items: Sequence[Tuple[bytes, Entry]]) -> None:
        """Keep what was computed; layers on hand for the same tokens are kept as well.

        :param items: keys of 1 to 511 bytes, and entries, which are not to be written into afterwards.
        :raises ValueError: at first use, if the folder can't be opened, made or used, or holds something else.
        """
        self._memory.put_many(items)
        if self._disk is not None:
            self._disk.put_many(items)
