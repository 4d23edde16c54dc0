"""The table in memory: what it takes, and what it refuses."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.tables.index import first_of_each, word_ids
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table, open_matrix
from tests.models.static.odd_words import table_of


def test_of_equal_words_the_first_counts():
    with pytest.warns(UserWarning, match="CW007.*of its 5 words 2 were there before, the first is word 3, 'a'"):
        table = table_of(["a", "b", "a", "c", "b"])
    assert table.words == ["a", "b", "c"]
    assert table.vectors[:, 0].tolist() == [1, 4, 10]
    assert first_of_each(word_ids(["a", "a"])).tolist() == [0]


@given(st.data())
def test_a_damaged_head_of_an_array_is_named(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "head.npy"
    np.save(file, np.eye(3, dtype="f"))
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, 127), min_size=1, max_size=3)):
        content[place] = data.draw(st.one_of(st.sampled_from(b"|({[,'\n\\0"), st.integers(0, 255)))
    file.write_bytes(content)
    with contextlib.suppress(ModelFormatError):  # the test below says what is in it; no other error comes
        open_matrix(file)


def test_a_head_that_never_ends_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3, dtype="f"))
    content = (tmp_path / "a.npy").read_bytes().replace(b"(3, 3), }", b"(3, 3), |")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"CE012.*a\.npy"):
        open_matrix(tmp_path / "a.npy")


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
