"""Entries on disk, in one folder that any number of models, runs and processes may share.

Trouble with the disk never changes a result: what is damaged counts as missing, and a full disk ends the writing, not
the run. Either is said once, in a warning.
"""

from __future__ import annotations

import os
import shutil
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from spacy_ctx_embed.cache.entry import Entry, unite
from spacy_ctx_embed.cache.environment import MAP_SIZE, MAX_MAP_SIZE, Environment
from spacy_ctx_embed.cache.record import decode, encode
from spacy_ctx_embed.cache.registry import open_environment
from spacy_ctx_embed.errors import Warnings

if TYPE_CHECKING:
    import lmdb

_MAX_TRANSACTION = 64 << 20  # bytes: LMDB holds what a transaction writes in memory
_MAX_ENTRY = 1 << 31  # bytes, half of what LMDB takes

Item = Tuple[bytes, Entry]


class DiskStore:
    """Entries by key in a folder, which is opened at first use. Threads may share a store.

    :param folder: the folder, made where it is missing.
    :param map_size: bytes of address space to start with.
    :param max_map_size: bytes beyond which the store does not grow.
    """

    def __init__(self, folder: Path, map_size: int = MAP_SIZE, max_map_size: int = MAX_MAP_SIZE) -> None:
        self.folder = folder
        self.map_size = map_size
        self.max_map_size = max_map_size
        self._opened: Optional[Environment] = None

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def get_many(self, keys: Sequence[bytes]) -> List[Optional[Entry]]:
        """Look entries up.

        :param keys: ``n_docs`` keys of 1 to 511 bytes.
        :return: per key the entry, with arrays of its own, or ``None`` where there is none or it is damaged.
        :raises ValueError: at first use, if the folder can't be opened, made or used, or holds something else.
        """
        import lmdb

        environment = self._environment()
        if not environment.readable or not keys:
            return [None] * len(keys)
        try:
            found, n_damaged = environment.read(partial(_read, keys=keys))
        except lmdb.Error as error:
            environment.readable = environment.writable = False
            warnings.warn(Warnings.W003.format(folder=environment.folder, reason=error), stacklevel=2)
            return [None] * len(keys)
        if n_damaged and not environment.warned_of_damage:
            environment.warned_of_damage = True
            warnings.warn(Warnings.W001.format(folder=environment.folder), stacklevel=2)
        return found

    def put_many(self, items: Sequence[Item]) -> None:
        """Keep entries; layers on hand for the same tokens are kept as well. What is damaged is written over.

        :param items: keys of 1 to 511 bytes, and entries.
        :raises ValueError: at first use, if the folder can't be opened, made or used, or holds something else.
        """
        import lmdb

        environment = self._environment()
        if not environment.readable or not items or environment.writing_ended:
            return
        try:
            if not environment.writable:
                raise lmdb.ReadonlyError("no permission")
            for batch in _batches(items):
                environment.write(partial(_write, items=batch))
        except lmdb.Error as error:
            environment.writing_ended = True
            reason = (
                f"{error}; {_free(environment.folder)} bytes are free there"  # LMDB may call a full disk an I/O error
            )
            warnings.warn(Warnings.W002.format(folder=environment.folder, reason=reason), stacklevel=2)

    def _environment(self) -> Environment:
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            opened = open_environment(self.folder.expanduser(), self.map_size, self.max_map_size)
            self._opened = opened
        return opened


def _read(txn: lmdb.Transaction[memoryview], keys: Sequence[bytes]) -> Tuple[List[Optional[Entry]], int]:
    # Entries by key, and how many are damaged.
    found: List[Optional[Entry]] = []
    n_damaged = 0
    for key in keys:
        record = txn.get(key)
        entry = None if record is None else decode(key, record)
        n_damaged += record is not None and entry is None
        found.append(entry)
    return found, n_damaged


def _write(txn: lmdb.Transaction[memoryview], items: Sequence[Item]) -> None:
    # What is on hand is read in the same transaction, as another process may have written it just now.
    for key, entry in items:
        record = txn.get(key)
        old = None if record is None else decode(key, record)
        wanted = entry if old is None else unite(old, entry)
        if wanted is not old:
            txn.put(key, encode(key, wanted))


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,}"
    except OSError:
        return "no known number of"


def _batches(items: Sequence[Item]) -> Iterator[List[Item]]:
    # Batches that fit in one transaction. A key stands once in each: LMDB would waste the pages of the first one.
    batch: Dict[bytes, Entry] = {}
    n_bytes = 0
    for key, entry in items:
        if entry.n_bytes > _MAX_ENTRY:
            continue
        if batch and (key in batch or n_bytes + entry.n_bytes > _MAX_TRANSACTION):
            yield list(batch.items())
            batch, n_bytes = {}, 0
        batch[key] = entry
        n_bytes += entry.n_bytes
    if batch:
        yield list(batch.items())
