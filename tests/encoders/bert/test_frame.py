"""encoders/bert/frame.py: special pieces before, behind, on both sides, several, none, whatever the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spacy_ctx_embed.encoders.bert.frame import find_frame

SPECIAL = [("[CLS]", 1), ("[SEP]", 2)]
TEMPLATES = {
    "[CLS] $A [SEP]": ([1], [2]),
    "[CLS] $A": ([1], []),
    "$A [SEP]": ([], [2]),
    "[CLS] [CLS] $A [SEP] [SEP]": ([1, 1], [2, 2]),
    "$A": ([], []),
}


def _words(word):
    return models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, word: 3})  # no unknown piece


def _letters(word):
    return models.BPE({piece: i for i, piece in enumerate(["[PAD]", "[CLS]", "[SEP]", *dict.fromkeys(word)])}, [])


def _unknown(word):
    return models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, word: 3}, unk_token="[SEP]")


@pytest.mark.parametrize("template", list(TEMPLATES))
@pytest.mark.parametrize("model", [_words, _letters, _unknown])
@pytest.mark.parametrize("word", ["a", "βροχή", "雨", "أ"])
def test_the_frame_is_what_stands_around_a_text(template, model, word):
    tokenizer = Tokenizer(model(word))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=SPECIAL)
    frame = find_frame(tokenizer)
    assert (frame.prefix.tolist(), frame.suffix.tolist()) == TEMPLATES[template]
    pieces = np.array(tokenizer.encode(word, add_special_tokens=False).ids)
    assert frame.around(pieces)[0].tolist() == tokenizer.encode(word).ids


def test_token_types_are_those_of_the_template():
    tokenizer = Tokenizer(_words("a"))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS]:2 $A:1 [SEP]:3", special_tokens=SPECIAL)
    assert find_frame(tokenizer).around(np.array([3]))[1].tolist() == [2, 1, 3]


def test_no_post_processor_is_an_empty_frame():
    assert len(find_frame(Tokenizer(_words("a")))) == 0
