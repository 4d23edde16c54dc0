"""segments/layout.py and spaces.py: where tokens stand, and which of them are whitespace."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_ctx_embed.segments.layout import character_ranges, layout_of
from spacy_ctx_embed.segments.spaces import whitespace

NLP = spacy.blank("xx")


@given(st.text(max_size=40))
def test_ranges_are_those_of_the_tokens(text):
    doc = NLP(text)
    starts, ends = character_ranges(doc)
    assert [doc.text[start:end] for start, end in zip(starts, ends)] == [token.text for token in doc]
    layout = layout_of(doc)
    assert len(layout) == len(doc)
    assert layout.starts.tolist() == starts.tolist()
    assert layout.orths.tolist() == [token.orth for token in doc]


@given(st.text(max_size=40))
def test_whitespace_is_what_spacy_says(text):
    doc = NLP(text)
    assert whitespace(doc).tolist() == [token.is_space for token in doc]


@pytest.mark.parametrize("words", [[], ["a", " ", "\n\n", "b"], ["\u3000", "x"]])
def test_a_bare_vocab_sets_no_flags_and_the_text_decides(words):
    assert whitespace(Doc(Vocab(), words=words)).tolist() == [word.isspace() for word in words]
