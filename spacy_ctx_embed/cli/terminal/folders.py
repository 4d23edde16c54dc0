"""Folders that a command writes take their place whole, or not at all."""

from __future__ import annotations

from pathlib import Path


def put_folder(written: Path, out: Path, old: Path) -> None:
    """Move a folder to its place.

    :param written: the folder, on the same disk.
    :param out: its place; a folder that is there is replaced.
    :param old: a free name beside ``written``, where that one is left.
    :raises OSError: if it can't be moved; what was there is then there again.
    """
    if out.is_dir():  # a folder can't be renamed onto one that is not empty
        out.replace(old)
    try:
        written.replace(out)
    except OSError:
        if old.is_dir():
            old.replace(out)
        raise
