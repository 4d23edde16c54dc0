"""One entry as bytes: a head with the format's version, the sizes and a checksum, then the arrays.

All numbers are little-endian. The checksum is a CRC-32 over the key and all else, so that what a crash of the machine
left half written, or in another entry's place, is noticed.
"""

from __future__ import annotations

import struct
import zlib
from typing import List, Optional

import numpy as np

from spacy_ctx_embed.cache.entry import Entry

_MAGIC = b"SCE\x02"  # the last byte is the version
_HEAD = struct.Struct("<4sIII")  # magic, n_layers, n_covered, width
_CHECKSUM = struct.Struct("<Q")
_START = _HEAD.size + _CHECKSUM.size
_TOKEN, _NUMBER, _VALUE = np.dtype("<i8"), np.dtype("<i4"), np.dtype("<f4")  # and a byte per status


def encode(key: bytes, entry: Entry) -> bytes:
    """Write an entry as bytes.

    :param key: its key.
    :param entry: the entry.
    :return: its bytes.
    """
    head = _HEAD.pack(_MAGIC, *entry.layers.shape)
    parts: List[np.ndarray] = [
        np.ascontiguousarray(entry.tokens, dtype=_TOKEN),
        np.array(entry.numbers, dtype=_NUMBER),
        np.ascontiguousarray(entry.layers, dtype=_VALUE).reshape(-1),
        np.ascontiguousarray(entry.statuses),
    ]
    buffers = [part.view(np.uint8).data for part in parts]
    checksum = zlib.crc32(head, zlib.crc32(key))
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    return b"".join([head, _CHECKSUM.pack(checksum), *buffers])


def decode(key: bytes, record: memoryview) -> Optional[Entry]:
    """Read an entry, copying it out once.

    :param key: its key.
    :param record: its bytes.
    :return: the entry, with arrays of its own; ``None`` if the bytes are not as they were written for this key.
    """
    if len(record) < _START:
        return None
    magic, n_layers, n_covered, width = _HEAD.unpack_from(record)
    numbers_at = _START + n_covered * _TOKEN.itemsize
    layers_at = numbers_at + n_layers * _NUMBER.itemsize
    n_values = n_layers * n_covered * width
    statuses_at = layers_at + n_values * _VALUE.itemsize
    if magic != _MAGIC or len(record) != statuses_at + n_covered:
        return None
    checksum = zlib.crc32(record[_START:], zlib.crc32(record[: _HEAD.size], zlib.crc32(key)))
    if checksum != _CHECKSUM.unpack_from(record, _HEAD.size)[0]:
        return None
    tokens = np.frombuffer(record, _TOKEN, n_covered, _START)
    numbers = np.frombuffer(record, _NUMBER, n_layers, numbers_at)
    layers = np.frombuffer(record, _VALUE, n_values, layers_at).reshape(n_layers, n_covered, width)
    statuses = np.frombuffer(record, np.uint8, n_covered, statuses_at).copy()
    numbers_of_layers = tuple(numbers.tolist())
    return Entry(numbers_of_layers, np.array(tokens, dtype=np.int64), np.array(layers, dtype=np.float32), statuses)
