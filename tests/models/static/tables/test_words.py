"""Words in a file read as a list of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.models.static.tables.words import StoredWords, join_words

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=30)


@given(WORDS, st.slices(30), st.integers(0, 30))
def test_they_are_a_list(words, part, n):
    stored = StoredWords(*join_words(words))
    assert len(stored) == len(words) and list(stored) == words and stored == words
    assert stored[part] == words[part]
    assert [stored[i] for i in range(-len(words), len(words))] == [words[i] for i in range(-len(words), len(words))]
    head = min(n, len(words))
    assert list(stored.head(head)) == words[:head]
    assert stored != [*words, "more"] and (stored == 3) is False


def test_a_place_that_is_none():
    with pytest.raises(IndexError):
        StoredWords(*join_words(["a"]))[1]
