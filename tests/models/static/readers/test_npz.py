"""models/static/readers/npz.py: a matrix and its words in one file of NumPy's."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from tests.models.static.damage import damage, damages, read_or_refused
from tests.models.static.gensim_tables import WORDS

MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), 4))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8"])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_words_and_rows(tmp_path, save, dtype, as_bytes):
    words = np.array([word.encode("utf8") for word in WORDS] if as_bytes else WORDS)
    save(tmp_path / "t.npz", any_name=(10 * MATRIX).astype(dtype), another=words, year=np.array(2013))
    assert sniff(tmp_path / "t.npz") == "npz"
    table = open_table(tmp_path / "t.npz")
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, (10 * MATRIX).astype(dtype).astype("f"))
    assert open_table(tmp_path, limit=3).words == WORDS[:3]  # the folder


def test_of_two_lists_the_one_that_fits(tmp_path):
    np.savez(tmp_path / "t.npz", vectors=MATRIX, words=np.array(WORDS), labels=np.array(["a", "b"]))
    assert open_table(tmp_path / "t.npz").words == WORDS


def test_python_objects_only_where_pickles_are_allowed(tmp_path):
    np.savez(tmp_path / "t.npz", vectors=MATRIX, words=np.array(WORDS, dtype=object))
    with pytest.raises(ModelFormatError, match="CE014.*its array 'words' holds Python objects.*allow_pickle = true"):
        open_table(tmp_path / "t.npz")
    assert open_table(tmp_path / "t.npz", allow_pickle=True).words == WORDS
    np.savez(tmp_path / "t.npz", vectors=MATRIX, words=np.array([*WORDS[:-1], 7], dtype=object))
    with pytest.raises(ModelFormatError, match=r"word 10 is 7 \(int\)"):
        open_table(tmp_path / "t.npz", allow_pickle=True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": MATRIX}, r"1 matrices of numbers and 0 lists of words: a \(float64, \(10, 4\)\)"),
        ({"a": np.array(WORDS)}, "0 matrices of numbers and 1 lists"),
        ({"a": MATRIX, "b": MATRIX, "c": np.array(WORDS)}, "2 matrices"),
        ({"a": MATRIX, "b": np.array(WORDS), "c": np.array(WORDS)}, "2 lists"),
        ({"a": MATRIX, "b": np.array(WORDS[1:])}, "CE013.*10 rows long"),
        ({"a": MATRIX * np.nan, "b": np.array(WORDS)}, "CE013.*not finite"),
        ({"a": MATRIX[:, :0], "b": np.array(WORDS)}, "CE013.*empty"),
        ({"a": MATRIX > 0, "b": np.array(WORDS)}, "0 matrices"),
        ({"a": MATRIX, "b": np.arange(10)}, "0 lists"),
    ],
)
def test_other_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(ModelFormatError, match=message):
        open_table(tmp_path / "t.npz")


def test_words_that_are_no_utf8_are_counted(tmp_path):
    np.savez(tmp_path / "t.npz", vectors=np.eye(2), words=np.array([b"a", b"stra\xc3"]))
    with pytest.warns(UserWarning, match="CW004"):
        assert open_table(tmp_path / "t.npz").words == ["a", "stra\ufffd"]


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@damages
@given(st.data())
def test_damage_is_named(tmp_path, data):
    stream = io.BytesIO()
    (np.savez if data.draw(st.booleans()) else np.savez_compressed)(stream, vectors=MATRIX, words=np.array(WORDS))
    (tmp_path / "t.npz").write_bytes(damage(data, stream.getvalue(), 60))
    read_or_refused(tmp_path / "t.npz")


def test_a_header_of_another_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        for name, shape in (("a.npy", (1 << 50, 300)), ("b.npy", (1 << 50,))):
            stream = io.BytesIO()
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            archive.writestr(name, stream.getvalue())
    with pytest.raises(ModelFormatError, match="CE012"):
        open_table(tmp_path / "t.npz")
