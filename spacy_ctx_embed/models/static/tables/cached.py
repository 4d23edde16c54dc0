"""Tables that were read before: a slow format is written once as a folder that opens at once, in the user's cache.

Enters: the file that a config names, and how to read it. Leaves: the table, mapped from the cache where that has it.
A folder in the cache belongs to a file as it is: path, size and time of change are in its name. Whole folders take
their place by one rename: several processes may fill the cache at a time, and a kill leaves nothing that counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
import warnings
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from spacy_ctx_embed.errors import Errors, ModelFormatError, Warnings
from spacy_ctx_embed.models.places import CACHE_VARIABLE, cache_folder
from spacy_ctx_embed.models.static.tables.folder import META, read_table, table_arrays, write_table
from spacy_ctx_embed.models.static.tables.table import VectorTable

SIZE_VARIABLE = "SPACY_CTX_EMBED_TABLES_GB"
LEAST = 2 << 20  # bytes of a source, below which reading it is as fast
_DEFAULT_GB = 20.0
_PREFIX = ".new-"
_ABANDONED = 86400  # seconds after which a folder that is not finished is no one's any more
_HEADER = 128  # bytes of an .npy file before its numbers
_FORMAT = 2  # of the folders; with another one, none of the old is taken


def tables_folder() -> Path:
    """Folder of the tables that were read before.

    :return: ``tables`` in the folder for downloads.
    """
    return cache_folder() / "tables"


def through_cache(
    path: Path, sources: Sequence[Path], options: List[object], read: Callable[[], VectorTable]
) -> VectorTable:
    """Open a table from the cache, which gets it where it does not have it.

    :param path: the file or folder that the config names.
    :param sources: the files that the table is made of, and those that may be.
    :param options: what else the result depends on, as JSON can hold it.
    :param read: reads it.
    :return: the table; that of ``read`` where the file is small, or the cache can't be written.
    """
    files = _state(sources)
    if sum(size for _, size, _ in files) < LEAST or _most_bytes() <= 0:
        return read()
    folder = tables_folder() / _name(path, files, options)
    found = _open(folder)
    if found is not None:
        return found
    table = read()
    if _state(sources) != files:  # it was replaced meanwhile, and belongs to neither
        return table
    try:
        _write(folder, table)
    except OSError as error:
        reason = error.strerror or str(error)
        message = Warnings.W008.format(file=path, folder=folder.parent, reason=reason, variable=CACHE_VARIABLE)
        warnings.warn(message, stacklevel=2)
        return table
    return _open(folder) or table


def _state(sources: Sequence[Path]) -> List[Tuple[str, int, int]]:
    stats = ((file.name, file.stat()) for file in sources if file.is_file())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _name(path: Path, files: List[Tuple[str, int, int]], options: List[object]) -> str:
    identity = json.dumps([_FORMAT, str(path.resolve()), files, options])
    stem = "".join(letter if letter.isalnum() else "-" for letter in path.stem[:40])
    return f"{stem}-{hashlib.sha256(identity.encode('utf8')).hexdigest()[:16]}"


def _open(folder: Path) -> Optional[VectorTable]:
    try:
        if not (folder / META).is_file():
            return None
        table = read_table(folder)
    except PermissionError:  # it belongs to another user
        return None
    except ModelFormatError:  # of a disk that lost what it had taken; it is written again
        shutil.rmtree(folder, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):  # a cache that others own is read too
        os.utime(folder)
    return table


def _write(folder: Path, table: VectorTable) -> None:
    if sum(_HEADER + array.nbytes for array in table_arrays(table).values()) > _most_bytes():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _new_folder(folder.parent) as new:
        write_table(new, table)
        _make_room(folder.parent, sum(file.stat().st_size for file in new.iterdir()))
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            try:
                new.rename(folder)
            except OSError:
                if not (folder / META).is_file():  # else another process was faster
                    raise


@contextlib.contextmanager
def _new_folder(parent: Path) -> Iterator[Path]:
    new = parent / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex}"
    new.mkdir()  # not by mkdtemp, whose folders only their owner may read: users may share a cache
    try:
        yield new
    finally:
        if new.exists():
            shutil.rmtree(new, ignore_errors=True)


def _make_room(parent: Path, n_bytes: int) -> None:
    # What was not opened for longest goes first. Whoever has it mapped keeps it.
    entries = []
    for folder in parent.iterdir():
        with contextlib.suppress(OSError):  # another process may be at it too
            used = folder.stat().st_mtime
            if folder.name.startswith(_PREFIX):
                if time.time() - used > _ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            entries.append((used, sum(file.stat().st_size for file in folder.iterdir()), folder))
    total = sum(size for _, size, _ in entries) + n_bytes
    for _, size, folder in sorted(entries):
        if total <= _most_bytes():
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _most_bytes() -> float:
    named = os.environ.get(SIZE_VARIABLE) or _DEFAULT_GB
    try:
        return float(named) * 1e9
    except ValueError as error:
        accepted = "a number of gigabytes, 0 for no cache of tables"
        message = Errors.E001.format(owner="the environment", key=SIZE_VARIABLE, value=named, accepted=accepted)
        raise ValueError(message) from error
