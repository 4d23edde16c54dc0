"""Smaller tables: what remains is right, unknown words included."""

import numpy as np
import pytest

from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.shrink import change_dtype, keep_words, reduce_width, shrink
from spacy_ctx_embed.models.static.tables.index import word_ids
from tests.models.static.gensim_tables import DATA


@pytest.fixture(scope="module")
def table():
    return open_table(DATA / "lee_fasttext_new.bin")


def cosines(rows):
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units @ units.T


def test_words_that_are_kept(table):
    wanted = [table.words[5], table.words[2].upper(), "qqq", table.words[9]]
    small = keep_words(table, wanted)
    assert small.words == [table.words[i] for i in (2, 5, 9)]
    np.testing.assert_array_equal(small.vectors, table.vectors[[2, 5, 9]])
    assert small.word_index.find(word_ids(table.words[:10])).tolist() == [-1, -1, 0, -1, -1, 1, -1, -1, -1, 2]
    np.testing.assert_array_equal(small.subwords.row("qqq"), table.subwords.row("qqq"))


def test_all_components_keep_distances(table):
    full = reduce_width(table, table.width)
    rows = table.vectors[:50] - table.vectors.mean(axis=0)
    np.testing.assert_allclose(full.vectors[:50] @ full.vectors[:50].T, rows @ rows.T, atol=1e-4)


def test_components_are_those_of_a_singular_value_decomposition(table):
    centred = table.vectors.astype("f8") - table.vectors.mean(axis=0, dtype="f8")
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    found = reduce_width(table, 4).vectors
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ directions[:4].T), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.astype("f8"), axis=0), values[:4], rtol=1e-4)


def test_unknown_words_are_projected_with_the_others(table):
    small = reduce_width(table, 10)
    word = table.words[7]  # its row is the mean of its own vector and its n-grams
    mean = table.mean()
    np.testing.assert_allclose(
        np.linalg.norm(small.subwords.row("unheardof") - small.vectors[7])
        <= 1e-3 + np.linalg.norm(table.subwords.row("unheardof") - table.vectors[7]),
        True,
    )
    full = reduce_width(table, table.width)
    np.testing.assert_allclose(
        full.subwords.row("unheardof") @ full.vectors[7],
        (table.subwords.row("unheardof") - mean) @ (table.vectors[7] - mean),
        atol=1e-5,
    )
    assert small.words[7] == word


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 1e-3), ("int8", 1e-2)])
def test_shorter_numbers(table, dtype, atol):
    small = change_dtype(table, dtype)
    assert str(small.vectors.dtype) == str(small.subwords.ngrams.dtype) == dtype
    places = np.arange(50)
    np.testing.assert_allclose(cosines(small.take(places)), cosines(table.vectors[:50]), atol=atol)
    rows = [part.subwords.row("unheardof") for part in (small, table)]
    np.testing.assert_allclose(*rows, atol=atol * np.abs(rows[1]).max())
    again = change_dtype(small, "float32")
    np.testing.assert_array_equal(again.vectors[:50], small.take(places))
    assert small.digest() != table.digest()


def test_all_at_once_and_nothing(table):
    small = shrink(table, words=table.words[:100], width=5, dtype="int8")
    assert small.vectors.shape == (100, 5) and small.vectors.dtype == np.int8 and len(small.scales) == 100
    assert shrink(table) is table
