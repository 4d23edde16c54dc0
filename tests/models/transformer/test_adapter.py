"""models/transformer/adapter.py: files of an adapter that are missing or broken, and where they are fetched from.

What an adapter does to a model is in tests/encoders/bert/test_adapter.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.adapter import adapter_config
from tests.adapters import REASON, write_adapter
from tests.models.fake_hub import serve
from tests.small_transformers import write_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason=REASON)
    root = tmp_path_factory.mktemp("adapters")
    write_model(root / "base", "bert")
    write_adapter(root / "lora", root / "base")
    return root


def _open(folders: Path, adapter: Path) -> None:
    make_bert_v1(name=str(folders / "base"), adapter=str(adapter)).initialize()


def test_settings_are_read_without_peft(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert adapter_config(tmp_path) == {"peft_type": "LORA"}


@pytest.mark.parametrize(
    ("files", "reason", "fix"),
    [
        ({}, "no adapter_config.json", "set 'adapter'"),
        ({"config.json": "{}"}, "no adapter_config.json", "set 'name' to it"),
        ({"adapter_config.json": "{"}, "no JSON object with a 'peft_type'", "again"),
        ({"adapter_config.json": "[]"}, "no JSON object with a 'peft_type'", "again"),
        ({"adapter_config.json": '{"r": 8}'}, "no JSON object with a 'peft_type'", "again"),
    ],
)
def test_a_folder_that_is_no_adapter_says_what_it_lacks(files, reason, fix, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(
        ModelFormatError, match=rf"CE012.*{reason}.*Accepted: .*PeftModel.save_pretrained.*Fix: .*{fix}"
    ):
        adapter_config(tmp_path)


def test_missing_cut_off_and_infinite_weights(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(folders / "lora", tmp_path / "lora"))
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    save_file({**tensors, name: tensors[name] * float("nan")}, weights)
    with pytest.raises(ModelFormatError, match=f"CE013.*{name}.*not finite"):
        _open(folders, folder)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelFormatError, match="CE012.*Fix: download or save the adapter again"):
        _open(folders, folder)
    weights.unlink()
    with pytest.raises(ModelFormatError, match="CE012.*it has no adapter_model.safetensors"):
        _open(folders, folder)


def test_weights_of_old_are_read_as_data(folders, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(folders / "lora", tmp_path / "lora"))
    tensors = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    _open(folders, folder)
    torch.save({**tensors, "evil": _Evil()}, folder / "adapter_model.bin")
    with pytest.raises(ModelFormatError, match="CE012"):
        _open(folders, folder)
    assert not _Evil.ran


class _Evil:
    ran = False

    def __reduce__(self):
        return (setattr, (_Evil, "ran", True))


def test_an_adapter_as_the_name_says_which_key_it_belongs_to(folders):
    with pytest.raises(ModelFormatError, match="CE012.*Fix: set 'adapter' to this folder, and 'name' to the model"):
        make_bert_v1(name=str(folders / "lora")).initialize()


SCRIPT = """
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
for adapter in ("me/lora", "hub:me/lora"):
    make_bert_v1(name={name!r}, adapter=adapter).initialize()
"""


def test_from_the_hub_come_its_two_files_and_no_code(folders, tmp_path):
    shutil.copytree(folders / "lora", tmp_path / "hub" / "me" / "lora")
    (tmp_path / "hub" / "me" / "lora" / "evil.py").write_text("raise SystemExit")
    script = SCRIPT.format(name=str(folders / "base"))
    with serve(tmp_path / "hub") as hub:
        assert hub.run(script, tmp_path / "home").returncode == 0
        assert hub.fetched("me/lora") == ["adapter_config.json", "adapter_model.safetensors"]
        assert hub.run(script, tmp_path / "home", offline=True).returncode == 0
