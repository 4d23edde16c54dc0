"""Docs to segments of whole words, for models that read words: sentences and windows without the whitespace tokens."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc

from spacy_ctx_embed.data import Segment
from spacy_ctx_embed.segments.sentences import sentence_segments
from spacy_ctx_embed.segments.spaces import whitespace


def word_segments(docs: Sequence[Doc], window: int, *, keep_empty: bool = False) -> List[Segment]:
    """Cut Docs into segments whose inputs are the words.

    :param docs: ``n_docs`` Docs.
    :param window: the longest segment, in words.
    :param keep_empty: whether a Doc without words gives a segment too; where state is carried over, AllenNLP lets an
        empty sentence use up its place.
    :return: the segments, in the order of the text; ``length`` counts two boundary symbols.
    """
    segments: List[Segment] = []
    for number, doc in enumerate(docs):
        known = doc.has_annotation("SENT_START")
        starts = doc.to_array([SENT_START]).reshape(-1) == 1 if known else None
        pieces = sentence_segments(~whitespace(doc), starts, window)
        if not pieces and keep_empty:
            pieces = [np.zeros(0, dtype=np.int64)]
        for tokens in pieces:
            words = [doc[i].text for i in tokens.tolist()]
            segments.append(Segment(number, tokens, len(words) + 2, words))
    return segments
