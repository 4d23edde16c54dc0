"""Bytes of a file, decompressed while they are read, and how far that is."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any, BinaryIO, Callable, Iterator, Optional, Tuple, cast

from spacy_ctx_embed.export.corpus.files import InputFile


@contextlib.contextmanager
def open_bytes(file: InputFile) -> Iterator[Tuple[BinaryIO, Callable[[], int]]]:
    """Open a file for reading from start to end.

    :param file: which.
    :yields: its bytes, decompressed, and a function that tells how many bytes of the file itself were read so far.
    :raises OSError: if it can't be opened.
    """
    if file.path is None:
        yield sys.stdin.buffer, lambda: 0
        return
    with file.path.open("rb") as raw:
        yield _decompressed(raw, file.compression), raw.tell


def _decompressed(raw: Any, compression: Optional[str]) -> BinaryIO:
    if compression == "gzip":
        import gzip

        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if compression == "bz2":
        import bz2

        return cast(BinaryIO, bz2.BZ2File(raw))
    if compression == "xz":
        import lzma

        return cast(BinaryIO, lzma.LZMAFile(raw))
    if compression == "zstd":
        import pyarrow as pa

        return cast(BinaryIO, io.BufferedReader(_Readable(pa.CompressedInputStream(raw, "zstd"))))
    return cast(BinaryIO, raw)


class _Readable(io.RawIOBase):
    # Arrow's stream with what BufferedReader asks for.
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._stream.read(len(buffer)) or b""
        buffer[: len(part)] = part
        return len(part)
