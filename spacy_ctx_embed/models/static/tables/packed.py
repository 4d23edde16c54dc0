"""A table as bytes: the files of its folder in one msgpack mapping."""

from __future__ import annotations

import tempfile
from pathlib import Path

import srsly

from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from spacy_ctx_embed.models.static.tables.table import VectorTable


def packed(table: VectorTable) -> bytes:
    """Serialise a table.

    :param table: the table.
    :return: a msgpack mapping of file name to content.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder), table)
        files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    return srsly.msgpack_dumps(files)


def unpacked(data: bytes) -> VectorTable:
    """Load what :func:`packed` made.

    :param data: the bytes.
    :return: the table. Its files are gone again, and stay readable as long as it lives; on Windows they stay in the
        folder for temporary files.
    """
    # Windows deletes no file that is mapped
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in srsly.msgpack_loads(data).items():
            Path(folder, name).write_bytes(content)
        return read_table(Path(folder))
