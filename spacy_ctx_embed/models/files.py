"""The files of a network or a table: a folder that is there as a whole or not at all, and the same files as bytes.

Enters: what is written into an empty folder. Leaves: that folder in its place, or a mapping of names to contents.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Dict, Iterator

from spacy_ctx_embed.checks import parts_inside
from spacy_ctx_embed.errors import Errors, ModelFormatError


@contextlib.contextmanager
def whole_folder(directory: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of another once everything is written.

    Where writing fails, what was there stays. Whoever has files of it mapped into memory keeps them.

    :param directory: the place; what is in it is replaced.
    :yields: an empty folder on the same disk.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{directory.name}."
    # Some network drives can't remove a mapped file yet, which is no reason to fail: the new folder is in place.
    with tempfile.TemporaryDirectory(prefix=prefix, dir=directory.parent, ignore_cleanup_errors=True) as beside:
        new, old = Path(beside, "new"), Path(beside, "old")
        new.mkdir()
        yield new
        replaces = directory.exists()
        if replaces:
            directory.replace(old)
        try:
            new.replace(directory)
        except OSError:
            if replaces:
                old.replace(directory)
            raise


def read_files(folder: Path) -> Dict[str, bytes]:
    """Read the files of a folder and of those in it.

    :param folder: the folder.
    :return: contents by name, which is relative to the folder and has ``/`` on every system.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def write_files(folder: Path, files: Dict[str, bytes], what: str) -> None:
    """Write what :func:`read_files` gave, wherever that was.

    :param folder: an existing folder.
    :param files: contents by name; nothing is known of who named them.
    :param what: whose files they are, for the message.
    :raises ModelFormatError: if a name leads out of the folder.
    """
    places = {name: _below(folder, name, what) for name in files}
    for name, content in files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_bytes(content)


def _below(folder: Path, name: str, what: str) -> Path:
    parts = parts_inside(str(name))
    if not parts:
        raise ModelFormatError(
            Errors.E013.format(
                file=what,
                item="the name of one of its files",
                found=repr(name),
                expected="names of files in a folder of its own, such as 'config.json'",
                fix="load a pipeline that this package wrote, and that comes from somebody you trust",
            )
        )
    return folder.joinpath(*parts)
