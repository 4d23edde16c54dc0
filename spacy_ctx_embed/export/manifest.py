"""What an export was begun with, and which of its shards are done: small JSON files in a folder beside the dataset.

Enters: what is to be exported, and where. Leaves: the same folder for the same export only, one process at a time.
Files of the dataset are ``OUT/part-00000.parquet`` and so on; all else is in ``OUT/.export``, which readers of a folder
of Parquet files pass over.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.export.corpus.files import BESIDE
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.export.shards import Shard

METADATA = "spacy_ctx_embed"  # key in the metadata of each file of the dataset
FORMAT = 1
_PATIENCE = 3.0  # seconds: workers of a process that was killed see it within one


@dataclass(frozen=True)
class Done:
    """What is known of a shard that was written.

    :param fingerprint: of its documents.
    :param documents: how many it has, failures not counted.
    :param tokens: their tokens.
    :param rows: rows of the dataset.
    :param statuses: of each component, how many tokens have which status.
    :param skipped: name and reason of what is left out.
    :param seconds: that it took.
    :param n_bytes: size of its file in the dataset.
    """

    fingerprint: str
    documents: int
    tokens: int
    rows: int
    statuses: Dict[str, Dict[str, int]]
    skipped: List[Tuple[str, str]]
    seconds: float
    n_bytes: int


class ExportFolder:
    """The folder of one export.

    :param out: its place.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.beside = out / BESIDE

    def part(self, shard: str) -> Path:
        """Give the file of a shard in the dataset.

        :param shard: its name.
        :return: the path.
        """
        return self.out / f"{shard}.parquet"

    def documents(self, shard: str) -> Path:
        """Give the file of whole texts, from which the context of a row is shown.

        :param shard: name of the shard.
        :return: the path; rows of whole Docs have no such file.
        """
        return self.beside / "documents" / f"{shard}.parquet"

    def unfinished(self, name: str) -> Path:
        """Give a place to write a file in, of this process alone, before it is moved to where it belongs.

        :param name: of the file.
        :return: the path.
        """
        return self.beside / "unfinished" / f"{name}.{platform.node()}.{os.getpid()}"

    def parts(self) -> List[Path]:
        """List the files of the dataset that are done.

        :return: the paths, in order.
        """
        return sorted(file for file in self.out.glob("part-*.parquet") if self._record(file.stem).is_file())

    def begin(self, manifest: Dict[str, Any]) -> None:
        """Make the folder, or see that it is of this very export.

        :param manifest: all that rows depend on, as plain data.
        :raises ValueError: if the folder holds something else.
        :raises OSError: if it can't be written.
        """
        if not self.beside.is_dir():
            self._check_free()
        for name in ("shards", "documents", "unfinished"):
            (self.beside / name).mkdir(parents=True, exist_ok=True)
        file, now = self.beside / "manifest.json", json.loads(json.dumps({"format": FORMAT, **manifest}))
        with contextlib.suppress(FileExistsError):
            self._put(file, json.dumps(now, indent=1), replace=False)
        before = read_json(file)
        for key in dict.fromkeys((*now, *before)):
            if key not in _TOLD and now.get(key) != before.get(key):
                values = {"before": _short(before.get(key)), "now": _short(now.get(key))}
                raise ValueError(Errors.E110.format(owner=OWNER, folder=self.out, key=key, **values))

    @contextlib.contextmanager
    def locked(self, job: int, n_jobs: int) -> Iterator[None]:
        """Keep other processes from writing the same shards.

        :param job: of ``n_jobs`` jobs, from 0 on.
        :param n_jobs: how many.
        :yields: nothing.
        :raises ValueError: if one does.
        """
        from filelock import FileLock, Timeout

        mine = self.beside / f"lock-{job}-of-{n_jobs}"
        try:
            lock = FileLock(mine)
            lock.acquire(timeout=_PATIENCE)
            for other in sorted(self.beside.glob("lock-*-of-*")):
                if not other.name.endswith(f"-of-{n_jobs}"):  # jobs that share the shards out in another way
                    with FileLock(other).acquire(timeout=_PATIENCE):
                        pass
        except Timeout as error:
            raise ValueError(Errors.E112.format(owner=OWNER, folder=self.out)) from error
        try:
            if n_jobs == 1:  # of processes that were killed
                for file in (self.beside / "unfinished").iterdir():
                    file.unlink()
            yield
        finally:
            lock.release()

    def is_done(self, shard: Shard) -> bool:
        """Tell whether a shard need not be written again.

        :param shard: the shard, as the input has it today.
        :return: whether it was written.
        :raises ValueError: if other documents were.
        """
        record = self._record(shard.name)
        if not (record.is_file() and self.part(shard.name).is_file()):
            return False
        if read_json(record)["fingerprint"] == shard.fingerprint:
            return True
        names = [item.name for item in shard.items] or [failure.name for failure in shard.failures]
        values = {"shard": shard.name, "first": names[0], "last": names[-1]}
        raise ValueError(Errors.E111.format(owner=OWNER, folder=self.out, **values))

    def put(self, shard: Shard, rows: Path, texts: Optional[Path], done: Done) -> None:
        """Have a shard appear. Its file in the dataset comes last, and whole.

        :param shard: the shard.
        :param rows: the written file of its rows, on the same disk.
        :param texts: that of its texts, where there is one.
        :param done: what is known of it.
        :raises OSError: if it can't be written.
        """
        if texts is not None:
            sync(texts)
            texts.replace(self.documents(shard.name))
        self._put(self._record(shard.name), json.dumps(asdict(done)), replace=True)
        sync(rows)
        rows.replace(self.part(shard.name))
        sync(self.out)

    def done(self) -> Dict[str, Done]:
        """Read what is known of the shards that were written.

        :return: by name, in order.
        """
        return {part.stem: Done(**read_json(self._record(part.stem))) for part in self.parts()}

    def _record(self, shard: str) -> Path:
        return self.beside / "shards" / f"{shard}.json"

    def _check_free(self) -> None:
        if not os.path.lexists(self.out):
            return
        if not self.out.is_dir():
            reason, fix = "it is a file", "name a folder"
        elif any(self.out.iterdir()):
            reason, fix = "other files are in it", "name a folder that is new or empty"
        else:
            return
        accepted = "a folder that is new, empty, or of an export that was begun"
        raise ValueError(Errors.E116.format(owner=OWNER, folder=self.out, reason=reason, accepted=accepted, fix=fix))

    def _put(self, file: Path, text: str, *, replace: bool) -> None:
        written = self.unfinished(file.name)
        try:
            written.write_text(text, encoding="utf8")
            sync(written)
            if replace:
                written.replace(file)
            else:
                _link(written, file)
        finally:
            written.unlink(missing_ok=True)


# What a manifest tells, and rows do not depend on.
_TOLD = ("pipeline", "description")


def read_json(file: Path) -> Dict[str, Any]:
    """Read a JSON file of an export.

    :param file: which.
    :return: what is in it.
    :raises ValueError: if it can't be read.
    """
    try:
        found: Dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        accepted, fix = "files as the command wrote them", "export again into a new folder"
        values = {"folder": file.parent, "reason": f"{file.name} can't be read ({error})"}
        raise ValueError(Errors.E116.format(owner=OWNER, **values, accepted=accepted, fix=fix)) from error
    return found


def sync(path: Path) -> None:
    """Have a file or folder survive a power cut.

    :param path: which; Windows knows no such thing of a folder.
    """
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(written: Path, file: Path) -> None:
    # Another name for the file; it fails where another job was first.
    try:
        os.link(written, file)
    except FileExistsError:
        raise
    except OSError:  # a disk without such names: exFAT, network folders
        with file.open("xb") as stream:
            stream.write(written.read_bytes())


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"\s+", " ", text if len(text) <= 200 else f"{text[:200]}…")
