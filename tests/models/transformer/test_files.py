"""models/transformer/files.py: whatever is wrong with a model's folder or settings is one of our own errors.

Here too: models/transformer/refusals.py.
"""

from __future__ import annotations

import json
import shutil

import pytest
import transformers

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.files import read_transformer
from tests.models.transformer.tiny_transformers import SIZES, change, small

# What the transformers of today says; of old, other words, and some of it is passed over.
TODAY = int(transformers.__version__.split(".")[0]) >= 5
only_today = pytest.mark.skipif(not TODAY, reason="passed over by transformers 4")


@pytest.fixture
def folder(tiny_bert, tmp_path):
    return shutil.copytree(tiny_bert, tmp_path / "model")


def _refused(folder, tokenizer_config=None, transformer_config=None):
    with pytest.raises(ModelFormatError) as caught:
        read_transformer(folder, tokenizer_config or {}, transformer_config or {})
    message = str(caught.value)
    assert message.startswith(("[CE012] ", "[CE013] "))
    assert str(folder) in message
    assert "Accepted: " in message
    assert "Fix: " in message
    return message


def test_a_whole_model_is_read(folder):
    model, tokenizer = read_transformer(folder, {}, {"hidden_dropout_prob": 0.5})
    assert not model.training
    assert model.config.hidden_dropout_prob == 0.5
    assert tokenizer.is_fast


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"\x00" * 100])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_broken_json_is_named(name, content, folder):
    (folder / name).write_bytes(content)
    assert f"its {name} is not a JSON object" in _refused(folder)


@pytest.mark.parametrize("content", ["{", "[]"])
@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_broken_json_of_a_tokenizer_of_old_is_named(name, content, tmp_path):
    small("bert").save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    (tmp_path / name).write_text(content)
    assert f"its {name} is not a JSON object" in _refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"version": "1.0", "added_tokens": [], "model": {"type": "Nothing"}},
        {"version": "1.0", "added_tokens": [], "model": {"type": "WordPiece", "vocab": {}}},
        {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}},
        {"version": "1.0", "added_tokens": [], "model": {"type": "Unigram", "vocab": [], "unk_id": 3}},
        {"version": "1.0", "added_tokens": 3, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}},
        {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
            "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        },
    ],
)
def test_a_tokenizer_json_of_something_else_is_refused(content, folder):
    (folder / "tokenizer.json").write_text(json.dumps(content))
    _refused(folder)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model_type": "no-such-type"}, "no-such-type"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": 7}, "model type `7`"),
        ({"model_type": "rag"}, "RagConfig"),  # transformers knows it, AutoModel does not
        ({"model_type": "timm_wrapper"}, "timm"),
        ({"hidden_size": 24}, "other shapes"),
        ({"vocab_size": 10**12}, "other shapes"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_attention_heads": 3}, "multiple of the number of attention heads"),
        ({"num_hidden_layers": 3}, "weight tensors"),
        ({"hidden_act": "no-such-function"}, "no-such-function"),
        pytest.param({"dtype": "no-such-type"}, "no-such-type", marks=only_today),
        ({"_attn_implementation": "no-such-way"}, "no-such-way"),
        ({"auto_map": 3}, ""),
        pytest.param({"auto_map": {"AutoConfig": 3}}, "", marks=only_today),
    ],
)
def test_a_config_json_that_does_not_fit_is_refused(values, says, folder):
    change(folder / "config.json", **values)
    assert says in _refused(folder) or not TODAY


@pytest.mark.parametrize(
    ("tokenizer_config", "transformer_config", "says"),
    [
        ({}, {"no_such_argument": 1}, "no_such_argument"),
        ({}, {"dtype": "no-such-type"}, "no-such-type"),
        ({}, {"torch_dtype": "float99"}, "float99"),
        ({}, {"dtype": 7}, "received 7"),
        ({}, {"attn_implementation": "no-such-way"}, "no-such-way"),
        ({}, {"subfolder": "inside"}, "no config.json"),
        ({}, {"variant": "fp16"}, "model.fp16.safetensors"),
        ({}, {"use_safetensors": False}, "pytorch_model.bin"),
        ({}, {"gguf_file": "model.gguf"}, "model.gguf"),
        ({}, {"state_dict": {}}, "state_dict"),
        ({}, {"hidden_size": 8}, "other shapes"),
        ({}, {"pretrained_model_name_or_path": "x"}, "pretrained_model_name_or_path"),
        ({}, {"num_hidden_layers": "two"}, "num_hidden_layers"),
        ({"tokenizer_type": "no-such-type"}, {}, "no-such-type"),
        pytest.param({"config": {"a": 1}}, {}, "config", marks=only_today),
        ({"truncation_side": "up"}, {}, "up"),
        ({"unk_token": 5}, {}, "unk_token"),
        ({"additional_special_tokens": 3}, {}, "additional_special_tokens"),
        ({"model_max_length": "x"}, {}, "model_max_length"),
        ({"pretrained_model_name_or_path": "x"}, {}, "pretrained_model_name_or_path"),
    ],
)
def test_a_setting_that_transformers_refuses_is_named_with_its_key(tokenizer_config, transformer_config, says, folder):
    assert says in _refused(folder, tokenizer_config, transformer_config) or not TODAY


def test_a_setting_is_quoted_but_for_what_is_secret(folder):
    message = _refused(folder, {}, {"no_such_argument": 1, "token": "hf_secret"})
    assert "change transformer_config = {'no_such_argument': 1, 'token': '…'} in the config" in message


def test_what_is_to_be_trusted_is_true_or_false(folder):
    for key, settings in (
        ("tokenizer_config", ({"trust_remote_code": "yes"}, {})),
        ("transformer_config", ({}, {"trust_remote_code": 1})),
    ):
        with pytest.raises(ValueError, match=rf"\[CE001\].*{key}.trust_remote_code.*Accepted: true, false"):
            read_transformer(folder, *settings)


@pytest.mark.parametrize("kind", ["rag", "vit", "wav2vec2", "encodec"])
def test_a_model_of_another_kind_is_one_of_our_errors(kind, folder):
    change(folder / "config.json", model_type=kind)
    _refused(folder)


def test_a_panic_of_the_tokenizers_library_is_refused_and_an_interrupt_is_not(folder, monkeypatch):
    from transformers import AutoTokenizer

    class PanicException(BaseException):
        pass

    for raised, expected in (
        (PanicException("index out of bounds"), ModelFormatError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def fail(*args, raised=raised, **settings):
            raise raised

        monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)
        with pytest.raises(expected):
            read_transformer(folder, {}, {})


def _sharded(folder):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    return sorted(file.name for file in folder.glob("model-*.safetensors"))


def test_weights_in_shards_are_read(folder):
    assert len(_sharded(folder)) > 2
    read_transformer(folder, {}, {})


def test_a_missing_shard_is_named(folder):
    shards = _sharded(folder)
    (folder / shards[1]).unlink()
    message = _refused(folder)
    assert f"it has no {shards[1]}, a part of the weights that model.safetensors.index.json names" in message


def test_a_missing_shard_of_pickled_weights_is_named(folder):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert "it has no pytorch_model-00001-of-00001.bin" in _refused(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"weight_map": {"a": "b.safetensors"}}'])
def test_an_index_that_is_none_is_refused(content, folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_bytes(content)
    _refused(folder)


@pytest.mark.parametrize("content", [b"", b"\x08", b"\x00" * 8, b"PK\x03\x04", b"{}" * 50])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_of_something_else_are_refused(name, content, folder):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    _refused(folder)


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    (folder / "tf_model.h5").write_bytes(b"x")
    assert "it has no weights (model.safetensors, or pytorch_model.bin)" in _refused(folder)


def test_sizes_are_those_of_types_that_transformers_knows():
    from transformers import CONFIG_MAPPING

    assert set(SIZES) <= set(CONFIG_MAPPING.keys())
