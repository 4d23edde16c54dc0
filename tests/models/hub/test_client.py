"""models/hub/client.py against a stand-in hub on 127.0.0.1; its client runs in a process of its own.

Here too: models/transformer/fetch.py.
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.models.fake_hub import COMMIT, serve
from tests.models.transformer.tiny_transformers import change, write_code, write_own_code
from tests.writers.sentence import dense, write_sentence_model

FIND = """
from spacy_ctx_embed.errors import ModelNotFoundError
from spacy_ctx_embed.models.places import find_model
try:
    print("FOUND", find_model({kind!r}, {name!r}, owner="here", own_code={own_code}).path)
except ModelNotFoundError as error:
    print("ERROR", error)
"""
OPEN = """
from spacy_ctx_embed.models.places import find_model
from spacy_ctx_embed.models.transformer.code import trusts_code
from spacy_ctx_embed.models.transformer.files import read_transformer
for name, settings in {models!r}:
    try:
        found = find_model("bert", name, owner="here", own_code=trusts_code(None, settings))
        model, tokenizer = read_transformer(found.path, {{}}, settings)
        print("READ", type(model).__name__)
    except ValueError as error:
        print("ERROR", " ".join(str(error).split()))
"""
TRUST = {"trust_remote_code": True}


@pytest.fixture
def hub(tmp_path):
    (tmp_path / "repositories" / "org").mkdir(parents=True)
    with serve(tmp_path / "repositories") as served:
        yield served


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def _find(hub, home, name, *, kind="bert", own_code=False, offline=False):
    done = hub.run(FIND.format(kind=kind, name=name, own_code=own_code), home, offline=offline)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _open(hub, home, *models, offline=False):
    # A line for each name, or name and transformer_config. "yes" is what would answer a question on the terminal.
    pairs = [model if isinstance(model, tuple) else (model, {}) for model in models]
    done = hub.run(OPEN.format(models=pairs), home, offline=offline, answer="yes\n" * len(pairs))
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("READ", "ERROR"))]


def _snapshot(home, repository="org/model"):
    return home / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots" / COMMIT


def test_code_is_fetched_only_where_it_is_trusted(hub, home):
    write_own_code(hub.root / "org" / "model")
    assert "FOUND" in _find(hub, home, "org/model")
    assert not [name for name in hub.fetched("org/model") if name.endswith(".py")]
    assert "FOUND" in _find(hub, home, "org/model", own_code=True)
    assert [name for name in hub.fetched("org/model") if name.endswith(".py")] == ["modeling_tiny.py", "tiny_layers.py"]


def test_code_is_refused_once_and_run_where_it_is_trusted_also_from_another_repository(hub, home):
    write_own_code(hub.root / "org" / "model")
    write_own_code(hub.root / "org" / "borrows", code="other/code")
    write_code(hub.root / "other" / "code")
    (hub.root / "other" / "code" / "model.safetensors").write_bytes(b"x")
    own, borrowed, *read = _open(hub, home, "org/model", "org/borrows", ("org/model", TRUST), ("org/borrows", TRUST))
    assert own.startswith("ERROR [CE018]")
    assert 'transformer_config = {"trust_remote_code": true} under [components.NAME.model]' in own
    assert borrowed.startswith("ERROR [CE018]")
    assert "modeling_tiny.py of the repository other/code" in borrowed
    assert read == ["READ TinyModel"] * 2
    assert hub.fetched("other/code") == ["modeling_tiny.py", "tiny_layers.py"]
    assert _open(hub, home, ("org/model", TRUST), ("org/borrows", TRUST), offline=True) == read


def test_pickled_weights_are_fetched_from_the_folder_of_the_transformer(hub, home):
    root = hub.root / "org" / "model"
    (root / "0_BERT").mkdir(parents=True)
    (root / "2_Dense").mkdir()
    change(root / "0_BERT" / "config.json", model_type="bert")
    (root / "0_BERT" / "pytorch_model.bin").write_bytes(b"0")
    (root / "2_Dense" / "model.safetensors").write_bytes(b"2")  # no weights of the transformer
    (root / "pytorch_model.bin").write_bytes(b"other")
    (root / "modules.json").write_text(json.dumps([{"path": "0_BERT", "type": "sentence_transformers.models.BERT"}]))
    assert "FOUND" in _find(hub, home, "org/model")
    assert "0_BERT/pytorch_model.bin" in hub.fetched("org/model")
    assert "pytorch_model.bin" not in hub.fetched("org/model")


def test_pickled_weights_of_a_dense_layer_are_fetched_where_it_has_no_others(hub, home, tiny_bert):
    layers = [{"type": "Pooling"}, dense(16, 4), dense(4, 3)]
    layers[1]["weights"] = {"pickled": layers[1]["weights"]}
    root = write_sentence_model(hub.root / "org" / "model", tiny_bert, layers)
    (root / "3_Dense" / "pytorch_model.bin").write_bytes(b"x")
    assert "FOUND" in _find(hub, home, "org/model")
    assert {"2_Dense/pytorch_model.bin", "3_Dense/model.safetensors"} <= set(hub.fetched("org/model"))
    assert "3_Dense/pytorch_model.bin" not in hub.fetched("org/model")


def test_pickled_weights_stay_where_there_are_others(hub, home, tiny_bert):
    shutil.copytree(tiny_bert, hub.root / "org" / "model")
    (hub.root / "org" / "model" / "pytorch_model.bin").write_bytes(b"x")
    (hub.root / "org" / "model" / "tf_model.h5").write_bytes(b"x")
    assert "FOUND" in _find(hub, home, "org/model")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.fetched("org/model"))
    assert not {"pytorch_model.bin", "tf_model.h5"} & set(hub.fetched("org/model"))


def test_pickled_weights_in_shards_are_fetched_and_read(hub, home, tiny_bert):
    import torch
    from safetensors.torch import load_file

    root = shutil.copytree(tiny_bert, hub.root / "org" / "model")
    tensors = load_file(root / "model.safetensors")
    (root / "model.safetensors").unlink()
    shards = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    places = {name: shards[i % 2] for i, name in enumerate(tensors)}
    for shard in shards:
        torch.save({name: tensors[name].clone() for name in tensors if places[name] == shard}, root / shard)
    (root / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert _open(hub, home, "org/model") == ["READ BertModel"]
    assert set(shards) <= set(hub.fetched("org/model"))
    assert _open(hub, home, "org/model", offline=True) == ["READ BertModel"]


def test_a_shard_that_no_repository_has_is_named(hub, home, tiny_bert):
    root = shutil.copytree(tiny_bert, hub.root / "org" / "model")
    (root / "model.safetensors").unlink()
    (root / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}')
    (said,) = _open(hub, home, "org/model")
    assert said.startswith("ERROR [CE012]")
    assert "it has no pytorch_model-00001-of-00001.bin" in said


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not_listed"])
def test_what_a_half_filled_cache_lacks_is_named_with_hf_hub_offline(listed, hub, home, tiny_bert):
    from transformers import AutoModel

    lacks = ["tokenizer.json", "model.safetensors", "config.json"]
    for i in range(3):
        shutil.copytree(tiny_bert, hub.root / "org" / f"model-{i}")
    sharded = shutil.copytree(tiny_bert, hub.root / "org" / "model-3")
    (sharded / "model.safetensors").unlink()
    AutoModel.from_pretrained(tiny_bert).save_pretrained(sharded, max_shard_size="10KB")
    lacks.append(sorted(file.name for file in sharded.glob("model-*.safetensors"))[1])
    write_own_code(hub.root / "org" / "model-4")
    lacks.append("modeling_tiny.py")
    for i, name in enumerate(lacks):
        assert "FOUND" in _find(hub, home, f"org/model-{i}")
        (_snapshot(home, f"org/model-{i}") / name).unlink(missing_ok=True)  # code was not fetched
        if not listed:  # before version 2 the hub client kept no list of what a repository has
            shutil.rmtree(home / "hub" / f"models--org--model-{i}" / "trees", ignore_errors=True)
    asked = len(hub.asked)
    said = _open(hub, home, *((f"org/model-{i}", TRUST if i == 4 else {}) for i in range(5)), offline=True)
    assert len(said) == 5
    for name, line in zip(lacks, said):
        assert line.startswith("ERROR [CE012]")
        assert name in line.split("Accepted")[0]
        assert "HF_HUB_OFFLINE is set" in line
        assert "Fix: unset HF_HUB_OFFLINE" in line
    assert len(hub.asked) == asked


def test_what_is_missing_and_not_needed_stops_nobody_offline(hub, home, tiny_bert):
    shutil.copytree(tiny_bert, hub.root / "org" / "model")
    change(hub.root / "org" / "model" / "generation_config.json", a=1)
    _find(hub, home, "org/model")
    (_snapshot(home) / "generation_config.json").unlink()
    assert "FOUND" in _find(hub, home, "org/model", offline=True)


def test_a_table_that_is_not_all_there_is_named_offline(hub, home):
    (hub.root / "org" / "model").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (hub.root / "org" / "model" / name).write_bytes(b"{}")
    assert "FOUND" in _find(hub, home, "hub:org/model", kind="static")
    if not (home / "hub" / "models--org--model" / "trees").is_dir():
        pytest.skip("this hub client keeps no list of what a repository has")
    (_snapshot(home) / "tokenizer.json").unlink()
    said = _find(hub, home, "hub:org/model", kind="static", offline=True)
    assert "tokenizer.json" in said
    assert "HF_HUB_OFFLINE is set" in said


ALIGNED = ["options.json", "de_weights.hdf5", "de_best_mapping.pth"]
MANY_LANGS = ["config.json", "char.dic", "word.dic", "token_embedder.pkl", "encoder.pkl"]
TF_HUB = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("bert", ["config.json", "model.safetensors", "qwen.tiktoken"]),
        ("elmo", ALIGNED),
        ("elmo", ["options.json", "weights.hdf5", "vocab.txt.gz"]),
        ("elmo", ["options.json", "weights.safetensors", "words.json"]),
        ("elmo", ["config.json", "weights.th"]),
        ("elmo", MANY_LANGS),
        ("elmo", TF_HUB),
        ("elmo", ["options.json", "checkpoint", "model.ckpt-9.index", "model.ckpt-9.data-00000-of-00001"]),
        ("static", ["config.json", "model.bin"]),
        ("static", ["glove.txt.gz"]),
        ("static", ["meta.json", "vocab/strings.json", "vocab/vectors", "vocab/key2row", "vocab/vectors.cfg"]),
    ],
)
def test_all_files_that_a_reader_takes_are_fetched(kind, files, hub, home):
    for name in [*files, "README.md"]:
        (hub.root / "org" / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (hub.root / "org" / "model" / name).write_text(name)  # equal files are fetched once
    assert "FOUND" in _find(hub, home, "hub:org/model", kind=kind)
    assert hub.fetched("org/model") == sorted(files)


@pytest.mark.parametrize(
    ("kind", "files", "others"),
    [
        ("elmo", ALIGNED, ["weights.th", "encoder.pkl", "model.index"]),
        ("static", ["model.vec"], ["model.bin", "model.vec.gz"]),
    ],
)
def test_other_formats_of_the_same_model_stay_where_they_are(kind, files, others, hub, home):
    for name in [*files, *others]:
        (hub.root / "org" / "model").mkdir(exist_ok=True)
        (hub.root / "org" / "model" / name).write_text(name)
    assert "FOUND" in _find(hub, home, "hub:org/model", kind=kind)
    assert hub.fetched("org/model") == sorted(files)


def test_a_repository_that_is_not_there_is_named(hub, home):
    said = _find(hub, home, "org/no-such-model")
    assert "hub:org/no-such-model: the Hugging Face Hub gave no files" in said
