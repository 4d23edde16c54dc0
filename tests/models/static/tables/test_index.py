"""The index of spaCy's word ids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import StringStore, get_string_id

from spacy_ctx_embed.models.static.tables.index import RecentWords, index_words, sort_index, word_ids
from tests.models.static.odd_words import ODD


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
    index = sort_index(ids, np.arange(len(ids)))
    assert index.find(ids).tolist() == list(range(len(ids)))
    assert index.find(np.zeros(2, np.uint64)).tolist() == [-1, -1]


def test_index_grows_when_ids_crowd_in_one_slot():
    ids = np.arange(1, 400, dtype=np.uint64) << np.uint64(40)  # the low bits are all the same
    assert sort_index(ids, np.arange(len(ids))).find(ids).tolist() == list(range(len(ids)))


def test_empty_string_and_whitespace_are_not_indexed():
    words = ["a", "", " ", "\n", "\u00a0", "b"]
    assert index_words(words).find(word_ids(words)).tolist() == [0, -1, -1, -1, -1, 5]


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40), st.integers(1, 4))
def test_recent_words_know_only_what_they_were_told(keys, bits):
    recent, asked = RecentWords(bits), np.array([0, 1, 2, *keys], dtype=np.uint64)
    assert recent.get(asked)[1].tolist() == list(range(len(asked)))
    told = np.array(keys, dtype=np.uint64)
    recent.put(told, np.arange(len(told)))
    found, new = recent.get(told)
    kept = np.setdiff1d(np.arange(len(told)), new)
    assert found[kept].tolist() == kept.tolist()
    unknown = [key for key in (0, 1, 2) if key not in keys]
    assert len(recent.get(np.array(unknown, dtype=np.uint64))[1]) == len(unknown)
