"""pretraining/run.py: what a tiny network learns, what is logged, evaluated and kept, and numbers that are none."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from spacy_ctx_embed.errors import TrainingError
from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.evaluation import Perplexity
from spacy_ctx_embed.pretraining.step import Stepper
from tests.pretraining.failing import N_WORDS, fails
from tests.pretraining.tiny import (
    TIMES,
    Quiet,
    assert_same_training,
    is_same,
    read_checkpoint,
    read_lines,
    tiny_config,
    train,
)

pytestmark = pytest.mark.usefixtures("no_pictures")


def _score(monkeypatch, *losses):
    """Let evaluations find these losses, and the last one from then on."""
    left = list(losses)

    def score(*args):
        loss = left.pop(0) if len(left) > 1 else left[0]
        return Perplexity(math.exp(loss), math.exp(loss), 10)

    monkeypatch.setattr(run_module, "evaluate", score)


# One that runs through


def test_it_learns(through):
    lines = [line for line in through[1].lines if line["kind"] == "eval"]
    assert [line["step"] for line in lines] == [16, 32, 40]
    for direction in ("forward", "backward"):
        found = [line[f"perplexity_{direction}"] for line in lines]
        assert found == sorted(found, reverse=True)
        assert found[-1] < N_WORDS / 6  # uniform would be N_WORDS


def test_the_first_loss_is_about_that_of_a_uniform_guess(text, tmp_path):
    reporter = Quiet()
    train(tiny_config(text, max_steps=1, dropout=0.0), tmp_path / "out", reporter=reporter)
    assert reporter.lines[0]["perplexity_forward"] == pytest.approx(N_WORDS, rel=0.3)


def test_the_log_says_how_it_goes(through):
    lines = [json.loads(line) for line in (through[0] / "log.jsonl").read_text(encoding="utf8").splitlines()]
    assert lines.pop() == {"kind": "end", "step": 40, "reason": "all steps done"}
    assert [line["step"] for line in lines if line["kind"] == "train"] == [7, 14, 21, 28, 35, 40]
    assert [line["best"] for line in lines if line["kind"] == "eval"] == [True, True, True]
    for line in lines:
        assert line["tokens"] == line["step"] * 64  # 8 rows of 8
        assert line["epoch"] == pytest.approx(line["step"] / 22, abs=1e-3)  # 180 sentences of 7 words and an end
        assert line["perplexity_forward"] == pytest.approx(math.exp(line["loss_forward"]))
        assert line["seconds"] >= 0 and line["seconds_left"] >= 0
        if line["kind"] == "train":
            assert line["tokens_per_second"] > 0 and line["gradient_norm"] > 0
            assert line["learn_rate"] == 0.02
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)


def test_the_screen_is_told_what_is_logged(through):
    out, reporter = through
    told = [{key: value for key, value in line.items() if key not in TIMES} for line in reporter.lines]
    assert told == read_lines(out)[:-1]
    assert reporter.said == ["reading", *["read"] * reporter.said.count("read"), "starting", "close"]


def test_the_model_in_the_folder_is_the_best_one(through):
    out = through[0]
    weights = load_file(out / "model-best" / "weights.safetensors")
    model = load_checkpoint(out / "checkpoint.pt").model
    assert all(torch.equal(weights[name], model[f"elmo.{name}"]) for name in weights)
    words = (out / "model-best" / "vocab.txt").read_text(encoding="utf8").split("\n")
    assert words[:3] == ["<S>", "</S>", "<UNK>"] and len(words) == N_WORDS + 1
    card = (out / "model-best" / "README.md").read_text(encoding="utf8")
    assert "| Text trained on | train.txt |" in card and "| Trained for | 40 steps, 2,560 tokens" in card


def test_the_same_twice_is_the_same(text, through, tmp_path):
    train(tiny_config(text), tmp_path / "out")
    assert_same_training(tmp_path / "out", through[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"kind": "adagrad", "learn_rate": 0.5, "initial_accumulator": 0.1}},
        {"softmax": {"kind": "adaptive", "cutoffs": [5, 10]}, "precision": "bfloat16"},
        {"softmax": {"kind": "sampled", "n_samples": 12}},
        {"optimizer": {"kind": "adamw", "learn_rate": 0.02, "warmup_steps": 5, "decay": "cosine"}},
        {"vocab_size": 12, "batch_size": 1000, "lstm": {"dim": 12, "projection_dim": 12, "n_layers": 3}},
    ],
    ids=["adagrad", "adaptive", "sampled", "cosine", "small vocabulary"],
)
def test_other_settings_train_and_go_on_too(text, tmp_path, settings):
    config = tiny_config(text, max_steps=14, eval_every=6, **settings)
    train(config, tmp_path / "through")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", reporter=Quiet(stop_at=7))
    train(config, tmp_path / "out", resume=True)
    assert_same_training(tmp_path / "out", tmp_path / "through")
    history = load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.history
    assert history[1][1] < history[0][1]


# Evaluations: the best model, and early stopping


def test_the_best_model_is_kept(text, tmp_path, monkeypatch):
    _score(monkeypatch, 3.0, 2.0, 2.5, 2.2)
    result = train(tiny_config(text, max_steps=24, eval_every=6), tmp_path / "out")
    assert (result.progress.best_step, result.progress.n_worse) == (12, 2)
    assert result.progress.best_loss == pytest.approx(2.0)
    _score(monkeypatch, 3.0, 2.0)
    train(tiny_config(text, max_steps=12, eval_every=6), tmp_path / "shorter")
    kept, then = (load_file(tmp_path / out / "model-best" / "weights.safetensors") for out in ("out", "shorter"))
    assert is_same(kept, then)
    model = load_checkpoint(tmp_path / "out" / "checkpoint.pt").model
    assert not torch.equal(kept["bilm.layers.0.weight"], model["elmo.bilm.layers.0.weight"])
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert "| Trained for | 12 steps" in card and "| 7.39 | 7.39 | 7.39 | 10 |" in card


def test_it_ends_when_nothing_gets_better(text, tmp_path, monkeypatch):
    _score(monkeypatch, 3.0, 2.0, 2.5, 1.9, 2.2, 1.9, 2.0)
    config = tiny_config(text, eval_every=2, patience=2)
    result = train(config, tmp_path / "out")
    assert (result.progress.step, result.progress.best_step, result.reason) == (12, 8, "no better evaluation in 2")
    again = train(config, tmp_path / "out", resume=True)
    assert (again.progress.step, again.reason) == (12, "no better evaluation in 2")
    longer = train({**config, "pretraining": {**config["pretraining"], "patience": 3}}, tmp_path / "out", resume=True)
    assert (longer.progress.step, longer.reason) == (14, "no better evaluation in 3")


def test_stopped_between_evaluations_patience_is_not_forgotten(text, tmp_path, monkeypatch):
    _score(monkeypatch, 3.0, 3.5)
    config = tiny_config(text, eval_every=5, patience=2, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", reporter=Quiet(stop_at=12))
    assert train(config, tmp_path / "out", resume=True).progress.step == 15


def test_an_evaluation_may_read_a_part(text, tmp_path):
    train(tiny_config(text, max_steps=2, eval_tokens=33), tmp_path / "out")
    row = load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.history[0]
    assert row[3] <= 33
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert f"| {row[3]:,} |" in card.replace(".0 |", " |")


# Numbers that are none


@pytest.mark.parametrize("kind", ["adamw", "adagrad"])
@pytest.mark.parametrize("eval_every", [1, 20])
def test_a_learning_rate_out_of_all_proportion_is_diagnosed(text, tmp_path, kind, eval_every):
    out = tmp_path / "out"
    optimizer = {"kind": kind, "learn_rate": 1e30}
    config = tiny_config(text, optimizer=optimizer, save_every=1, eval_every=eval_every)
    parts = [
        "CE043",
        "stopped at step 1",
        "checkpoint is of step 0",
        str(out / "checkpoint.pt"),
        "1e+30",
        "largest weight",
    ]
    fails(TrainingError, config, out, *parts, "--resume --pretraining.optimizer.learn_rate 2.5e+29")
    found = load_checkpoint(out / "checkpoint.pt")
    assert found.progress.step == 0
    assert all(tensor.abs().max() < 100 for tensor in found.model.values())
    sane = tiny_config(text, optimizer={"kind": kind, "learn_rate": 0.02}, max_steps=5)
    train(sane, out, resume=True)
    train(sane, tmp_path / "sane")
    assert is_same(read_checkpoint(out)["model"], read_checkpoint(tmp_path / "sane")["model"])


@pytest.mark.parametrize("what", ["forward", "backward", "gradient"])
def test_what_is_no_number_changes_nothing(text, through, tmp_path, monkeypatch, what):
    out, config, compute = tmp_path / "out", tiny_config(text), Stepper.train

    def broken(self, batch, states, step, frozen=False):
        losses, after = compute(self, batch, states, step)
        if step == 31:
            losses = [math.nan if side == what else loss for side, loss in zip(("forward", "backward"), losses)]
            if what == "gradient":
                next(self.model.parameters()).grad.view(-1)[0] = math.inf
        return losses, after

    monkeypatch.setattr(Stepper, "train", broken)
    reason = f"the {what} {'loss ' if what != 'gradient' else ''}is not a finite number"
    fails(TrainingError, config, out, "step 31", reason, "is of step 27", "learn_rate 0.005", "grad_clip")
    assert load_checkpoint(out / "checkpoint.pt").progress.step == 27
    if what == "gradient":
        monkeypatch.setattr(Stepper, "train", compute)
        train(config, out, resume=True)  # it was a passing fault
        assert_same_training(out, through[0])


def test_weights_that_are_no_numbers_are_never_saved(text, tmp_path, monkeypatch):
    def step(self, *args, **keywords):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(math.nan)

    config = tiny_config(text, save_every=1, eval_every=2, optimizer={"kind": "adagrad"})
    monkeypatch.setattr(torch.optim.Adagrad, "step", step)
    fails(TrainingError, config, tmp_path / "out", "stopped at step 1", "is of step 0", "largest weight inf")
    assert load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.step == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_perplexity_that_is_no_number_ends_it_too(text, tmp_path, monkeypatch, value):
    monkeypatch.setattr(run_module, "evaluate", lambda *args: Perplexity(value, 2.0, 10))
    fails(TrainingError, tiny_config(text), tmp_path / "out", "CE043", "step 16", "the perplexity", "is of step 9")
    assert not (tmp_path / "out" / "model-best").exists()
