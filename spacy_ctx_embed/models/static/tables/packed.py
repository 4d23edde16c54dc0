"""A table as bytes: the files of its folder in one msgpack mapping."""

from __future__ import annotations

import tempfile
from pathlib import Path

import srsly

from spacy_ctx_embed.models.files import read_files, write_files
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from spacy_ctx_embed.models.static.tables.table import VectorTable


def packed(table: VectorTable) -> bytes:
    """Serialise a table.

    :param table: the table.
    :return: a msgpack mapping of file name to content.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder), table)
        return srsly.msgpack_dumps(read_files(Path(folder)))


def unpacked(data: bytes) -> VectorTable:
    """Load what :func:`packed` made.

    :param data: the bytes.
    :return: the table. Its files are gone again, and stay readable as long as it lives; on Windows they stay in the
        folder for temporary files.
    :raises ModelFormatError: if one of its files is not to be written to a folder of its own, or is damaged.
    """
    # Windows deletes no file that is mapped
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_files(Path(folder), srsly.msgpack_loads(data), "the saved table")
        return read_table(Path(folder))
