"""One SHA-256 over the files of a model, so that a pipeline saved by reference knows its weights again."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Sequence, Tuple

from spacy_ctx_embed.errors import unreadable

_BLOCK = 1 << 20  # bytes


def checksum(path: Path, patterns: Sequence[str] = ("*",)) -> str:
    """Hash a file, or all files of a folder with their names. Hidden files do not count.

    :param path: a file or folder.
    :param patterns: names of the files of a folder that count, relative to it, with ``*`` for anything.
    :return: SHA-256 in hex.
    :raises ModelFormatError: if it is not there any more.
    """
    if not path.exists():
        fix = "put it back, or load the model again from where it is"
        raise unreadable(path, "it is not there any more", accepted="what the model was read from", fix=fix)
    digest = hashlib.sha256()
    if path.is_file():
        _update(digest, path)
        return digest.hexdigest()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        parts = file.relative_to(path).parts
        name = "/".join(parts)
        hidden = any(part.startswith((".", "__pycache__")) for part in parts)
        if not hidden and any(fnmatchcase(name, pattern) for pattern in patterns):
            digest.update(name.encode("utf8") + b"\0")
            _update(digest, file)
    return digest.hexdigest()


def stamp(path: Path) -> Tuple[Tuple[str, int, int], ...]:
    """Tell files apart without reading them.

    :param path: a file or folder.
    :return: name, size and time of the last change (ns) of each file.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = [(str(file.absolute()), file.stat()) for file in files]
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _update(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
