"""encoders/bert/text_pieces.py: spelled special pieces are text, and unknown words are told from others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.bert.text_pieces import TextPieces
from spacy_ctx_embed.rows.align import align_pieces

LETTERS = "abcdeksnutpmr"
MARKS = "<>/[]|"
OK, UNKNOWN = Status.OK, Status.UNKNOWN


def _numbered(pieces):
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def _word_piece(splitter):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*LETTERS, *LETTERS.upper(), *MARKS]
    vocabulary = _numbered([*special, *letters, *(f"##{letter}" for letter in letters)])
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    return tokenizer, "[UNK]", special


def _words():
    special = ["[PAD]", "[UNK]", "[SEP]"]
    tokenizer = Tokenizer(models.WordLevel(_numbered([*special, "a", "bed", *MARKS]), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer, "[UNK]", special


def _bpe():
    special = ["<s>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(_numbered([*special, *LETTERS, *MARKS, "ab"]), [("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer, "<unk>", special


def _bytes():
    special = ["<|endoftext|>", "<mask>"]
    vocabulary = _numbered([*sorted(pre_tokenizers.ByteLevel.alphabet()), *special])
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer, "<|endoftext|>", special  # GPT-2's way to name an unknown piece


def _unigram(byte_fallback=False):
    special = ["<unk>", "<s>", "</s>", "<mask>"]
    pieces = [*LETTERS, *MARKS, "\u2581", "\u2581a", "be"]
    of_bytes = [f"<0x{i:02X}>" for i in range(256)] if byte_fallback else []
    scores = [(piece, 0.0) for piece in special] + [(piece, -float(len(piece))) for piece in [*pieces, *of_bytes]]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=byte_fallback))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, "<unk>", special


KINDS = {
    "word pieces": lambda: _word_piece(pre_tokenizers.BertPreTokenizer()),
    "word pieces between blanks": lambda: _word_piece(pre_tokenizers.WhitespaceSplit()),
    "words": _words,
    "bpe": _bpe,
    "bytes": _bytes,
    "unigram": _unigram,
    "unigram with bytes": lambda: _unigram(byte_fallback=True),
}


def tokenizer_of(kind):
    tokenizer, unknown, special = KINDS[kind]()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, additional_special_tokens=special)


TOKENIZERS = {kind: tokenizer_of(kind) for kind in KINDS}
CUTTERS = {kind: TextPieces(tokenizer, split_special=True) for kind, tokenizer in TOKENIZERS.items()}
SPELLINGS = sorted({piece for tokenizer in TOKENIZERS.values() for piece in tokenizer.all_special_tokens})
texts = st.lists(
    st.sampled_from([*SPELLINGS, " ", "a", "bed", "<", "]", "齉", "😀", "e\u0301", "ﬁ", "\x00", "＜s＞", "<<s>s>"])
    | st.text(max_size=3),
    max_size=12,
).map("".join)


def special_among(kind, ids):
    tokenizer = TOKENIZERS[kind]
    return set(ids.tolist()) & (set(tokenizer.all_special_ids) - {CUTTERS[kind].unknown})


@settings(deadline=None, max_examples=150)
@given(text=texts)
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_has_a_special_piece_among_its_own(kind, text):
    ids, offsets = CUTTERS[kind].cut(text)
    assert special_among(kind, ids) == set()
    assert len(ids) == len(offsets)
    starts, ends = offsets[:, 0], offsets[:, 1]
    assert (starts >= 0).all() and (ends <= len(text)).all() and (starts <= ends).all()
    assert (np.diff(starts) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_character_of_a_spelling_is_in_a_piece(kind):
    for piece in TOKENIZERS[kind].all_special_tokens:
        for text in (piece, f"a {piece} bed", f"bed{piece}{piece}a", f"{piece[:2]}{piece}{piece[2:]}"):
            _, offsets = CUTTERS[kind].cut(text)
            seen = {i for start, end in offsets.tolist() for i in range(start, end)}
            assert {i for i, letter in enumerate(text) if letter != " "} <= seen, text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", " ", "a bed", "bad 齉 bed", "a\n<b> [a]"])
def test_a_text_that_spells_none_is_cut_as_the_tokenizer_does(kind, text):
    ids, offsets = CUTTERS[kind].cut(text)
    expected = TOKENIZERS[kind](text, add_special_tokens=False, return_offsets_mapping=True)
    assert ids.tolist() == expected["input_ids"]
    assert offsets.tolist() == [list(pair) for pair in expected["offset_mapping"]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_own_reading_can_be_had(kind):
    tokenizer = tokenizer_of(kind)
    piece = tokenizer.all_special_tokens[-1]
    own = TextPieces(tokenizer, split_special=False)
    text = f"a {piece} bed"
    assert own.cut(text)[0].tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids(piece) in own.cut(text)[0]


def test_the_pieces_of_a_spelling_are_those_of_its_letters():
    def pieces(kind, text):
        return TOKENIZERS[kind].convert_ids_to_tokens(CUTTERS[kind].cut(text)[0])

    assert pieces("word pieces", "a [SEP]") == ["a", "[", "S", "##E", "##P", "]"]
    assert pieces("bpe", "a</s>ab") == ["a", "<", "/", "s", ">", "ab"]
    assert pieces("bytes", "<mask>") == list("<mask>")
    assert pieces("unigram", "a </s> be") == ["▁a", "▁", "▁", "<", "▁", "/", "s", ">", "▁", "be"]


def test_the_spelling_of_the_unknown_piece_is_no_unknown_word():
    for kind in ("bpe", "unigram"):
        ids, _ = CUTTERS[kind].cut("<unk>")
        assert CUTTERS[kind].unknown not in ids


def test_pieces_that_were_added_and_are_not_special_stay():
    tokenizer = tokenizer_of("unigram")
    tokenizer.add_tokens(["[PERSON]"])
    ids, offsets = TextPieces(tokenizer, split_special=True).cut("a [PERSON] bed")
    assert tokenizer.convert_tokens_to_ids("[PERSON]") in ids
    assert [2, 10] in offsets.tolist()


def test_a_special_piece_of_one_letter_is_that_letter():
    tokenizer = tokenizer_of("bpe")
    tokenizer.add_special_tokens({"pad_token": AddedToken("a", special=True)})
    ids, _ = TextPieces(tokenizer, split_special=True).cut("a bed")
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "b", "e", "d"]


def test_the_files_of_the_tokenizer_do_not_change(tmp_path):
    def files(folder):
        return {file.name: file.read_text(encoding="utf8") for file in folder.iterdir()}

    tokenizer = tokenizer_of("unigram")
    tokenizer.save_pretrained(tmp_path / "before")
    TextPieces(tokenizer, split_special=True).cut("a </s>")
    tokenizer.save_pretrained(tmp_path / "after")
    assert files(tmp_path / "before") == files(tmp_path / "after")


def _statuses(kind, words, gap=" "):
    # Statuses of words, which stand with a gap between them.
    text = gap.join(words)
    ends = np.cumsum([len(word) + len(gap) for word in words]) - len(gap)
    starts = ends - [len(word) for word in words]
    ids, offsets = CUTTERS[kind].cut(text)
    found = CUTTERS[kind].statuses(ids, align_pieces(offsets[:, 0], offsets[:, 1], starts, ends))
    return [OK] * len(words) if found is None else found.tolist()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("word pieces", [UNKNOWN, OK, UNKNOWN, UNKNOWN, OK]),
        ("word pieces between blanks", [UNKNOWN, OK, UNKNOWN, UNKNOWN, OK]),
        ("words", [UNKNOWN, OK, UNKNOWN, UNKNOWN, OK]),
        ("bpe", [UNKNOWN, OK, UNKNOWN, OK, OK]),
        ("bytes", [OK, OK, OK, OK, OK]),
        ("unigram", [UNKNOWN, OK, UNKNOWN, OK, OK]),
        ("unigram with bytes", [OK, OK, OK, OK, OK]),
    ],
)
def test_unknown_is_what_has_nothing_but_unknown_pieces(kind, expected):
    # Of "a齉" a WordPiece vocabulary knows nothing and the others know a letter.
    assert _statuses(kind, ["齉", "bed", "😀", "a齉", "a"]) == expected


def test_one_unknown_piece_may_be_all_that_there_is_of_several_tokens():
    assert _statuses("unigram", ["a", "齉", "靐", "be"], gap="") == [OK, UNKNOWN, UNKNOWN, OK]
    assert _statuses("word pieces", ["be", "😀"], gap="") == [UNKNOWN, UNKNOWN]


def test_a_word_too_long_for_a_word_piece_vocabulary_is_unknown():
    assert _statuses("word pieces", ["a" * 100, "a" * 101]) == [OK, UNKNOWN]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_unknown_where_no_unknown_piece_is(kind):
    ids, offsets = CUTTERS[kind].cut("a bed" if kind != "words" else "a a")
    pairs = align_pieces(offsets[:, 0], offsets[:, 1], np.array([0]), np.array([1]))
    assert CUTTERS[kind].statuses(ids, pairs) is None
