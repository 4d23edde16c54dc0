"""cli/models/info.py: ``python -m spacy embed info``."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.cli.models.info import Cache, format_info, info
from spacy_ctx_embed.models.places import find_local


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "gensim"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_it_says_what_is_installed_and_what_can_compute(caches):
    found = info()
    assert {"spacy-ctx-embed", "spacy", "torch", "transformers"} <= found.packages.keys()
    assert found.packages["spacy"] == version("spacy")
    assert "threads" in found.devices["cpu"]
    assert found.devices["gpu through spaCy"][:2] in ("ye", "no")


def test_models_are_those_whose_files_are_here(caches):
    models = info().models
    assert models["elmo-mini"].endswith("elmo_mini")
    assert "elmo-original" not in models
    folder = caches / "gensim" / "glove-wiki-gigaword-50"
    folder.mkdir(parents=True)
    (folder / "glove-wiki-gigaword-50.gz").write_bytes(b"x" * 1234)
    assert find_local("static", "gensim:glove-wiki-gigaword-50").path.parent == folder


def test_nothing_is_downloaded_to_find_out(caches, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("socket.create_connection", fail)
    names = {"some/model": "bert", "gensim:no-such": "static", "elmo-small": "elmo", "no/path": "elmo"}
    for name, kind in names.items():
        assert find_local(kind, name) is None


def test_caches_are_named_with_their_sizes(caches):
    (caches / "ours").mkdir()
    (caches / "ours" / "a").write_bytes(b"x" * 1500)
    (caches / "ours" / "link").symlink_to(caches / "ours" / "a")
    found = info()
    assert found.caches[0] == Cache("spacy-ctx-embed", str(caches / "ours"), 1500)
    assert [cache.n_bytes for cache in found.caches[1:]] == [0, 0]
    assert f"{caches / 'ours'}, 2 KB" in format_info(found)


def test_the_command_prints_text_or_json(caches):
    text = CliRunner().invoke(embed_cli, ["info"])
    assert text.exit_code == 0
    assert [line for line in text.output.splitlines() if line and line[0] != " "] == [
        "versions",
        "devices",
        "models on this machine",
        "caches",
    ]
    as_json = CliRunner().invoke(embed_cli, ["info", "--json"])
    assert json.loads(as_json.output).keys() == {"python", "system", "packages", "devices", "models", "caches"}
