"""cli/: ``python -m spacy embed pretrain-elmo``, and the configs for it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import spacy
from spacy.cli import app
from spacy.util import load_config
from thinc.api import Config
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining import console
from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.console import Table
from spacy_ctx_embed.pretraining.pretrain import pretrain_elmo
from spacy_ctx_embed.pretraining.settings import PretrainSettings, read_settings
from tests.pretraining.tiny import Quiet, tiny_config, write_text

CONFIGS = Path(__file__).parents[3] / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("pretrain_elmo_*.cfg"))
N_PARAMETERS = {"pretrain_elmo_small.cfg": 13_593_296, "pretrain_elmo_original.cfg": 93_600_848}  # as published


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(run_module, "draw_losses", lambda folder: False)


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / "train.txt", 60)


@pytest.fixture
def config(tmp_path):
    """A config file that does not say where the text is."""
    values = tiny_config("", max_steps=4, log_every=2, eval_every=2)
    values["paths"] = {"train": None, "dev": None}
    Config(values).to_disk(tmp_path / "tiny.cfg")
    return tmp_path / "tiny.cfg"


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["pretrain-elmo", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _fails(*args, parts):
    result = _run(*args)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    for part in ("Can't train", *parts):
        assert part in result.output
    return result.output


def test_a_model_is_trained_and_used(config, text, tmp_path):
    out = tmp_path / "out"
    result = _run(config, out, "--paths.train", text, "-t", 1)
    assert result.exit_code == 0
    name = re.search(r'^name = "(.*)"$', result.output, flags=re.MULTILINE)
    assert name is not None and name[1] == (out / "model-best").as_posix()
    assert "Trained for 4 steps: all steps done" in result.output
    assert "pip install 'spacy-ctx-embed[pretrain]'" in result.output  # nothing drew the loss here
    nlp = spacy.blank("xx")
    encoder = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": name[1]}
    nlp.add_pipe("elmo_embeddings", config={"model": encoder})
    assert nlp("The dog barks .")[1]._.vector.shape == (16,)


def test_it_says_how_it_goes(config, text, tmp_path):
    said = _run(config, tmp_path / "out", "--paths.train", text, "-t", 1).output
    assert re.search(r"EPOCH +STEP +TOKENS +LOSS +PPL FORWARD +PPL BACKWARD +TOKENS/S +LEFT", said)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    rows = [line.split() for line in said.splitlines() if re.match(r" *\d+\.\d\d +\d", line)]
    assert len(rows) == 4
    for row, line in zip(rows, log):
        loss = (line["loss_forward"] + line["loss_backward"]) / 2
        assert row[:4] == [f"{line['epoch']:.2f}", str(line["step"]), f"{line['tokens']:,}", f"{loss:.3f}"]
        assert row[4:6] == [f"{line['perplexity_forward']:.2f}", f"{line['perplexity_backward']:.2f}"]
        assert re.fullmatch(r"\d+:\d\d:\d\d", row[7])
    assert rows[1][8:] == ["held", "out,", "best", "so", "far"]
    for part in ("1 file", "words to train on", "parameters", "4 steps"):
        assert part in said


def test_every_setting_can_be_overridden(config, text, tmp_path):
    changes = {
        "pretraining.max_steps": 2,
        "pretraining.lstm.dim": 9,
        "pretraining.char_cnn.filters": "[[1,3],[3,4]]",
        "pretraining.optimizer.kind": "adagrad",
        "nlp.lang": "de",
    }
    args = [part for key, value in changes.items() for part in (f"--{key}", value)]
    assert _run(config, tmp_path / "out", "--paths.train", text, "--threads", 1, *args).exit_code == 0
    sizes = read_elmo(tmp_path / "out" / "model-best").config
    assert sizes.bilm.dim == 9 and sizes.char_cnn is not None and sizes.char_cnn.filters == ((1, 3), (3, 4))
    assert "| Language | de |" in (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.step == 2


def test_several_files_are_a_list(config, text, tmp_path):
    files = json.dumps([str(text), str(write_text(tmp_path / "more.txt", 20, seed=3))])
    assert _run(config, tmp_path / "out", "--paths.train", files, "--paths.dev", text, "-t", 1).exit_code == 0
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert "train.txt, more.txt" in card and "| train.txt: " in card


def test_it_goes_on(config, text, tmp_path):
    args = [config, tmp_path / "out", "--paths.train", text, "-t", 1]
    _run(*args)
    _fails(*args, parts=["CE040", "--resume"])
    result = _run(*args, "--resume", "--pretraining.max_steps", 6)
    assert result.exit_code == 0
    assert "Going on from step 4" in result.output and "Trained for 6 steps" in result.output
    _fails(*args, "-r", "--pretraining.lstm.dim", 5, parts=["CE044", "pretraining.lstm.dim"])


def test_a_training_that_was_stopped_says_how_to_go_on(config, text, tmp_path, monkeypatch):
    def stop(self, line):
        raise KeyboardInterrupt

    args = [config, tmp_path / "out", "--paths.train", text, "-t", 1]
    with monkeypatch.context() as patch:
        patch.setattr(Table, "train", stop)
        result = _run(*args)
    assert result.exit_code == 130 and "--resume" in result.output
    assert load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.step == 2
    assert _run(*args, "--resume").exit_code == 0


# Errors


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([], ["CE001", "paths.train"]),
        (["--paths.train", "missing.txt"], ["CE030", "missing.txt", "Fix: "]),
        (["--paths.train", "{text}", "--pretraining.dropout", "2"], ["CE001", "pretraining.dropout", "is 2"]),
        (["--paths.train", "{text}", "--pretraining.dropuot", "0.2"], ["CE001", "pretraining.dropuot"]),
        (["--paths.train", "{text}", "--paths.dev", "empty.txt"], ["CE035", "paths.dev"]),
        (["--paths.train", "latin1.txt"], ["CE032", "line 2", "iconv"]),
        (["--paths.train", "{text}", "--paths.pipeline", "no_such"], ["CE001", "paths.pipeline", "no_such"]),
        (["--paths.train", "{text}", "--nlp.lang", "no_such_lang"], ["no_such_lang"]),
        (["--paths.train", "{text}", "--gpu-id", "99"], ["CE001", "gpu_id"]),
        (["--paths.train", "{text}", "--threads=-2"], ["CE001", "n_threads"]),
        (["--paths.train", "{text}", "--optimizer.kind", "adam"], ["optimizer"]),
        (["--paths.train", "{text}", "--pretraining.init_from", "nowhere"], ["CE010", "pretraining.init_from to"]),
        (["--paths.train", "{text}", "--pretraining.optimizer.learn_rate", "1e30"], ["CE043", "learn_rate 2.5e+29"]),
    ],
)
def test_an_error_is_its_message(config, text, tmp_path, monkeypatch, args, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin1.txt").write_bytes("fine\nZoë\n".encode("latin1"))
    _fails(config, "out", "-t", 1, *(arg.format(text=text) for arg in args), parts=parts)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_a_message_too(config, text, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.cfg.tmp").symlink_to("/dev/full")
    _fails(config, out, "--paths.train", text, parts=["CE041", "No space left", "--resume"])


def test_a_config_that_is_not_there_or_not_one(tmp_path):
    _fails(tmp_path / "no.cfg", tmp_path / "out", parts=["no.cfg"])
    (tmp_path / "text.cfg").write_text("no config")
    _fails(tmp_path / "text.cfg", tmp_path / "out", parts=["no config"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arg", "code"), [("--max_steps", 2), ("extra", 1)])
def test_what_is_no_setting_is_a_usage_error(config, tmp_path, arg, code):
    result = _run(config, tmp_path / "out", arg, 1)
    assert result.exit_code == code and arg in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("args", [["--help"], []])
def test_help_says_what_there_is(args):
    said = _run(*args).output.lower()
    for part in ("config", "out", "--resume", "--gpu-id", "--threads", "--n-process", "--code", "--paths.train"):
        assert part in said


def test_code_is_imported_first(config, text, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import spacy\n@spacy.Language.component('pretrain_elmo_mine')\ndef mine(doc):\n"
        "    for token in doc:\n        token.is_sent_start = token.i % 2 == 0\n    return doc\n"
    )
    values = load_config(config)
    values["nlp"]["pipeline"] = ["mine"]
    values["components"] = {"mine": {"factory": "pretrain_elmo_mine"}}
    values.to_disk(config)
    args = [config, tmp_path / "out", "--paths.train", text, "-t", 1]
    assert _run(*args, "--code", tmp_path / "mine.py").exit_code == 0
    manifest = json.loads((tmp_path / "out" / "text" / "manifest.json").read_text())
    assert manifest["train"]["n_sentences"] > 60  # of two words


def test_spacys_command_line_has_the_command():
    # In a process of its own: "spacy embed", in test_convert_elmo.py.
    done = CliRunner().invoke(app, ["embed", "pretrain-elmo", "--help"])
    assert done.exit_code == 0
    assert "--resume" in done.output


# The screen


def test_on_a_terminal_there_is_a_bar(config, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    pretrain_elmo(config, tmp_path / "out", overrides={"paths.train": str(text)}, n_threads=1)
    told = capsys.readouterr()
    assert "held out, best so far" in told.out
    assert len([line for line in told.out.splitlines() if re.match(r" *\d+\.\d\d +\d", line)]) == 2  # evaluations alone
    for part in ("words", "/4", "tokens/s, loss", "perplexity", "left"):
        assert part in told.err


def test_rows_are_as_wide_as_the_header():
    line = {"epoch": 1.5, "step": 1000, "tokens": 10**9, "loss_forward": 4.0, "loss_backward": 5.0, "seconds_left": 9}
    line.update(perplexity_forward=54.6, perplexity_backward=148.4, best=False)
    assert console._loss(line) == 4.5
    assert len(console._row(console._HEADER)) == len(console._row(["-" * width for width in console._WIDTHS]))


# The configs


def test_there_are_configs():
    assert {f"pretrain_elmo_{name}.cfg" for name in ("mini", "small", "original")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_read_and_says_every_number(name):
    config = load_config(CONFIGS / name, interpolate=True)
    settings = read_settings(config["pretraining"])
    assert settings.seed == config["system"]["seed"]
    assert config["paths"] == {"train": None, "dev": None, "pipeline": None}
    for section, values in (
        ("pretraining", PretrainSettings()),
        ("char_cnn", settings.char_cnn),
        ("lstm", settings.lstm),
    ):
        there = config["pretraining"] if section == "pretraining" else config["pretraining"][section]
        left_out = set(vars(values)) - set(there) - {"init_from", "held_out", "patience", "eval_tokens"}
        assert not left_out


@pytest.mark.parametrize("name", N_PARAMETERS)
def test_sizes_are_those_published(name):
    settings = read_settings(load_config(CONFIGS / name, interpolate=True)["pretraining"])
    network = ElmoModule(settings.network())
    n_zeros = settings.char_cnn.embedding_dim  # the row of "no token", which the published files do not have
    assert sum(part.numel() for part in network.parameters()) - n_zeros == N_PARAMETERS[name]


@pytest.mark.parametrize("name", N_PARAMETERS)
def test_training_settings_are_those_of_bilm_tf(name):
    settings = read_settings(load_config(CONFIGS / name, interpolate=True)["pretraining"])
    default = PretrainSettings()  # which are those of bilm-tf
    for key in ("max_epochs", "batch_size", "unroll_steps", "vocab_size", "reset_state", "dropout", "grad_clip"):
        assert getattr(settings, key) == getattr(default, key)
    assert (settings.softmax.kind, settings.softmax.n_samples) == ("sampled", 8192)
    assert (settings.optimizer, settings.precision) == (default.optimizer, "float32")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_trains_when_its_network_is_made_small(name, text, tmp_path):
    overrides = {
        "paths.train": str(text),
        "pretraining.max_steps": 1,
        "pretraining.lstm.dim": 8,
        "pretraining.lstm.projection_dim": 16,
        "pretraining.char_cnn.filters": [[1, 2], [2, 2]],
    }
    if "wider" in name:  # as large as the model that it widens, or larger
        for key in ("lstm.dim", "lstm.projection_dim", "char_cnn.filters"):
            del overrides[f"pretraining.{key}"]
        overrides["pretraining.freeze_steps"] = 0
    pretrain_elmo(CONFIGS / name, tmp_path / "out", overrides=overrides, n_threads=1, reporter=Quiet())
    assert read_elmo(tmp_path / "out" / "model-best").config.bilm.dim == (640 if "wider" in name else 8)
