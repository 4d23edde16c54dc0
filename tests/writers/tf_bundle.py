"""Writes TensorFlow checkpoints of version 2 in pure Python, apart from the code under test.

TensorFlow 2.21 reads what this writes (checked once, by hand: TensorFlow is no requirement of the tests).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

DTYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8, "int64": 9,
    "bool": 10, "bfloat16": 14, "uint16": 17, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
MAGIC = bytes.fromhex("57fb808b247547db")
CRC_TABLE = list(range(256))
for _ in range(8):
    CRC_TABLE = [entry // 2 ^ (entry % 2) * 0x82F63B78 for entry in CRC_TABLE]

Pairs = Sequence[Tuple[bytes, bytes]]


def write_bundle(
    prefix: Path,
    arrays: Mapping[str, Any],
    *,
    n_shards: int = 1,
    block_size: int = 4096,
    restart_interval: int = 16,
    bfloat16: Collection[str] = (),
    edits: Optional[Mapping[str, Mapping[int, Any]]] = None,
    header: Optional[bytes] = None,
) -> Path:
    """Write arrays round robin into shards; ``bfloat16`` names float32 arrays to cut to that type.

    ``edits`` maps names to fields of an entry that shall be something else, so that a test can tell lies.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shards: List[bytearray] = [bytearray() for _ in range(n_shards)]
    entries: Dict[bytes, bytes] = {}
    for i, (name, values) in enumerate(sorted(arrays.items())):
        array, kind = np.asarray(values), np.asarray(values).dtype.name
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        if name in bfloat16:
            halves = np.frombuffer(data, "<u2").reshape(-1, 2)
            data, kind = halves[:, 1].tobytes(), "bfloat16"
        shard = shards[i % n_shards]
        fields = {1: DTYPES[kind], 2: shape_message(array.shape), 3: i % n_shards, 4: len(shard), 5: len(data)}
        fields[6] = masked_crc(data).to_bytes(4, "little")
        shard += data
        entries[name.encode("utf8")] = message({**fields, **(edits or {}).get(name, {})})
    for i, shard in enumerate(shards):
        prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{n_shards:05d}").write_bytes(shard)
    if header is None:
        header = message({1: n_shards, 3: message({1: 1})})
    table = table_bytes([(b"", header), *sorted(entries.items())], block_size, restart_interval)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table)
    return prefix


def table_bytes(pairs: Pairs, block_size: int = 4096, restart_interval: int = 16, compression: int = 0) -> bytes:
    """A LevelDB table."""
    out = bytearray()
    index: List[Tuple[bytes, bytes]] = []
    pending: List[Tuple[bytes, bytes]] = []
    for i, pair in enumerate(pairs):
        pending.append(pair)
        if i == len(pairs) - 1 or sum(len(k) + len(v) for k, v in pending) >= block_size:
            index.append((pair[0], _append(out, block_bytes(pending, restart_interval), compression)))
            pending = []
    footer = _append(out, block_bytes([], 1), 0) + _append(out, block_bytes(index, 1), compression)
    return bytes(out) + footer.ljust(40, b"\0") + MAGIC


def block_bytes(pairs: Pairs, restart_interval: int) -> bytes:
    """A block without its trailer."""
    out, restarts, last = bytearray(), [0], b""
    for i, (key, value) in enumerate(pairs):
        n_shared = len(os.path.commonprefix([key, last])) if i % restart_interval else 0
        if i and i % restart_interval == 0:
            restarts.append(len(out))
        out += varint(n_shared) + varint(len(key) - n_shared) + varint(len(value)) + key[n_shared:] + value
        last = key
    return bytes(out) + b"".join(n.to_bytes(4, "little") for n in [*restarts, len(restarts)])


def _append(out: bytearray, block: bytes, compression: int) -> bytes:
    # Adds a block with its trailer, gives its handle.
    handle = varint(len(out)) + varint(len(block))
    block += bytes([compression])
    out += block + masked_crc(block).to_bytes(4, "little")
    return handle


def shape_message(shape: Iterable[int]) -> bytes:
    return b"".join(b"\x12" + varint(len(dim)) + dim for dim in (message({1: n}) for n in shape))


def message(fields: Mapping[int, Any]) -> bytes:
    """A protocol buffer: numbers as varints, bytes as messages, except field 6, the checksum, which has four bytes."""
    out = b""
    for number, value in fields.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, int):
                out += varint(number << 3) + varint(part % 2**64) if part else b""
            elif number == 6:
                out += varint(number << 3 | 5) + part
            else:
                out += varint(number << 3 | 2) + varint(len(part)) + part
    return out


def varint(number: int) -> bytes:
    out = []
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes([*out, number])


def masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) % 256] ^ crc // 256
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
