"""A table of LevelDB, the form of a TensorFlow checkpoint's index, to its pairs of key and value.

Pairs are sorted by key and lie in blocks. A block ends in a list of points at which a search could start, which is
skipped here, and is followed by one byte for its compression and four of a checksum. The last block tells where the
others lie, and the footer where the last block lies. No size is believed before it is compared with what is there.
Source: LevelDB ``doc/table_format.md``.
"""

from __future__ import annotations

from typing import Iterator, Tuple

import numpy as np

from spacy_ctx_embed.models.elmo.tensorflow.crc32c import crc32c, masked

MAX_KEY = 1 << 10  # bytes, far above any real key; what keys share is stored once, so a small file could ask for much
_FOOTER, _TRAILER = 48, 5  # bytes
_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")


def table_pairs(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Go through a table.

    :param data: the whole file.
    :yields: key and value, the keys in rising order.
    :raises ValueError: if it is damaged, not a table, or compressed.
    """
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise ValueError("its end is not that of a table")
    data, footer = data[:-_FOOTER], data[-_FOOTER:]
    _, _, pos = _handle(footer, 0)  # of a block for filters, which is empty
    offset, size, _ = _handle(footer, pos)
    end, last = 0, None
    for _, handle in _block_pairs(_block(data, offset, size)):
        offset, size, _ = _handle(handle, 0)
        if offset < end:
            raise ValueError("its blocks overlap")
        end = offset + size + _TRAILER
        for key, value in _block_pairs(_block(data, offset, size)):
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            last = key
            yield key, value


def read_varint(data: bytes, pos: int) -> Tuple[int, int]:
    """Read a number of seven bits per byte, the lowest first; the eighth bit says that another byte follows.

    :param data: bytes that hold it.
    :param pos: where it starts.
    :return: the number, below 2**70, and the position behind it.
    :raises ValueError: if the bytes end before it, or it has more than ten of them.
    """
    value = 0
    for i, byte in enumerate(data[pos : pos + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, pos + i + 1
    raise ValueError("a number does not end")


def _handle(data: bytes, pos: int) -> Tuple[int, int, int]:
    # Offset and size of a block, and the position behind them.
    offset, pos = read_varint(data, pos)
    size, pos = read_varint(data, pos)
    return offset, size, pos


def _block(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER > len(data):
        raise ValueError("a block ends behind the end")
    stored = int.from_bytes(data[end + 1 : end + _TRAILER], "little")
    if masked(crc32c(np.frombuffer(data, np.uint8, size + 1, offset))) != stored:
        raise ValueError("a block is not what its checksum says")
    if data[end] != 0:
        raise ValueError(f"its blocks are compressed, by method {data[end]}, which TensorFlow does not do")
    return data[offset:end]


def _block_pairs(block: bytes) -> Iterator[Tuple[bytes, bytes]]:
    # A key is stored as the number of bytes that it shares with the one before it, and its other bytes.
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise ValueError("a block is too short")
    key, pos = b"", 0
    while pos < end:
        n_shared, pos = read_varint(block, pos)
        n_own, pos = read_varint(block, pos)
        n_value, pos = read_varint(block, pos)
        if n_shared > len(key) or n_shared + n_own > MAX_KEY or pos + n_own + n_value > end:
            raise ValueError("a pair has an impossible size")
        key = key[:n_shared] + block[pos : pos + n_own]
        pos += n_own + n_value
        yield key, block[pos - n_value : pos]
