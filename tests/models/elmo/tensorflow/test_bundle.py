from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.tensorflow.bundle import TensorBundle, find_prefix
from spacy_ctx_embed.models.elmo.tensorflow.crc32c import crc32c, masked
from spacy_ctx_embed.models.elmo.tensorflow.leveldb_table import MAX_KEY, table_pairs
from tests.writers.tf_bundle import (
    MAGIC,
    block_bytes,
    masked_crc,
    message,
    shape_message,
    table_bytes,
    varint,
    write_bundle,
)

KINDS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def numbers(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def some() -> Dict[str, np.ndarray]:
    return {"lm/a": numbers(3, 2), "lm/b": numbers(5), "scale": np.float32(1.5)}


def refusal(prefix: Path, name: str = "") -> str:
    with pytest.raises(ModelFormatError) as caught:
        TensorBundle(prefix).read(name)
    text = str(caught.value)
    assert "Accepted: " in text and "Fix: " in text and prefix.name in text
    return text


def index_of(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".index")


def data_of(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".data-00000-of-00001")


# the checksum


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_checksums_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(np.frombuffer(data, np.uint8)) == expected


@pytest.mark.parametrize("n", [1, 3, 2047, 2048, 2049, 65535, 131072, 131075, 200_001])
def test_folded_checksum_is_that_of_the_byte_by_byte_loop(n: int) -> None:
    data = np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8)
    assert masked(crc32c(data)) == masked_crc(data.tobytes())


# reading


@pytest.mark.parametrize("kind", KINDS)
def test_floats_and_integers(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, (3, 4)).astype(kind)
    bundle = TensorBundle(write_bundle(tmp_path / "m", {"x": values}))
    array = bundle.read("x")
    assert (bundle.dtypes["x"], bundle.shapes["x"], array.dtype) == (kind, (3, 4), np.dtype(kind))
    assert np.array_equal(array, values)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.float32([1, -2.5, 3e38, 0, 1.01])
    bundle = TensorBundle(write_bundle(tmp_path / "m", {"x": values}, bfloat16=["x"]))
    array = bundle.read("x")
    assert (bundle.dtypes["x"], array.dtype) == ("bfloat16", np.dtype("float32"))
    assert array == pytest.approx(values, rel=1 / 128)
    assert array[:2].tolist() == [1, -2.5]


def test_scalars_and_empty_arrays(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "m", {"scalar": np.float32(2.5), "empty": numbers(0, 3)})
    bundle = TensorBundle(prefix)
    assert bundle.shapes == {"scalar": (), "empty": (0, 3)}
    assert bundle.read("scalar") == 2.5
    assert bundle.read("empty").shape == (0, 3)


def test_several_blocks_and_shards(tmp_path: Path) -> None:
    arrays = {f"lm/RNN_0/rnn/cell_{i}/kernel": numbers(i, 2) for i in range(300)}
    prefix = write_bundle(tmp_path / "model.ckpt-7", arrays, n_shards=3, block_size=1000)
    assert len(list(tmp_path.glob("model.ckpt-7.data-*-of-00003"))) == 3
    bundle = TensorBundle(prefix)
    assert list(bundle.shapes) == sorted(arrays)
    assert all(np.array_equal(bundle.read(name), array) for name, array in arrays.items())


def test_large_arrays_are_verified_too(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "m", {"x": numbers(300, 301)})
    assert np.array_equal(TensorBundle(prefix).read("x"), numbers(300, 301))
    content = bytearray(data_of(prefix).read_bytes())
    content[200_000] ^= 1
    data_of(prefix).write_bytes(content)
    assert "checksum" in refusal(prefix, "x")


@settings(max_examples=40, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=30).filter(lambda name: name[0] != "\0"),
        npst.arrays(st.sampled_from(KINDS), npst.array_shapes(min_dims=0, min_side=0, max_side=4)),
        max_size=12,
    ),
    n_shards=st.integers(1, 3),
    block_size=st.integers(1, 300),
    restart_interval=st.integers(1, 20),
)
def test_roundtrip(arrays: Dict[str, Any], n_shards: int, block_size: int, restart_interval: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = {"n_shards": n_shards, "block_size": block_size, "restart_interval": restart_interval}
        bundle = TensorBundle(write_bundle(Path(folder) / "m", arrays, **options))
        assert bundle.shapes == {name: array.shape for name, array in arrays.items()}
        for name, array in arrays.items():
            assert np.array_equal(bundle.read(name), array, equal_nan=array.dtype.kind == "f")


@settings(max_examples=200, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_damaged_bit_of_the_index_goes_unnoticed(position: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prefix = write_bundle(Path(folder) / "m", some())
        content = bytearray(index_of(prefix).read_bytes())
        content[int(position * len(content))] ^= 1 << bit
        index_of(prefix).write_bytes(content)
        try:
            bundle = TensorBundle(prefix)
        except ModelFormatError:
            return
        # The only bytes without a checksum: the filter block that nobody reads, and the padding of the footer.
        assert {name: bundle.read(name).tolist() for name in bundle.shapes} == {
            k: v.tolist() for k, v in some().items()
        }


# damaged and hostile files


def test_missing_and_cut_index(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "m")
    prefix = write_bundle(tmp_path / "m", some())
    content = index_of(prefix).read_bytes()
    for size in (0, 10, 47, 48, len(content) - 1):
        index_of(prefix).write_bytes(content[:size])
        assert "not that of a table" in refusal(prefix)
    index_of(prefix).write_bytes(content[100:])
    assert "not readable as the index" in refusal(prefix)


def test_missing_and_cut_data(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "m", some())
    assert "'nothing' is missing" in refusal(prefix, "nothing")
    data_of(prefix).write_bytes(data_of(prefix).read_bytes()[:-1])
    assert TensorBundle(prefix).read("lm/a").shape == (3, 2)  # what is whole can still be read
    assert "'scale' is cut off: it ends at byte 48, the file at 47" in refusal(prefix, "scale")
    data_of(prefix).unlink()
    text = refusal(prefix, "scale")
    assert "m.data-00000-of-00001" in text and "put all files of the checkpoint there" in text


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({1: 7}, "type 7"),
        ({1: 0}, "type 0"),
        ({2: shape_message([2, 3, 2])}, "48 bytes for the shape (2, 3, 2)"),
        ({2: shape_message([2**31 - 1, 2**24])}, "is of 24 bytes"),
        ({3: 1}, "in data file 1"),
        ({4: 2**40}, "cut off"),
        ({4: 1}, "another checksum"),
        ({5: 2**60}, f"of {2**60} bytes"),
        ({6: b"\1\2\3\4"}, "another checksum"),
        ({6: []}, "another checksum"),
        ({7: [b"\x0a\x00", b"\x0a\x00"]}, "saved in 2 slices"),
    ],
)
def test_entries_that_lie(tmp_path: Path, edit: Dict[int, Any], expected: str) -> None:
    prefix = write_bundle(tmp_path / "m", some(), edits={"lm/a": edit})
    text = refusal(prefix, "lm/a")
    assert expected in text and "the variable 'lm/a'" in text
    assert TensorBundle(prefix).read("lm/b").shape == (5,)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({2: shape_message([-1])}, "no definite shape"),
        ({2: shape_message([1] * 33)}, "impossible shape"),
        ({2: shape_message([0, *[2**31 - 1] * 3])}, "impossible shape"),
        ({2: b"\x12\x7f"}, "a message is cut off"),
        ({2: b"\x0b"}, "unknown kind"),
        ({2: b"\xff" * 12}, "does not end"),
    ],
)
def test_entries_that_make_no_sense(tmp_path: Path, edit: Dict[int, Any], expected: str) -> None:
    assert expected in refusal(write_bundle(tmp_path / "m", some(), edits={"lm/a": edit}))


def test_headers_that_are_not_supported(tmp_path: Path) -> None:
    assert "big-endian" in refusal(write_bundle(tmp_path / "m", some(), header=message({1: 1, 2: 1})))
    assert "in data file 0" in refusal(write_bundle(tmp_path / "m", some(), header=b""), "lm/a")
    index_of(tmp_path / "m").write_bytes(table_bytes([(b"a", b"")]))
    assert "does not describe a checkpoint" in refusal(tmp_path / "m")
    index_of(tmp_path / "m").write_bytes(table_bytes([]))
    assert "does not describe a checkpoint" in refusal(tmp_path / "m")
    index_of(tmp_path / "m").write_bytes(table_bytes([(b"", b""), (b"\xff", b"")]))
    assert "utf-8" in refusal(tmp_path / "m")


def test_slices_of_a_variable_are_no_variables(tmp_path: Path) -> None:
    pairs = [(b"", message({1: 1})), (b"\0\0x", b"garbage"), (b"x", message({1: 1, 7: [b"\x0a\x00"]}))]
    index_of(tmp_path / "m").write_bytes(table_bytes(pairs))
    assert list(TensorBundle(tmp_path / "m").shapes) == ["x"]


def test_compressed_index(tmp_path: Path) -> None:
    index_of(tmp_path / "m").write_bytes(table_bytes([(b"", b"")], compression=1))
    assert "compressed, by method 1" in refusal(tmp_path / "m")


def table_of(*blocks: bytes, handles: Any = None) -> bytes:
    # A table of blocks as they are.
    out = b""
    places = []
    for block in blocks:
        places.append((len(out), len(block)))
        out += block + b"\0" + masked_crc(block + b"\0").to_bytes(4, "little")
    index = block_bytes([(b"%d" % i, varint(a) + varint(b)) for i, (a, b) in enumerate(handles or places)], 1)
    footer = varint(0) + varint(0) + varint(len(out)) + varint(len(index))
    out += index + b"\0" + masked_crc(index + b"\0").to_bytes(4, "little")
    return out + footer.ljust(40, b"\0") + MAGIC


def test_sound_table_of_raw_blocks() -> None:
    table = table_of(block_bytes([(b"a", b"1")], 1), block_bytes([(b"b", b"2")], 1))
    assert list(table_pairs(table)) == [(b"a", b"1"), (b"b", b"2")]


LIES = {
    "a key twice": (table_of(block_bytes([(b"a", b""), (b"a", b"")], 1)), "not in order"),
    "falling keys": (table_of(block_bytes([(b"b", b"")], 1), block_bytes([(b"a", b"")], 1)), "not in order"),
    "a block twice": (table_of(block_bytes([(b"a", b"")], 1), handles=[(0, 12), (0, 12)]), "overlap"),
    "a large block": (table_of(block_bytes([(b"a", b"")], 1), handles=[(0, 2**40)]), "behind the end"),
    "a far block": (table_of(block_bytes([(b"a", b"")], 1), handles=[(2**60, 1)]), "behind the end"),
    "an empty block": (table_of(b""), "too short"),
    "many restarts": (table_of(b"\xff\xff\xff\xff"), "too short"),
    "a value too short": (table_of(b"\0\1\1a" + bytes(4)), "impossible size"),
    "nothing to share": (table_of(b"\1\0\0" + bytes(4)), "impossible size"),
    "a long key": (table_of(b"\0" + varint(MAX_KEY + 1) + b"\0" + bytes(MAX_KEY + 5)), "impossible size"),
    "a number cut off": (table_of(b"\0\x80\x80" + bytes(4)), "impossible size"),
    "no blocks": (bytes(40) + MAGIC, "a block"),
    "long numbers": (b"\xff" * 40 + MAGIC, "does not end"),
}


@pytest.mark.parametrize(("table", "expected"), LIES.values(), ids=LIES)
def test_tables_that_lie(table: bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        list(table_pairs(table))


def test_an_index_without_end_is_not_read(tmp_path: Path) -> None:
    with index_of(tmp_path / "m").open("wb") as stream:
        stream.truncate(1 << 34)  # no bytes on the disk
    assert "more than 4194304 bytes" in refusal(tmp_path / "m")


def test_too_many_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_ctx_embed.models.elmo.tensorflow.bundle._MAX_VARIABLES", 2)
    assert "more than 2 variables" in refusal(write_bundle(tmp_path / "m", some()))


# finding


def test_prefix_itself(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model.ckpt-7", some())
    assert find_prefix(prefix) == prefix
    assert find_prefix(index_of(prefix)) == prefix


@pytest.mark.parametrize("directory", ["", "/home/matthewp/elmo/", "C:\\\\elmo\\\\run\\\\", "../"])
def test_state_file_names_the_newest_by_the_name_it_had_elsewhere(tmp_path: Path, directory: str) -> None:
    for step in (5, 70):
        write_bundle(tmp_path / f"model.ckpt-{step}", some())
    lines = [f'{key}: "{directory}model.ckpt-70"' for key in ("all_model_checkpoint_paths", "model_checkpoint_path")]
    (tmp_path / "checkpoint").write_text("\n".join(lines) + "\n")
    assert find_prefix(tmp_path) == tmp_path / "model.ckpt-70"


@pytest.mark.parametrize("state", ["", "nonsense", 'model_checkpoint_path: "gone"', 'model_checkpoint_path: ""'])
def test_only_checkpoint_is_found_whatever_the_state_file_says(tmp_path: Path, state: str) -> None:
    prefix = write_bundle(tmp_path / "model.ckpt-5", some())
    (tmp_path / "checkpoint").write_text(state)
    assert find_prefix(tmp_path) == prefix


def test_saved_model(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "variables" / "variables", some())
    assert find_prefix(tmp_path) == find_prefix(tmp_path / "variables") == prefix


def test_nothing_and_more_than_one(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"no file in it is named \*\.index"):
        find_prefix(tmp_path)
    with pytest.raises(ModelFormatError, match="no such checkpoint"):
        find_prefix(tmp_path / "model.ckpt-5")
    for step in (5, 70):
        write_bundle(tmp_path / f"model.ckpt-{step}", some())
    with pytest.raises(ModelFormatError, match=r"model\.ckpt-5\.index, model\.ckpt-70\.index"):
        find_prefix(tmp_path)
