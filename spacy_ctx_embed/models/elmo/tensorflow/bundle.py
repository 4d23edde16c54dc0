"""A TensorFlow checkpoint to named arrays, without TensorFlow.

A checkpoint of version 2, a "tensor bundle", is ``X.index`` beside ``X.data-00000-of-00001`` and so on. The index is
a table: a key is the name of a variable, its value a protocol buffer that says where the bytes of the variable lie.
Source of the messages and their numbers: TensorFlow ``core/protobuf/tensor_bundle.proto``, ``types.proto``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import numpy as np

from spacy_ctx_embed.models.elmo.source.options import AGAIN, unreadable, wrong
from spacy_ctx_embed.models.elmo.tensorflow.crc32c import crc32c, masked
from spacy_ctx_embed.models.elmo.tensorflow.leveldb_table import read_varint, table_pairs

_BFLOAT16 = 14
_OTHER = "take the checkpoint of a whole model"
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
_DTYPE_NAMES = {_BFLOAT16: "bfloat16", **{number: np.dtype(dtype).name for number, dtype in _DTYPES.items()}}
_MAX_INDEX, _MAX_VARIABLES = 1 << 22, 1 << 16  # bytes, number: far above what a model has
_MAX_RANK, _MAX_SIZE = 32, 1 << 56  # axes, elements: what NumPy can take


def find_prefix(path: Path) -> Path:
    """Find the checkpoint in a folder.

    :param path: the folder of a training run, where a file ``checkpoint`` may name the newest of several; or that of
        a SavedModel; or the common prefix of the files of one checkpoint, with or without ``.index``.
    :return: the prefix, to which ``.index`` can be appended.
    :raises ModelFormatError: if there is no checkpoint, or more than one and none is named.
    """
    if not path.is_dir():
        prefix = path.with_name(path.name[: -len(".index")]) if path.suffix == ".index" else path
        if not _beside(prefix, ".index").is_file():
            unreadable(path, "there is no such checkpoint", "correct the path, it ends before '.index'")
        return prefix
    named = _named_by_state(path)
    if named is not None:
        return named
    found = sorted(path.glob("*.index")) or sorted(path.glob("variables/variables.index"))
    if not found:
        reason = "no file in it is named *.index or variables/variables.index, as in a TensorFlow checkpoint"
        unreadable(path, reason, "put the files of the checkpoint there, *.index and *.data-00000-of-00001")
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:5])
        unreadable(path, f"more than one checkpoint could be meant: {names}", "give the path of one, up to '.index'")
    return find_prefix(found[0])


@dataclass(frozen=True)
class _Entry:
    # Where a variable lies: bytes [offset, offset + size) of a shard.
    dtype: int
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int
    masked_crc: int
    n_slices: int


class TensorBundle:
    """The variables of a checkpoint. Only the index is read before one is asked for.

    ``shapes`` and ``dtypes`` say what there is, by name; a type is given as NumPy calls it, else ``"bfloat16"`` or
    the number that TensorFlow gives it.

    :param prefix: what the names of the checkpoint's files begin with, such as ``run/model.ckpt-935588``.
    :raises ModelFormatError: if the index is missing, damaged, or of a kind that is not supported.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.file = _beside(prefix, ".index")
        try:
            with self.file.open("rb") as stream:
                data = stream.read(_MAX_INDEX + 1)
            self._n_shards, self._entries = _parse_index(data)
        except (OSError, ValueError) as error:
            unreadable(self.file, f"not readable as the index of a TensorFlow checkpoint ({error})", AGAIN, error)
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}
        self.dtypes = {name: _DTYPE_NAMES.get(e.dtype, f"type {e.dtype}") for name, e in self._entries.items()}

    def read(self, name: str) -> np.ndarray:
        """Read a variable and verify its checksum.

        :param name: its name, one of ``shapes``.
        :return: array of the variable's shape and type, float32 for bfloat16, which NumPy does not have.
        :raises ModelFormatError: if there is no such variable, its bytes are missing or damaged, its type is neither
            float nor integer, or it was saved in slices.
        """
        item, entry = f"the variable '{name}'", self._entries.get(name)
        if entry is None:
            wrong(self.file, item, "missing", "a checkpoint that holds it", _OTHER)
        if entry.n_slices:
            fix = "save the model once more without a partitioner"
            wrong(self.file, item, f"saved in {entry.n_slices} slices", "variables saved in one piece", fix)
        if entry.dtype not in _DTYPE_NAMES:
            wrong(self.file, item, f"of TensorFlow's type {entry.dtype}", "floats or integers", _OTHER)
        dtype = np.dtype(_DTYPES.get(entry.dtype, "<u2"))
        n_bytes = math.prod(entry.shape) * dtype.itemsize
        if entry.size != n_bytes:
            wrong(self.file, item, f"of {entry.size} bytes", f"{n_bytes} bytes for the shape {entry.shape}", AGAIN)
        array = self._read_bytes(item, entry).view(dtype)
        if entry.dtype == _BFLOAT16:  # the upper half of a float32
            array = (array.astype("<u4") << np.uint32(16)).view("<f4")
        return array.reshape(entry.shape)

    def _read_bytes(self, item: str, entry: _Entry) -> np.ndarray:
        if entry.shard >= self._n_shards:
            wrong(self.file, item, f"in data file {entry.shard}", f"one of {self._n_shards}, from 0", AGAIN)
        shard = _beside(self.prefix, f".data-{entry.shard:05d}-of-{self._n_shards:05d}")
        try:
            with shard.open("rb") as stream:
                n_bytes = stream.seek(0, 2)
                if entry.offset + entry.size > n_bytes:
                    found = f"cut off: it ends at byte {entry.offset + entry.size}, the file at {n_bytes}"
                    wrong(shard, item, found, "the whole file", AGAIN)
                stream.seek(entry.offset)
                data = np.fromfile(stream, dtype=np.uint8, count=entry.size)
        except OSError as error:
            unreadable(shard, f"not readable ({error})", "put all files of the checkpoint there", error)
        if masked(crc32c(data)) != entry.masked_crc:
            wrong(shard, item, "damaged, it has another checksum", "bytes with the checksum of the index", AGAIN)
        return data


def _beside(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _named_by_state(folder: Path) -> Optional[Path]:
    # The state file keeps the path that the checkpoint had on the machine of its training: only the name counts.
    try:
        text = (folder / "checkpoint").read_text(encoding="utf8", errors="replace")
    except OSError:
        return None
    line = re.search(r'^\s*model_checkpoint_path: "(?:.*[/\\])?([^/\\"]+)"', text, re.MULTILINE)
    prefix = folder / line[1] if line else folder
    return prefix if line and _beside(prefix, ".index").is_file() else None


def _parse_index(data: bytes) -> Tuple[int, Dict[str, _Entry]]:
    # Number of shards, and the variables. ValueError says what is wrong.
    if len(data) > _MAX_INDEX:
        raise ValueError(f"it has more than {_MAX_INDEX} bytes")
    pairs = table_pairs(data)
    first, header = next(pairs, (b"?", b""))
    if first:  # the key of the header is empty
        raise ValueError("it is a table, but its first pair does not describe a checkpoint")
    n_shards = 0
    for number, count, _ in _fields(header):
        if number == 1:
            n_shards = count
        elif number == 2 and count != 0:
            raise ValueError("its numbers are big-endian")
    entries = {}
    for key, value in pairs:
        if key.startswith(b"\0"):  # one slice of a variable, whose entry under its name tells of slices
            continue
        entries[key.decode("utf8")] = _parse_entry(value)
        if len(entries) > _MAX_VARIABLES:
            raise ValueError(f"it has more than {_MAX_VARIABLES} variables")
    return n_shards, entries


def _parse_entry(data: bytes) -> _Entry:
    shape: Tuple[int, ...] = ()
    numbers = dict.fromkeys((1, 3, 4, 5, 6), 0)  # what is 0 is left out
    n_slices = 0
    for number, value, message in _fields(data):
        if number == 2:
            shape = tuple(_parse_dim(dim) for field, _, dim in _fields(message) if field == 2)
        elif number == 7:
            n_slices += 1
        else:
            numbers[number] = value
    if len(shape) > _MAX_RANK or math.prod(size or 1 for size in shape) > _MAX_SIZE:
        raise ValueError("a variable has an impossible shape")
    dtype, shard, offset, size, masked_crc = (numbers[number] for number in (1, 3, 4, 5, 6))
    return _Entry(dtype, shape, shard, offset, size, masked_crc, n_slices)


def _parse_dim(data: bytes) -> int:
    size = sum(value for number, value, _ in _fields(data) if number == 1)
    if size >> 31:  # negative, that is unknown, or beyond any file
        raise ValueError("a variable has no definite shape")
    return size


def _fields(data: bytes) -> Iterator[Tuple[int, int, bytes]]:
    # Number and value of each field of a protocol buffer: a number, or else bytes.
    pos = 0
    while pos < len(data):
        tag, pos = read_varint(data, pos)
        kind, value, content = tag & 7, 0, b""
        if kind == 0:
            value, pos = read_varint(data, pos)
        elif kind in (1, 2, 5):
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, pos = read_varint(data, pos)
            content = data[pos : pos + size]
            pos += size
            if pos > len(data):
                raise ValueError("a message is cut off")
            value = int.from_bytes(content, "little") if kind != 2 else 0
        else:
            raise ValueError("a message has a field of an unknown kind")
        yield tag >> 3, value, content
