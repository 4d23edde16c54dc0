"""Folders that a command writes: what they may replace, and tables in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from spacy_ctx_embed.models.static.tables.table import VectorTable


def check_free(out: Path, force: bool, *, owner: str, thing: str, is_one: Callable[[Path], bool]) -> None:
    """Refuse to replace what must not be replaced.

    :param out: the folder to write.
    :param force: whether a thing of this kind that is there may be replaced.
    :param owner: the command, for the message.
    :param thing: what the command writes, as "table".
    :param is_one: tells whether a folder, which is not empty, is one.
    :raises FileExistsError: if something is there that must stay.
    """
    from spacy_ctx_embed.errors import Errors

    if not os.path.lexists(out):
        return
    plain = out.is_dir() and not out.is_symlink()
    empty = plain and not any(out.iterdir())
    ours = plain and not empty and is_one(out)
    if empty or (ours and force):
        return
    raise FileExistsError(
        Errors.E086.format(
            owner=owner,
            key="OUT",
            value=str(out),
            reason=f"has a {thing} in it" if ours else f"is there already, and no {thing}",
            accepted=f"a folder that is new or empty, or with --force one with a {thing}",
            fix="name another folder" + (f", or replace the {thing} by --force" if ours else ""),
        )
    )


def is_table(folder: Path) -> bool:
    """Tell whether a folder holds a table of ours, and nothing else.

    :param folder: the folder.
    :return: whether it does.
    """
    from spacy_ctx_embed.models.static.tables.folder import FILES

    return {file.name for file in folder.iterdir()} <= set(FILES)


def is_pipeline(folder: Path) -> bool:
    """Tell whether a folder holds a pipeline of spaCy's.

    :param folder: the folder.
    :return: whether it does.
    """
    return (folder / "config.cfg").is_file() and (folder / "meta.json").is_file()


def put_table(out: Path, table: VectorTable) -> int:
    """Write a table as a folder that opens at once.

    :param out: the folder; one that is there is replaced.
    :param table: the table.
    :return: its bytes.
    """
    from spacy_ctx_embed.models.files import whole_folder
    from spacy_ctx_embed.models.static.tables.folder import write_table

    with whole_folder(out) as written:
        write_table(written, table)
        return sum(file.stat().st_size for file in written.iterdir())
