"""The table in memory, its index of spaCy ids, and its folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import StringStore, get_string_id

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.table import META, NGRAMS, VECTORS, WORDS, SubWords, VectorTable, make_table
from spacy_ctx_embed.models.static.word_index import WordIndex, first_of_each, index_words, word_ids

SYMBOLS = ["NOUN", "ORTH", "nsubj", "IS_SPACE", "PERSON"]
ODD = [*SYMBOLS, "new\nline", "a b", "\x85", "🙂", "e\u0301", "x" * 1000, "\0", "\u2028.", "noun"]


def table_of(words, width=3):
    return make_table(Path("test"), words, np.arange(len(words) * width, dtype="f").reshape(-1, width) + 1)


def test_ids_are_those_of_a_string_store():
    store = StringStore()
    assert word_ids(ODD).tolist() == [store.add(word) for word in ODD]
    assert word_ids(["NOUN"])[0] < 1000  # a reserved symbol


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), st.lists(st.text("abc", max_size=3)))
def test_index_agrees_with_a_dict(words, others):
    words = list(dict.fromkeys(words))
    index = index_words(words)
    rows = {get_string_id(word): row for row, word in enumerate(words) if word and not word.isspace()}
    asked = word_ids([*words, *others])
    assert index.find(asked).tolist() == [rows.get(key, -1) for key in asked.tolist()]


@given(st.sets(st.integers(1, 2**64 - 1), max_size=300))
def test_index_holds_any_ids(keys):
    ids = np.array(sorted(keys), dtype=np.uint64)
    index = WordIndex(ids, np.arange(len(ids)))
    assert index.find(ids).tolist() == list(range(len(ids)))
    assert index.find(np.zeros(2, np.uint64)).tolist() == [-1, -1]


def test_index_grows_when_ids_crowd_in_one_slot():
    ids = np.arange(1, 400, dtype=np.uint64) << np.uint64(40)  # the low bits are all the same
    assert WordIndex(ids, np.arange(len(ids))).find(ids).tolist() == list(range(len(ids)))


def test_empty_string_and_whitespace_are_not_indexed():
    words = ["a", "", " ", "\n", "\u00a0", "b"]
    assert index_words(words).find(word_ids(words)).tolist() == [0, -1, -1, -1, -1, 5]


def test_of_equal_words_the_first_counts():
    table = table_of(["a", "b", "a", "c", "b"])
    assert table.words == ["a", "b", "c"]
    assert table.vectors[:, 0].tolist() == [1, 4, 10]
    assert first_of_each(word_ids(["a", "a"])).tolist() == [0]


def test_limit_keeps_the_first_words():
    table = make_table(Path("t"), ["a", "b", "c"], np.eye(3), limit=2)
    assert table.words == ["a", "b"]
    assert table.vectors.shape == (2, 3)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_become_float32_in_c_order(dtype, order):
    matrix = np.array([[1, 2], [3, 4], [5, 6]], dtype=dtype, order=order)
    vectors = make_table(Path("t"), ["a", "b", "c"], matrix).vectors
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_saved_table_comes_back_exactly(tmp_path):
    table = table_of(ODD)
    table.save(tmp_path)
    again = VectorTable.load(tmp_path)
    assert again.words == table.words
    assert again.vectors.tobytes() == table.vectors.tobytes()
    assert again.digest() == table.digest()
    assert VectorTable.load(tmp_path, limit=2).words == ODD[:2]


def test_the_digest_tells_words_vectors_and_ngrams_apart():
    vectors = np.eye(2, dtype="f")
    tables = [
        VectorTable(["a", "b"], vectors),
        VectorTable(["a", "c"], vectors),
        VectorTable(["a", "b"], vectors * 2),
        VectorTable(["a", "b"], vectors, SubWords(np.ones((4, 2), "f"), 1, 2)),
    ]
    assert len({table.digest() for table in tables}) == 4


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300])
def test_the_first_word_without_finite_numbers_is_named(number):
    matrix = np.ones((4, 3))
    matrix[2, 1] = matrix[3, 0] = number
    with pytest.raises(ModelFormatError, match=r"CE013.*'cat' \(word 3; 2 such in all\)"):
        make_table(Path("t"), ["a", "b", "cat", "d"], matrix)


def test_large_numbers_are_fine():
    matrix = np.full((4, 3), 3e38, dtype="f")  # their sum is not finite
    assert make_table(Path("t"), list("abcd"), matrix).vectors.shape == (4, 3)


@pytest.mark.parametrize(
    ("words", "matrix", "message"),
    [
        (["a"], np.ones((2, 3)), "2 rows long.*1 words"),
        ([], np.ones((0, 3)), "empty"),
        (["a"], np.ones((1, 0)), "empty"),
        (["a"], np.ones(3), "of type float64 and shape"),
        (["a"], np.array([["x"]]), "of type <U1"),
        (["a"], np.ones((1, 2), dtype=complex), "of type complex"),
        ([1], np.ones((1, 2)), r"word 1 is 1 \(int\)"),
        (["a", None], np.ones((2, 2)), "word 2 is None"),
        (["\ud800"], np.ones((1, 2)), "UTF-8 can't hold"),
    ],
)
def test_what_is_no_table_is_refused(words, matrix, message):
    with pytest.raises(ModelFormatError, match=message):
        make_table(Path("t"), words, matrix)


@pytest.mark.parametrize("file", [META, WORDS, VECTORS, NGRAMS])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_folder_is_refused(tmp_path, file, damage):
    VectorTable(["a", "b"], np.ones((2, 3), "f"), SubWords(np.ones((4, 3), "f"), 1, 2)).save(tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink()
    if damage != "missing":
        (tmp_path / file).write_bytes(b"" if damage == "empty" else content[:-3])
    with pytest.raises(ModelFormatError, match="CE012"):
        VectorTable.load(tmp_path)


def test_a_folder_of_another_version_is_refused(tmp_path):
    table_of(["a"]).save(tmp_path)
    meta = json.loads((tmp_path / META).read_text())
    (tmp_path / META).write_text(json.dumps({**meta, "version": 99}))
    with pytest.raises(ModelFormatError, match="CE012"):
        VectorTable.load(tmp_path)


def test_an_array_of_python_objects_is_not_unpickled(tmp_path):
    table_of(["a"]).save(tmp_path)
    np.save(tmp_path / VECTORS, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ModelFormatError, match="CE012"):
        VectorTable.load(tmp_path)
