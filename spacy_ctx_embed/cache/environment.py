"""An open LMDB folder: checked when it is opened, grown when it is full.

LMDB keeps what was committed through a kill at any moment, and lets many processes read while one writes. No
transaction may run in a process while its map is resized, so that a lock lets only one run at a time.

Commits are not synced: that makes them about five times as fast. A kill of the process can't hurt them, as the kernel
has what was written; after a power cut the checksum of each entry tells what did not reach the disk.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, NoReturn, Optional, TypeVar

from spacy_ctx_embed.errors import Errors

if TYPE_CHECKING:
    import lmdb

T = TypeVar("T")

DATA, LOCK = "data.mdb", "lock.mdb"
MARKER, FORMAT = b"spacy_ctx_embed.cache", b"1"  # in each of our stores, so that no other one is taken for ours
MAP_SIZE = 1 << 28  # bytes of address space at first; the file grows as it is filled
MAX_MAP_SIZE = 1 << 44
_MAX_READERS = 512
_RETRIES = 64  # each either doubles the map or follows what another process did
_SLACK = 1 << 20  # bytes: LMDB may count pages at the end of the file that it never wrote


class Environment:
    """An open folder. Use ``registry.open_environment``, which makes no second one in a process.

    :param folder: the folder, made where it is missing.
    :param map_size: bytes of address space to start with.
    :param max_map_size: bytes beyond which it does not grow.
    """

    def __init__(self, folder: Path, map_size: int, max_map_size: int) -> None:
        self.folder = folder
        self.pid = os.getpid()
        self.readable = True  # until LMDB finds its own pages damaged
        self.writing_ended = False  # after the disk was full
        self.warned_of_damage = False
        self._map_size = min(map_size, max_map_size)
        self._max_map_size = max_map_size
        self.lock = threading.Lock()  # held while a transaction runs
        new = _check_folder(folder)
        self.writable = all(os.access(file, os.W_OK) for file in (folder, folder / DATA) if file.exists())
        if new and not self.writable:
            raise ValueError(Errors.E051.format(folder=folder, what="written", reason="no permission"))
        self._lmdb = _open(folder, self._map_size, self.writable)
        self._file = _file_id(folder)
        self._check_length()
        self._check_marker()

    def close(self) -> None:
        """Give back what is open; only a new environment can be used then."""
        self._lmdb.close()

    @property
    def current(self) -> bool:
        """Whether this is still the environment of its folder: of this process, and not removed since."""
        return self.pid == os.getpid() and self._file == _file_id(self.folder)

    def read(self, use: Callable[[lmdb.Transaction[memoryview]], T]) -> T:
        """Run a read transaction.

        :param use: what to do in it; the values that it sees are gone when it returns.
        :return: what it gave.
        :raises lmdb.Error: if the environment can't be read.
        """
        import lmdb

        with self.lock:
            for _ in range(_RETRIES):
                try:
                    with self._lmdb.begin(buffers=True) as txn:
                        return use(txn)
                except lmdb.MapResizedError:
                    self._lmdb.set_mapsize(0)  # another process let it grow
                except lmdb.BadRslotError:
                    self._reopen()  # py-lmdb before 1.7: a forked process gave back this one's place among the readers
                except lmdb.ReadersFullError:
                    if not self._lmdb.reader_check():  # places of processes that were killed
                        time.sleep(0.01)
            with self._lmdb.begin(buffers=True) as txn:
                return use(txn)

    def write(self, use: Callable[[lmdb.Transaction[memoryview]], T]) -> T:
        """Run a write transaction and commit it; all or nothing of it is kept.

        :param use: what to do in it; run again from the start after the map has grown.
        :return: what it gave.
        :raises lmdb.Error: if it can't be written; the environment can still be read.
        """
        import lmdb

        with self.lock:
            for _ in range(_RETRIES):
                try:
                    with self._lmdb.begin(write=True, buffers=True) as txn:
                        return use(txn)
                except lmdb.MapFullError:
                    self._grow()
                except lmdb.MapResizedError:
                    self._lmdb.set_mapsize(0)
                except lmdb.Error:
                    self._reopen()  # or it could not be read either; what was committed before is whole
                    raise
            raise lmdb.MapFullError(f"not after {_RETRIES} attempts")

    def _grow(self) -> None:
        import lmdb

        size = self._lmdb.info()["map_size"]
        if size >= self._max_map_size:
            raise lmdb.MapFullError(f"may not grow beyond {size:,} bytes")
        try:
            self._lmdb.set_mapsize(min(2 * size, self._max_map_size))
        except lmdb.Error:
            self._reopen()  # LMDB has given up the old map before it asked for the new one
            raise

    def _reopen(self) -> None:
        self._lmdb.close()
        try:
            self._lmdb = _open(self.folder, self._map_size, self.writable)  # LMDB maps at least what is in use
        except ValueError:
            self.readable = False

    def _check_length(self) -> None:
        # To read a page beyond the end of the file would end the process.
        size = (self._lmdb.info()["last_pgno"] + 1) * self._lmdb.stat()["psize"]
        missing = size - (self.folder / DATA).stat().st_size
        if missing > _SLACK:
            _unusable(self.folder, f"{DATA} was cut off, at least {missing:,} bytes are missing")
        if missing > 0 and self.writable:
            self.write(lambda txn: _fill(self.folder / DATA, size))  # no other process writes meanwhile

    def _check_marker(self) -> None:
        import lmdb

        try:
            n_entries = self._lmdb.stat()["entries"]  # before the marker is read, which is the first entry of all
            found = self.read(_marker)
            if found is None and n_entries == 0 and self.writable:
                found = self.write(_mark)
        except (lmdb.DiskError, lmdb.MapFullError) as error:
            raise ValueError(Errors.E051.format(folder=self.folder, what="written", reason=error)) from error
        except lmdb.Error as error:
            _unusable(self.folder, str(error), error)
        if found is None and n_entries:
            raise ValueError(Errors.E052.format(folder=self.folder, found=f"{DATA} is another program's"))
        if found not in (None, FORMAT):
            _unusable(self.folder, f"its format is {found!r}, not {FORMAT!r}")


def _check_folder(folder: Path) -> bool:
    # Makes the folder where it is missing. Gives whether a store has to be made in it.
    if folder.exists() and not folder.is_dir():
        raise ValueError(Errors.E050.format(value=str(folder), reason="a file"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(os.listdir(folder))
    except OSError as error:
        what = "read" if folder.is_dir() else "made"
        raise ValueError(Errors.E051.format(folder=folder, what=what, reason=error)) from error
    if DATA in names:
        return False
    foreign = [name for name in names if name != LOCK and not name.startswith(".")]
    if foreign and not (folder / DATA).exists():  # another process may have made it just now
        raise ValueError(Errors.E052.format(folder=folder, found=", ".join(foreign[:3])))
    return True


def _open(folder: Path, map_size: int, writable: bool) -> lmdb.Environment:
    import lmdb

    # No spare transactions: closed in a forked process, one would give back the reader's place of its parent.
    settings: Dict[str, Any] = {"map_size": map_size, "max_readers": _MAX_READERS, "max_spare_txns": 0, "mode": 0o666}
    if writable:
        settings.update(sync=False, metasync=False)
    else:
        settings.update(readonly=True, create=False, lock=os.access(folder / LOCK, os.W_OK))
    for attempt in range(100):
        try:
            return lmdb.open(str(folder), **settings)
        except (lmdb.InvalidError, lmdb.VersionMismatchError) as error:
            found = f"{DATA} is not of LMDB, is damaged, or is of another version of LMDB"
            raise ValueError(Errors.E052.format(folder=folder, found=f"{found} ({error})")) from error
        except lmdb.CorruptedError as error:
            _unusable(folder, str(error), error)
        except lmdb.Error as error:
            if "already open" in str(error) and attempt < 99:
                time.sleep(0.01)  # a thread is just closing it
                continue
            raise ValueError(Errors.E051.format(folder=folder, what="opened", reason=error)) from error
    raise AssertionError


def _marker(txn: lmdb.Transaction[memoryview]) -> Optional[bytes]:
    value = txn.get(MARKER)
    return None if value is None else bytes(value)


def _mark(txn: lmdb.Transaction[memoryview]) -> bytes:
    # Another process may have been quicker.
    found = _marker(txn)
    if found is None:
        txn.put(MARKER, FORMAT)
    return found or FORMAT


def _fill(file: Path, size: int) -> None:
    with file.open("r+b") as stream:
        if stream.seek(0, os.SEEK_END) < size:
            stream.truncate(size)


def _file_id(folder: Path) -> Optional[tuple[int, int]]:
    try:
        found = (folder / DATA).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unusable(folder: Path, reason: str, cause: Optional[BaseException] = None) -> NoReturn:
    raise ValueError(Errors.E053.format(folder=folder, reason=reason)) from cause
