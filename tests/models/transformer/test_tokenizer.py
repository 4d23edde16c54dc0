"""models/transformer/tokenizer.py: tokenizers as they are published, and what is said of those that can't serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Dict

import pytest
import transformers

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.files import read_transformer, write_transformer
from tests.models.transformer.tiny_transformers import LINES, change, sentencepiece_model, small

# model_type -> the file of its tokenizer, how SentencePiece trains it, what tokenizer_config.json says.
FAMILIES = {
    "deberta-v2": (
        "spm.model",
        {"pad_id": 0, "pad_piece": "[PAD]", "bos_id": 1, "bos_piece": "[CLS]", "eos_id": 2, "eos_piece": "[SEP]"}
        | {"unk_id": 3, "unk_piece": "[UNK]"},
        {"do_lower_case": False, "vocab_type": "spm"},
    ),
    "t5": ("spiece.model", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}, {}),
    "xlm-roberta": ("sentencepiece.bpe.model", {}, {}),
    "camembert": ("sentencepiece.bpe.model", {}, {}),
    "albert": (
        "spiece.model",
        {"pad_id": 0, "unk_id": 1, "bos_id": 2, "bos_piece": "[CLS]", "eos_id": 3, "eos_piece": "[SEP]"}
        | {"user_defined_symbols": "[MASK]"},
        {"do_lower_case": False},
    ),
    "xlnet": ("spiece.model", {"user_defined_symbols": "<cls>,<sep>,<pad>,<mask>,<eod>,<eop>"}, {}),
    "rembert": (
        "sentencepiece.model",
        {"pad_id": 0, "unk_id": 1, "bos_id": 2, "bos_piece": "[CLS]", "eos_id": 3, "eos_piece": "[SEP]"},
        {},
    ),
    "llama": (
        "tokenizer.model",
        {"model_type": "bpe", "byte_fallback": True, "vocab_size": 500, "normalization_rule_name": "identity"},
        {"tokenizer_class": "LlamaTokenizer"},
    ),
    "gemma": (
        "tokenizer.model",
        {"model_type": "bpe", "byte_fallback": True, "vocab_size": 500, "normalization_rule_name": "identity"}
        | {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "add_dummy_prefix": False},
        {"tokenizer_class": "GemmaTokenizer"},
    ),
}
TEXT = f"{LINES[0]} {LINES[2]}"


def published(kind, folder):
    """Write a model with a SentencePiece file and no tokenizer.json, as many are on the Hub."""
    file, training, settings = FAMILIES[kind]
    small(kind).save_pretrained(folder)
    (folder / file).write_bytes(sentencepiece_model(**training))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def deberta(tmp_path_factory):
    return published("deberta-v2", tmp_path_factory.mktemp("deberta"))


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_sentencepiece_tokenizer_loads_with_the_pieces_and_offsets_of_sentencepiece(kind, tmp_path):
    from sentencepiece import SentencePieceProcessor

    folder = published(kind, tmp_path)
    _, tokenizer = read_transformer(folder, {}, {})
    encoding = tokenizer.backend_tokenizer.encode(TEXT, add_special_tokens=False)
    reference = SentencePieceProcessor(model_file=str(folder / FAMILIES[kind][0]))
    assert encoding.tokens == reference.encode(TEXT, out_type=str)
    for piece, (start, end) in zip(encoding.tokens, encoding.offsets):
        letters = piece.lstrip("▁")
        assert TEXT[start:end].lstrip() == letters or not letters
    assert "".join(TEXT[i] for start, end in encoding.offsets for i in range(start, end)).replace(" ", "")


def test_deberta_as_published_gives_rows_in_a_pipeline_and_is_saved_whole(deberta, tmp_path):
    import numpy as np
    import spacy

    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(deberta)}
    nlp.add_pipe("bert_embeddings", config={"model": model})
    doc = nlp(TEXT)
    assert all(token._.has_vector for token in doc)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)(TEXT)
    np.testing.assert_allclose(again[5]._.vector, doc[5]._.vector, atol=1e-6)


def test_a_tokenizer_that_was_saved_cuts_as_before(deberta, tmp_path):
    model, tokenizer = read_transformer(deberta, {}, {})
    write_transformer(tmp_path, model, tokenizer)
    _, again = read_transformer(tmp_path, {}, {})
    for text in (TEXT, "Gipfeln  ist\n[MASK] ruh"):
        one, other = (t.backend_tokenizer.encode(text) for t in (tokenizer, again))
        assert (one.ids, one.offsets) == (other.ids, other.offsets)


@pytest.fixture(scope="module")
def errors(deberta, tmp_path_factory) -> Dict[str, str]:
    """What is printed where packages are missing, by their names."""
    llama = tmp_path_factory.mktemp("llama")
    small("llama").save_pretrained(llama)
    (llama / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\nIw== 2\n")
    cases = [
        ("sentencepiece", deberta),
        ("google.protobuf", deberta),
        ("sentencepiece google.protobuf", deberta),
        ("sentencepiece.sentencepiece_model_pb2", deberta),
        ("tiktoken", llama),
    ]
    # One process imports what takes long, and each case is a fork of it.
    script = (
        "import os, sys, json, torch, transformers.modeling_utils\n"
        "from pathlib import Path\n"
        "from spacy_ctx_embed.errors import ModelFormatError\n"
        "from spacy_ctx_embed.models.transformer.files import read_transformer\n"
        "for modules, folder in json.loads(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        sys.modules.update(dict.fromkeys(modules.split()))\n"
        "        try: read_transformer(Path(folder), {}, {})\n"
        "        except ModelFormatError as error: print(json.dumps([modules, str(error)]), flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    given = json.dumps([[modules, str(folder)] for modules, folder in cases])
    done = subprocess.run([sys.executable, "-c", script, given], capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(
    ("modules", "packages"),
    [
        ("sentencepiece", "sentencepiece"),
        ("google.protobuf", "protobuf"),
        ("sentencepiece google.protobuf", "sentencepiece protobuf"),
    ],
)
def test_packages_that_are_missing_are_named_with_the_command(modules, packages, errors):
    assert "[CE012]" in errors[modules]
    assert f"Fix: pip install {packages}." in errors[modules]
    assert "spm.model, is one of SentencePiece" in errors[modules]
    assert "tiktoken" not in errors[modules]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_packages_that_do_not_go_together_are_named_with_the_command(errors):
    error = errors["sentencepiece.sentencepiece_model_pb2"]
    assert "don't go together" in error
    assert "Fix: pip install --upgrade sentencepiece protobuf." in error


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_tiktoken_file_asks_for_tiktoken(errors):
    assert "tokenizer.model, is one of tiktoken" in errors["tiktoken"]
    assert "Fix: pip install tiktoken." in errors["tiktoken"]


@pytest.mark.parametrize("content", [b"", b"\n\x0e\n\x05<unk>\x15", b"no model at all"])
def test_a_damaged_sentencepiece_file_is_named(content, deberta, tmp_path):
    folder = shutil.copytree(deberta, tmp_path / "model")
    (folder / "spm.model").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"\[CE012\].* spm.model, is damaged|no word pieces") as caught:
        read_transformer(folder, {}, {})
    assert "tiktoken" not in str(caught.value)


@pytest.mark.usefixtures("unicode_once")
@pytest.mark.parametrize(("kind", "name"), [("canine", "CanineTokenizer"), ("t5", "ByT5Tokenizer")])
def test_a_tokenizer_of_characters_needs_no_file(kind, name, tmp_path):
    small(kind).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    model, tokenizer = read_transformer(tmp_path, {}, {})
    assert type(tokenizer).__name__ == name
    again = tmp_path / "again"
    again.mkdir()
    write_transformer(again, model, tokenizer)
    _, saved = read_transformer(again, {}, {})
    assert saved(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]


@pytest.mark.parametrize(
    ("name", "files"),
    [("BertweetTokenizer", ["vocab.txt"]), ("PhobertTokenizer", []), ("BertJapaneseTokenizer", ["vocab.txt"])],
)
def test_a_family_without_a_fast_tokenizer_is_called_slow_whatever_it_lacks(name, files, tmp_path):
    small("roberta").save_pretrained(tmp_path)
    for file in files:
        (tmp_path / file).write_text("a 1\nb 1\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    with pytest.raises(ModelFormatError, match=rf"\[CE013\].*the tokenizer {name} is a slow one"):
        read_transformer(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        ({}, r"no tokenizer file \(tokenizer.json\)"),
        ({"vocab.json": '{"<unk>": 0, "a": 1}'}, "no merges.txt, which goes with vocab.json"),
        ({"merges.txt": "#version: 0.2\na b\n"}, "no vocab.json, which goes with merges.txt"),
        ({"tokenizer_config.json": '{"tokenizer_class": "RobertaTokenizer"}'}, "no tokenizer file"),
    ],
)
def test_a_tokenizer_that_is_not_there_is_called_missing(files, lacks, tmp_path):
    small("roberta").save_pretrained(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelFormatError, match=rf"\[CE012\].*it has {lacks}"):
        read_transformer(tmp_path, {}, {})


def test_an_empty_vocabulary_is_refused(tmp_path):
    small("bert").save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("")
    with pytest.raises(ModelFormatError, match=r"\[CE012\].*no word pieces in its tokenizer file"):
        read_transformer(tmp_path, {}, {})


def test_a_family_that_transformers_does_not_tell_is_named_by_the_user(tmp_path):
    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip("transformers 4 knows the tokenizer of that family")
    small("xlm-roberta-xl").save_pretrained(tmp_path)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(sentencepiece_model())
    with pytest.raises(ModelFormatError, match=r"sentencepiece.bpe.model.*Fix: .*tokenizer_type"):
        read_transformer(tmp_path, {}, {})
    _, tokenizer = read_transformer(tmp_path, {"tokenizer_type": "xlm-roberta"}, {})
    assert tokenizer.backend_tokenizer.encode("bank", add_special_tokens=False).offsets[-1][1] == 4


def test_a_length_that_is_no_number_is_refused(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    change(folder / "tokenizer_config.json", model_max_length="long")
    with pytest.raises(ModelFormatError, match=r"\[CE012\].*model_max_length of its tokenizer is 'long'.*Fix: "):
        read_transformer(folder, {}, {})
