"""cli/: ``python -m spacy embed probe``."""

from __future__ import annotations

import json

import pytest
from spacy.util import load_config
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.probing import probe as probe_module
from tests.probing.tiny import make_config, write_config, write_corpus


@pytest.fixture
def files(tmp_path, tiny_bert):
    config = write_config(tmp_path / "tiny.cfg", make_config(tiny_bert, task="tagger"))
    return config, write_corpus(tmp_path / "train.spacy", 8), write_corpus(tmp_path / "dev.spacy", 5, seed=1)


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["probe", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_it_prints_a_line_for_each_run_and_a_table(files):
    result = _run(*files, "--max-steps", 2, "--seeds", "4,7")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "5 variants of 'bert_embeddings', by tag_acc of 'tagger': 10 runs, 0 of them done before"
    assert lines[1].startswith("The network ran over ")
    assert [line.split("tag_acc")[0].split() for line in lines[2:12]] == [
        [*name.split(), "seed", seed]
        for seed in "47"
        for name in ("layer 0", "layer 1", "layer 2", "mean", "learned mix")
    ]
    table = [line for line in lines[12:] if " ± " in line and "standard" not in line]
    assert [line.split("  ")[0] for line in table] == ["layer 0", "layer 1", "layer 2", "mean", "learned mix"]
    assert sum("best" in line for line in table) == 1
    assert "Yeh 2000" in result.output


def test_settings_of_the_config_are_overridden(files, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        probe_module, "load_config", lambda *args, **kwargs: seen.append(load_config(*args, **kwargs)) or seen[-1]
    )
    assert _run(*files, "-m", 1, "-s", 0, "--training.dropout", "0.4", "--nlp.lang", "en").exit_code == 0
    assert seen[0]["training"]["dropout"] == 0.4 and seen[0]["nlp"]["lang"] == "en"
    assert seen[0]["paths"] == {"train": str(files[1]), "dev": str(files[2])}


def test_a_run_that_was_stopped_says_how_to_go_on(files, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "out.json"
    args = [*files, "-m", 1, "--seeds", 0]
    with monkeypatch.context() as patch:
        patch.setattr(probe_module, "run_variant", stop)
        result = _run(*args)
        assert result.exit_code == 130 and "--output" in result.output
        result = _run(*args, "-o", out)
        assert result.exit_code == 130 and "out.json" in result.output
    assert _run(*args, "-o", out).exit_code == 0
    assert len(json.loads(out.read_text())["runs"]) == 5
    assert "5 runs, 5 of them done before" in _run(*args, "--output", out).output


def test_several_seeds_may_be_several_options(files, tmp_path):
    out = tmp_path / "out.json"
    assert _run(*files, "-m", 1, "--seeds", "1", "--seeds", "0, 1", "-o", out).exit_code == 0
    assert [run["seed"] for run in json.loads(out.read_text())["runs"]] == [1] * 5 + [0] * 5


def test_a_full_cache_is_told(files):
    said = _run(*files, "-m", 1, "--seeds", 0, "--cache-mb", 0).output
    assert "The cache was full" in said and "--cache-dir" in said


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--component", "parser"], ["CE081", "parser"]),
        (["--embeddings", "tagger"], ["CE080"]),
        (["--score", "tag_xyz"], ["CE083", "tag_acc"]),
        (["--components.bert_embeddings.model.trainable", "true"], ["CE001", "trainable"]),
        (["--cache-mb=-1"], ["CE001", "cache_mb"]),
        (["--paths.nothing", "1", "--nowhere.at.all", "1"], ["nowhere"]),
        (["--components.bert_embeddings.model.name", "package:nowhere/model"], ["CE010"]),
        (["--gpu-id", "99"], ["GPU"]),
    ],
)
def test_an_error_is_its_message(files, args, parts):
    result = _run(*files, "-m", 1, *args)
    assert result.exit_code == 1 and "Traceback" not in result.output
    for part in ("Can't probe", *parts):
        assert part in result.output


@pytest.mark.parametrize("args", [["--seeds", "one"], ["--seeds", ""], ["--dropout", "0.1"]])
def test_what_is_no_setting_is_a_usage_error(files, args):
    result = _run(*files, *args)
    assert result.exit_code == 2 and args[0] in result.output


def test_help_says_what_there_is():
    said = _run("--help").output.lower()
    for part in ("config", "train", "dev", "--seeds", "--score", "--component", "--cache-dir", "--output", "--gpu-id"):
        assert part in said
