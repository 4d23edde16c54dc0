"""A file by its name -> its bytes, decompressed as they are read."""

from __future__ import annotations

import gzip
import lzma
import zlib
from importlib import import_module
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Type, cast

from spacy_ctx_embed.errors import Errors

OWNER = "embed pretrain-elmo"
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)  # what reading raises if a file is not whole
_ENDINGS = (".gz", ".xz", ".zst")
_PIECE = 1 << 12  # bytes of .zst at a time: all that they hold is decompressed at once, often a hundred times as much


def bare_name(file: Path) -> Path:
    """Tell what a file is when decompressed.

    :param file: any file.
    :return: its name without the ending that says how it is compressed.
    """
    return file.with_suffix("") if file.suffix.lower() in _ENDINGS else file


def open_file(file: Path, key: str) -> BinaryIO:
    """Open a file to read.

    :param file: which; compressed if its name ends in ``.gz``, ``.xz`` or ``.zst``.
    :param key: the config key that named it, for messages.
    :return: its bytes, decompressed. Reading them raises one of ``DAMAGED`` if they can't be.
    :raises ImportError: if it is a ``.zst`` file, and the package that reads them is not installed.
    :raises OSError: if it can't be opened.
    """
    ending = file.suffix.lower()
    if ending == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if ending == ".xz":
        return cast(BinaryIO, lzma.open(file, "rb"))
    return _open_zst(file, key) if ending == ".zst" else file.open("rb")


def _open_zst(file: Path, key: str) -> BinaryIO:
    try:
        zstandard = import_module("zstandard")
    except ImportError as error:
        values = {"package": "zstandard", "reason": f"it would read {file}: {error}", "install": "zstandard"}
        raise ImportError(Errors.E005.format(owner=OWNER, key=key, **values)) from error
    return BufferedReader(_ZstdStream(file.open("rb"), zstandard), 1 << 17)


class _ZstdStream(RawIOBase):
    # zstandard's own reader takes a file that was cut off for one that ends there.
    def __init__(self, stream: BinaryIO, zstandard: Any) -> None:
        self._stream = stream
        self._error: Type[Exception] = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._frame: Any = None
        self._compressed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            compressed = self._compressed or self._stream.read(_PIECE)
            if not compressed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle")
                return 0
            self._ready = memoryview(self._decompress(compressed))
        n_bytes = min(len(buffer), len(self._ready))
        buffer[:n_bytes], self._ready = self._ready[:n_bytes], self._ready[n_bytes:]
        return n_bytes

    def _decompress(self, compressed: bytes) -> bytes:
        if self._frame is None:  # a file may have several
            self._frame = self._decompressor.decompressobj()
        try:
            text: bytes = self._frame.decompress(compressed)
        except self._error as error:
            raise EOFError(str(error)) from error
        self._compressed = self._frame.unused_data
        if self._frame.eof:
            self._frame = None
        return text

    def close(self) -> None:
        self._stream.close()
        super().close()
