"""models/identity.py: what counts of a model and an adapter, in the hub cache and elsewhere."""

from __future__ import annotations

import json

import pytest

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.models.identity import checksum_of_adapter, checksum_of_transformer

TRUST = {"trust_remote_code": True}
FILES = ["config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"]
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
SHARDS = ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]
OTHERS = ["README.md", "onnx/model.onnx", "tf_model.h5", "LICENSE"]


@pytest.fixture
def snapshot(tmp_path):
    folder = tmp_path / "models--org--model" / "snapshots" / "0123"
    folder.mkdir(parents=True)
    return folder


def _write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"name": name}))


def _of(folder, transformer_config=None):
    return checksum_of_transformer(folder, {}, transformer_config or {})


@pytest.mark.parametrize("weights", [[SAFE], [PICKLED], SHARDS], ids=str)
def test_what_other_tools_fetch_into_the_hub_cache_does_not_count(weights, snapshot):
    _write(snapshot, *FILES, *weights)
    before = _of(snapshot)
    assert before == checksum(snapshot)  # as it was when all files counted
    _write(snapshot, *OTHERS, "modeling.py", *([PICKLED] if weights == [SAFE] else []))
    assert _of(snapshot) == before
    for name in (*FILES, *weights):
        content = (snapshot / name).read_text()
        (snapshot / name).write_text(content.replace("}", ', "more": 1}'))
        assert _of(snapshot) != before
        (snapshot / name).write_text(content)
    assert _of(snapshot) == before


def test_pickled_weights_of_a_layer_count_where_it_has_no_others(snapshot):
    _write(snapshot, *FILES, SAFE, "2_Dense/config.json", "2_Dense/pytorch_model.bin")
    modules = [{"path": "", "type": "x.Transformer"}, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    (snapshot / "modules.json").write_text(json.dumps(modules))
    before = _of(snapshot)
    assert before == checksum(snapshot)
    (snapshot / "2_Dense" / "pytorch_model.bin").write_text("other")
    assert _of(snapshot) != before


def test_code_counts_where_it_is_trusted(snapshot):
    _write(snapshot, *FILES, SAFE, "modeling.py")
    assert _of(snapshot, TRUST) == checksum(snapshot)
    assert _of(snapshot) != checksum(snapshot)


def test_all_counts_where_a_setting_leads_to_other_files(snapshot):
    _write(snapshot, *FILES, SAFE, "model.gguf")
    assert _of(snapshot, {"gguf_file": "model.gguf"}) == checksum(snapshot)
    assert _of(snapshot, {"gguf_file": None}) != checksum(snapshot)


def test_all_counts_in_a_folder_of_ones_own(tmp_path):
    _write(tmp_path, *FILES, SAFE, *OTHERS, "adapter_config.json")
    assert _of(tmp_path) == checksum_of_adapter(tmp_path) == checksum(tmp_path)


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin"])
def test_of_an_adapter_only_its_two_files_count_in_the_hub_cache(weights, snapshot):
    _write(snapshot, "adapter_config.json", weights)
    before = checksum_of_adapter(snapshot)
    assert before == checksum(snapshot)
    _write(snapshot, *OTHERS, *FILES)
    assert checksum_of_adapter(snapshot) == before
    (snapshot / weights).write_text("other")
    assert checksum_of_adapter(snapshot) != before


def test_what_is_gone_is_named(snapshot):
    snapshot.rmdir()
    for of in (_of, checksum_of_adapter):
        with pytest.raises(ModelFormatError, match=r"\[CE012\].*0123: it is not there any more"):
            of(snapshot)
