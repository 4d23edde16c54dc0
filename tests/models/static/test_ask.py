"""Questions to a table: gensim's answers, from memory and from a folder."""

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.models.static import ask
from spacy_ctx_embed.models.static.ask import doesnt_match, most_similar
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.shrink import change_dtype
from spacy_ctx_embed.models.static.tables import numbers
from spacy_ctx_embed.models.static.tables.folder import write_table
from tests.models.static.gensim_tables import DATA

FILE = DATA / "lee_fasttext.vec"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # gensim's own
KEYED = KeyedVectors.load_word2vec_format(str(FILE))
WORDS = KEYED.index_to_key


@pytest.fixture(scope="module")
def table():
    return open_table(FILE)


def check(found, expected):
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=2e-6)
    scores = dict(expected)
    for word, score in found:  # words whose scores are all but equal may change places
        assert abs(scores.get(word, expected[-1][1]) - score) < 2e-6


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(WORDS), max_size=2, unique=True),
    st.integers(1, 20),
)
def test_the_nearest_are_gensims(table, positive, negative, n):
    negative = [word for word in negative if word not in positive]
    expected = KEYED.most_similar(positive=positive, negative=negative, topn=n)
    check(most_similar(table, positive, negative, n), expected)
    expected = KEYED.most_similar_cosmul(positive=positive, negative=negative, topn=n)
    check(most_similar(table, positive, negative, n, method="mul"), expected)


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=6, unique=True))
def test_the_odd_one_is_gensims(table, words):
    found = doesnt_match(table, words)
    ranked = KEYED.rank_by_centrality(words, use_norm=True)
    assert KEYED.doesnt_match(words) == ranked[-1][1]
    assert abs(found[0][1] - dict(found)[ranked[-1][1]]) < 2e-6  # two words are equally far from their mean
    assert sorted(word for word, _ in found) == sorted(words)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_folder_answers_as_the_table_in_memory(table, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(numbers, "_BLOCK", 100)
    smaller = change_dtype(table, dtype)
    write_table(tmp_path, smaller)
    stored = open_table(tmp_path)
    assert most_similar(stored, ["of"], n=5) == most_similar(smaller, ["of"], n=5)
    assert doesnt_match(stored, WORDS[:5]) == doesnt_match(smaller, WORDS[:5])


def test_more_answers_than_words(table, tmp_path):
    (tmp_path / "t").write_text("a 1 0\nb 1 1\nc 0 0\n")
    small = open_table(tmp_path / "t")
    assert [word for word, _ in most_similar(small, ["a"], n=10)] == ["b", "c"]
    assert most_similar(small, ["a", "b", "c"], n=10) == []


def test_capitals_that_the_table_does_not_have(table):
    assert most_similar(table, ["OF"]) == most_similar(table, ["of"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["of", "qqq", "zzz"], "CE001.*'qqq, zzz'.*words of the table, which has"),
        ([], "CE001.*a word or more"),
    ],
)
def test_words_that_the_table_lacks(table, words, message):
    with pytest.raises(ValueError, match=message):
        most_similar(table, words)


def test_one_word_alone_is_no_odd_one(table):
    with pytest.raises(ValueError, match="CE001.*two words or more"):
        doesnt_match(table, ["of"])


def test_nothing_is_copied_of_a_mapped_table(table, tmp_path, monkeypatch):
    write_table(tmp_path, table)
    stored = open_table(tmp_path)
    sizes = []
    inner = numbers.blocks

    def watched(*args):
        for start, block in inner(*args):
            sizes.append(len(block))
            yield start, block

    monkeypatch.setattr("spacy_ctx_embed.models.static.tables.table.blocks", watched)
    monkeypatch.setattr(numbers, "_BLOCK", 64)
    most_similar(stored, ["of"])
    assert sum(sizes) == len(stored.words) and max(sizes) == 64
    assert ask.METHODS == ("add", "mul")


def test_a_method_that_is_none(table):
    with pytest.raises(ValueError, match="CE001.*'method' is 'dot'"):
        most_similar(table, ["of"], method="dot")
