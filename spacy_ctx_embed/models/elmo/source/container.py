"""The files of one model, whether they lie in a folder, a zip or a tar archive.

Enters: a path. Leaves: member names and readable, seekable streams. A zip is read in place; a tar archive, which can
only be read from its start, is unpacked into a temporary folder for as long as it is read.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, Iterator, List, Optional, Sequence, Union, cast

from spacy_ctx_embed.checks import parts_inside
from spacy_ctx_embed.models.elmo.source.options import AGAIN, unreadable

# What damaged bytes make the readers of archives raise, besides the types of their own.
_DAMAGED = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)


class Folder:
    """A folder.

    :param path: the folder.
    :param label: what messages call it, the path itself if not given.
    """

    def __init__(self, path: Path, label: Optional[Path] = None) -> None:
        self.path = path
        self.label = label or path
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        self.names = [file.relative_to(path).as_posix() for file in files]

    def open(self, name: str) -> BinaryIO:
        """Open a member.

        :param name: one of ``names``.
        :return: a binary stream.
        """
        return (self.path / name).open("rb")

    @contextlib.contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Give a folder with the members as files.

        :yields: the folder.
        """
        yield self.path


class Zip:
    """A zip archive. Where all members lie in one folder, names are those inside it.

    :param path: the archive.
    :param archive: the archive, opened.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.label = path
        self._archive = archive
        members = [info.filename for info in archive.infolist() if not info.is_dir()]
        members = [name for name in members if not name.startswith("__MACOSX/")]
        self._root = _common_folder(members)
        self.names = sorted(name[len(self._root) :] for name in members)

    def open(self, name: str) -> BinaryIO:
        """Read a member into memory.

        :param name: one of ``names``.
        :return: a stream of it.
        """
        try:
            return io.BytesIO(self._archive.read(self._root + name))
        except (zipfile.BadZipFile, *_DAMAGED, NotImplementedError, RuntimeError) as error:
            unreadable(self.label / name, f"not readable in its zip archive ({error})", AGAIN, error)

    @contextlib.contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Unpack into a temporary folder.

        :yields: the folder.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name in self.names:
                try:
                    target = _target(Path(folder), name)
                except ValueError as error:
                    unreadable(self.label, str(error), AGAIN, error)
                with self.open(name) as stream:
                    _write(stream, target)
            yield Path(folder)


Container = Union[Folder, Zip]


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open what holds a model.

    :param path: a folder, a zip or a tar archive.
    :yields: the container, readable while the context lasts.
    :raises ModelFormatError: if it is none of these, or damaged.
    """
    if path.is_dir():
        yield Folder(path)
    elif zipfile.is_zipfile(path) and not _is_tar(path):
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, *_DAMAGED) as error:
            unreadable(path, f"not readable as a zip archive ({error})", AGAIN, error)
        with archive:
            yield Zip(path, archive)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _unpack_tar(path, Path(folder))
            yield Folder(_only_folder(Path(folder)), path)


def find(container: Container, patterns: Sequence[Sequence[str]], *, optional: bool = False) -> Optional[str]:
    """Find the one member that is meant.

    :param container: where to look, not below its root.
    :param patterns: groups of file name patterns; the first group with any match decides.
    :param optional: whether it may be missing.
    :return: its name; ``None`` only if optional.
    :raises ModelFormatError: if nothing matches, or more than one member does.
    """
    for group in patterns:
        found = [name for name in container.names if any(fnmatch.fnmatchcase(name, p) for p in group)]
        found = [name for name in found if "/" not in name]
        if len(found) == 1:
            return found[0]
        if found:
            reason = f"more than one file could be meant: {', '.join(found)}"
            unreadable(container.label, reason, "keep each model in a folder of its own")
    if optional:
        return None
    wanted = ", ".join(pattern for group in patterns for pattern in group)
    return unreadable(container.label, f"no file in it is named {wanted}", "put the missing file there")


def read_member(container: Container, name: str) -> bytes:
    """Read a small member whole.

    :param container: where it is.
    :param name: its name.
    :return: its content.
    :raises ModelFormatError: if it can't be read.
    """
    try:
        with container.open(name) as stream:
            return stream.read()
    except OSError as error:
        unreadable(container.label / name, f"not readable ({error})", AGAIN, error)


def _is_tar(path: Path) -> bool:
    # One that is not compressed. A file of torch.save is a zip archive, which at its end would pass for the whole.
    with path.open("rb") as stream:
        stream.seek(257)
        return stream.read(5) == b"ustar"


def _unpack_tar(path: Path, folder: Path) -> None:
    # Only plain files, and only below the folder: what links or devices in an archive could do is not wanted.
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    _write(cast(BinaryIO, archive.extractfile(member)), _target(folder, member.name))
    except (tarfile.TarError, *_DAMAGED) as error:
        unreadable(path, f"neither a folder nor a readable zip or tar archive ({error})", AGAIN, error)


def _target(folder: Path, name: str) -> Path:
    parts = parts_inside(name.lstrip("/\\"))
    if not parts:
        raise ValueError(f"the member name {name!r} leads out of the archive")
    return folder.joinpath(*parts)


def _write(stream: BinaryIO, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out)


def _common_folder(names: Sequence[str]) -> str:
    root = ""
    while True:
        tops = {name[len(root) :].partition("/")[0] for name in names}
        deeper = f"{root}{tops.pop()}/" if len(tops) == 1 else ""
        if not deeper or not all(name.startswith(deeper) for name in names):
            return root
        root = deeper


def _only_folder(folder: Path) -> Path:
    inside: List[Path] = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
