"""Bytes to their CRC-32C, the checksum of TensorFlow's files, at about 1 GB/s without a compiled extension.

A checksum is linear over exclusive or. So whole blocks of an array can be folded into one, all their words at a time:
moving the words of a block forward by the length of a block, then combining them with the words of the next one,
leaves the checksum as it is. What remains goes through the usual table, byte by byte.
Source of the polynomial: RFC 3720, section 12.1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import List

import numpy as np

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41, bits reversed
_ONES = 0xFFFFFFFF
_MASK = 0xA282EAD8
_BLOCKS = (1 << 14, 1 << 8)  # words of 4 bytes; with the tables, a fold of the first stays within 1 MB of cache


def crc32c(data: np.ndarray) -> int:
    """Checksum the bytes of an array.

    :param data: uint8 array of shape (n_bytes,), contiguous.
    :return: the CRC-32C, a number of 32 bits.
    """
    return _advance(_ONES, data) ^ _ONES


def masked(crc: int) -> int:
    """Give a checksum the form in which TensorFlow stores it, so that the checksum of a checksum means something.

    :param crc: a CRC-32C.
    :return: its bits rotated right by 15, plus a constant, modulo 2**32.
    """
    return (((crc >> 15) | (crc << 17)) + _MASK) & _ONES


def _advance(register: int, data: np.ndarray) -> int:
    # The register after all bytes of the data.
    for n_words in _BLOCKS:
        n_ragged = len(data) % (4 * n_words)
        if len(data) >= 8 * n_words:
            register = _advance(register, data[:n_ragged])
            data = _fold(register, data[n_ragged:].view("<u4").reshape(-1, n_words)).view(np.uint8)
            register = 0
    table = _byte_table()
    for byte in data.tobytes():
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _fold(register: int, blocks: np.ndarray) -> np.ndarray:
    # blocks (n_blocks, n_words) -> (n_words,), which leaves a register of 0 as the blocks leave the one given
    n_words = blocks.shape[1]
    low, high = _move_tables(n_words)
    words = blocks[0].copy()
    words[0] ^= register
    halves = words.view("<u2")
    index = np.empty(n_words, dtype=np.intp)
    moved = np.empty_like(low, shape=n_words)
    for block in blocks[1:]:
        np.copyto(index, halves[1::2])
        np.take(high, index, out=moved, mode="clip")  # no index is out of range: "clip" only saves a copy
        np.copyto(index, halves[::2])
        np.take(low, index, out=words, mode="clip")
        words ^= moved
        words ^= block
    return words


@lru_cache(maxsize=None)
def _byte_table() -> List[int]:
    # Where each lowest byte takes a register, 8 zero bits later.
    table = list(range(256))
    for _ in range(8):
        table = [(entry >> 1) ^ (_POLYNOMIAL if entry & 1 else 0) for entry in table]
    return table


@lru_cache(maxsize=None)
def _move_tables(n_words: int) -> np.ndarray:
    # (2, 65536): where the low and the high half of a word are after n_words zero words; n_words is a power of two.
    table = _byte_table()
    bits = [table[(1 << i) & 0xFF] ^ ((1 << i) >> 8) for i in range(32)]  # each bit of a word, one zero byte later
    for _ in range((4 * n_words).bit_length() - 1):  # that step done twice, then four times, ...
        bits = [_combine(bits, word) for word in bits]
    tables = np.zeros((2, 1 << 16), dtype="<u4")
    for i, moved in enumerate(bits):
        half, bit = tables[i // 16], 1 << (i % 16)
        half[bit : 2 * bit] = half[:bit] ^ moved
    return tables


def _combine(bits: List[int], word: int) -> int:
    # The image of a word under the map that takes bit i to bits[i].
    image = 0
    for i, moved in enumerate(bits):
        if word >> i & 1:
            image ^= moved
    return image
