"""Folders that a command writes take their place whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy_ctx_embed.models.static.tables.table import VectorTable


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


def check_table_free(out: Path, force: bool, *, owner: str) -> None:
    """Refuse to replace what must not be replaced by a table.

    :param out: the folder to write.
    :param force: whether a table that was written there before may be replaced.
    :param owner: the command.
    :raises FileExistsError: if something is there that must stay.
    """
    from spacy_ctx_embed.errors import Errors
    from spacy_ctx_embed.models.static.tables.folder import FILES

    if not os.path.lexists(out):
        return
    plain = out.is_dir() and not out.is_symlink()
    inside = {file.name for file in out.iterdir()} if plain else set()
    ours = plain and inside <= set(FILES)
    if plain and (not inside or (force and ours)):
        return
    raise FileExistsError(
        Errors.E086.format(
            owner=owner,
            key="OUT",
            value=str(out),
            reason="has a table in it" if ours else "is there already, and no table of this command",
            accepted="a folder that is new or empty, or with --force a table that was written before",
            fix="name another folder" + (", or replace the table by --force" if ours else ""),
        )
    )


def put_table(out: Path, table: VectorTable) -> int:
    """Write a table as a folder that opens at once. It takes its place whole at the end.

    :param out: the folder; one that is there is replaced.
    :param table: the table.
    :return: its bytes.
    """
    from spacy_ctx_embed.models.static.tables.folder import write_table

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        written = Path(beside) / "new"
        written.mkdir()
        write_table(written, table)
        n_bytes = sum(file.stat().st_size for file in written.iterdir())
        put_folder(written, out, Path(beside) / "old")
    return n_bytes
