"""models/transformer/pieces.py: pieces that follow from the characters, at their places, whatever they spell."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizerFast, ByT5Tokenizer, CanineTokenizer

from spacy_ctx_embed.models.transformer.pieces import is_plain, pieces_of

pytestmark = pytest.mark.usefixtures("unicode_once")
KINDS = {"canine": CanineTokenizer, "byt5": ByT5Tokenizer}
SPECIAL = "\0\ue000\ue001\ue002\ue003\ue004"  # CANINE's own
TEXTS = [
    "",
    "a",
    " ",
    "  two  \n",
    "Ünïcödé e\u0301 né",
    "👩‍👩‍👧 😀 \U0010fffd\uf8ff",
    "銀行在河边",
    "a" * 1000,
    "</s> <pad> <unk> <extra_id_0> <extra_id_124>",
    "[CLS] [SEP] [MASK]",
]
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
spelled = st.lists(st.one_of(anything, st.sampled_from(["</s>", "<pad>", "<extra_id_3>", "[CLS]"]))).map("".join)


@lru_cache(maxsize=None)
def of(kind):
    return KINDS[kind]()


def _as_transformers(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


@settings(deadline=None, max_examples=60)
@given(text=spelled)
def test_pieces_are_those_of_transformers_each_at_its_character(text):
    for tokenizer in map(of, KINDS):
        encoding = pieces_of(tokenizer).encode(text, add_special_tokens=False)
        ids, places = encoding.ids.tolist(), encoding.offsets.tolist()
        if not set(text) & set(SPECIAL) or tokenizer is of("byt5"):
            assert ids == _as_transformers(tokenizer, text)
        assert all(end == start + 1 for start, end in places)
        characters = [start for start, _ in places]
        assert characters == sorted(characters) and set(characters) == set(range(len(text)))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_pieces_of_a_character_are_its_own(kind, text):
    encoding = pieces_of(of(kind)).encode(text, add_special_tokens=False)
    for i, character in enumerate(text):
        mine = encoding.ids[encoding.offsets[:, 0] == i].tolist()
        expected = [ord(character)] if kind == "canine" else [byte + 3 for byte in character.encode()]
        assert mine == expected


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_around_is_no_character(kind, text):
    tokenizer = of(kind)
    cutter = pieces_of(tokenizer)
    bare, framed = cutter.encode(text, add_special_tokens=False), cutter.encode(text)
    assert framed.ids.tolist() == tokenizer.build_inputs_with_special_tokens(bare.ids.tolist())
    assert len(framed.ids) == len(framed.offsets) == len(framed.type_ids)
    inside = framed.offsets[:, 1] > framed.offsets[:, 0]
    np.testing.assert_array_equal(framed.ids[inside], bare.ids)
    np.testing.assert_array_equal(framed.offsets[inside], bare.offsets)


def test_a_private_character_that_is_a_special_piece_is_none_in_a_text():
    encoding = pieces_of(of("canine")).encode(f"x{SPECIAL}\ue005", add_special_tokens=False)
    assert encoding.ids.tolist() == [ord("x"), *[0xFFFD] * len(SPECIAL), 0xE005]


def test_what_cuts_otherwise_is_called_otherwise():
    class Without(ByT5Tokenizer):
        def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
            return token_ids_0

    names = {pieces_of(of("canine")).to_str(), pieces_of(of("byt5")).to_str()}
    without = type(pieces_of(of("byt5")))(Without()).to_str()
    assert len(names | {without}) == 3
    assert pieces_of(ByT5Tokenizer()).to_str() in names


def test_what_was_taught_words_or_is_derived_does_not_follow_from_the_text():
    class Derived(CanineTokenizer):
        pass

    taught = ByT5Tokenizer()
    taught.add_tokens(["bank"])
    assert [is_plain(t) for t in (of("canine"), of("byt5"), taught, Derived())] == [True, True, False, False]


def test_a_fast_tokenizer_cuts_texts_whole(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]))
    fast = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    fast.backend_tokenizer.enable_truncation(3)
    fast.backend_tokenizer.enable_padding(length=9)
    assert not is_plain(fast)
    assert len(pieces_of(fast).encode("a b a b a", add_special_tokens=False).ids) == 5
