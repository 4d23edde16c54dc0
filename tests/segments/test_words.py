from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc

from spacy_ctx_embed.segments.words import word_segments

VOCAB = spacy.blank("xx").vocab


def test_sentences_without_whitespace() -> None:
    words = [" ", "One", "two", "\n", "three", "four"]
    doc = Doc(VOCAB, words=words, sent_starts=[True, False, False, False, True, False])
    segments = word_segments([Doc(VOCAB, words=["a"]), doc], window=10)
    assert [(s.doc, s.tokens.tolist(), s.length, s.inputs) for s in segments] == [
        (0, [0], 3, ["a"]),
        (1, [1, 2], 4, ["One", "two"]),
        (1, [4, 5], 4, ["three", "four"]),
    ]


def test_a_doc_without_sentences_is_cut_into_windows() -> None:
    segments = word_segments([Doc(VOCAB, words=list("abcde"))], window=2)
    assert [s.inputs for s in segments] == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(("keep_empty", "n"), [(False, 0), (True, 2)])
def test_docs_without_words(keep_empty: bool, n: int) -> None:
    segments = word_segments([Doc(VOCAB), Doc(VOCAB, words=[" "])], window=2, keep_empty=keep_empty)
    assert [(s.doc, s.tokens.tolist(), s.length, s.inputs) for s in segments] == [(i, [], 2, []) for i in range(n)]
