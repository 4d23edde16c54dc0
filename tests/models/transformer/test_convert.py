"""models/transformer/convert.py: slow tokenizers made fast where both cut the same, and refused where they don't."""

from __future__ import annotations

import json

import pytest
import transformers

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.convert import to_fast
from spacy_ctx_embed.models.transformer.files import read_transformer, write_transformer
from tests.models.transformer.tiny_transformers import LINES, sentencepiece_model, small

PIECES = [*"abcdefghijklmnopqrstuvwxyz.,!'", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"), "bank", "the", "##ing"]
TEXT = f"{LINES[0]} {LINES[2]}"


def _vocabulary(folder, special):
    file = folder / "vocab.txt"
    file.write_text("\n".join([*special, *PIECES]))
    return str(file)


def _legacy_bert(folder, **settings):
    if not hasattr(transformers, "BertTokenizerLegacy"):
        pytest.skip("transformers 4 converts its BertTokenizer itself")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return transformers.BertTokenizerLegacy(_vocabulary(folder, special), model_max_length=64, **settings)


def _bert_generation(folder, **settings):
    from transformers import BertGenerationTokenizer

    file = folder / "spiece.model"
    file.write_bytes(sentencepiece_model(pad_id=0, eos_id=1, bos_id=2, unk_id=3, **settings))
    return BertGenerationTokenizer(str(file), model_max_length=64)


@pytest.mark.parametrize("make", [_legacy_bert, _bert_generation])
def test_a_converted_tokenizer_has_the_pieces_and_the_frame_of_the_slow_one(make, tmp_path):
    slow = make(tmp_path)
    fast = to_fast(slow)
    assert fast is not None and fast.is_fast
    for text in (TEXT, "bank", "", "ÜBER  ça\n"):
        assert fast(text)["input_ids"] == slow(text)["input_ids"]
    assert (fast.model_max_length, fast.pad_token_id) == (64, slow.pad_token_id)


@pytest.mark.parametrize("make", [_legacy_bert, _bert_generation])
def test_it_gives_rows_and_is_saved_as_a_fast_one(make, tmp_path):
    slow = make(tmp_path)
    small("bert").save_pretrained(tmp_path)
    slow.save_pretrained(tmp_path)
    model, tokenizer = read_transformer(tmp_path, {}, {})
    assert tokenizer.is_fast
    encoding = tokenizer.backend_tokenizer.encode(TEXT, add_special_tokens=False)
    covered = {i for start, end in encoding.offsets for i in range(start, end)}
    assert {i for i, character in enumerate(TEXT) if character != " "} <= covered
    saved = tmp_path / "saved"
    saved.mkdir()
    write_transformer(saved, model, tokenizer)
    _, again = read_transformer(saved, {}, {})
    assert again(TEXT)["input_ids"] == slow(TEXT)["input_ids"]


def test_a_tokenizer_that_cuts_in_another_way_than_its_kin_is_none(tmp_path):
    slow = _legacy_bert(tmp_path)
    whole = type(slow).tokenize
    slow.tokenize = lambda text, **settings: whole(slow, text.replace("bank", "the"), **settings)
    assert to_fast(slow) is None


def test_what_can_not_be_converted_is_one_error_with_folder_class_and_command(tmp_path):
    small("roberta").save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("a 1\nb 1\n")
    (tmp_path / "bpe.codes").write_text("#version: 0.2\na b 1\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PhobertTokenizer"}))
    with pytest.raises(ModelFormatError) as caught:
        read_transformer(tmp_path, {}, {})
    message = str(caught.value)
    assert "[CE013]" in message and "PhobertTokenizer" in message
    assert f"AutoTokenizer.from_pretrained({str(tmp_path)!r}).save_pretrained({str(tmp_path)!r})" in message


def test_a_byte_model_that_was_taught_words_is_refused(tmp_path):
    small("t5").save_pretrained(tmp_path)
    tokenizer = transformers.ByT5Tokenizer()
    tokenizer.add_tokens(["bank"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelFormatError, match=r"\[CE013\].*ByT5Tokenizer is a slow one"):
        read_transformer(tmp_path, {}, {})
