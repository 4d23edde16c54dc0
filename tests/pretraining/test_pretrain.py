"""pretraining/pretrain.py and run.py: whole trainings of a tiny network, stopped at any moment, and failing."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from filelock import FileLock
from safetensors.torch import load_file
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.errors import CorpusError, TrainingError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.evaluation import Perplexity
from spacy_ctx_embed.pretraining.pretrain import pretrain_elmo
from spacy_ctx_embed.pretraining.records import draw_losses
from spacy_ctx_embed.pretraining.step import Stepper
from tests.pretraining.tiny import (
    FILES,
    TIMES,
    Quiet,
    assert_same_training,
    is_same,
    make_sentences,
    read_checkpoint,
    read_lines,
    tiny_config,
    train,
    write_text,
)

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
N_WORDS = 24 + 3  # different ones in the text, and <S>, </S>, <UNK>


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    # One takes as long as fifty steps.
    monkeypatch.setattr(run_module, "draw_losses", lambda folder: False)


@pytest.fixture
def _pictures(_no_pictures, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run_module, "draw_losses", draw_losses)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "train.txt")


@pytest.fixture(scope="module")
def through(text, tmp_path_factory):
    """The folder of a training that ran through, and what its screen was told."""
    out, screen = tmp_path_factory.mktemp("through") / "out", Quiet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "draw_losses", lambda folder: False)
        train(tiny_config(text), out, screen=screen)
    return out, screen


def _fails(error, config, out, *parts, **more):
    with pytest.raises(error) as caught:
        train(config, out, **more)
    for part in ("Accepted: ", "Fix: ", *parts):
        assert part in str(caught.value)


@contextmanager
def _signal_at(step, number=signal.SIGINT, times=1):
    """Send a signal while the batch of a step is learnt from."""
    compute = Stepper.train

    def interrupted(self, batch, states, at):
        if at == step:
            for _ in range(times):
                signal.raise_signal(number)
        return compute(self, batch, states, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "train", interrupted)
        yield


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
    screen = Quiet()
    train(tiny_config(text, max_steps=1, dropout=0.0), tmp_path / "out", screen=screen)
    assert screen.lines[0]["perplexity_forward"] == pytest.approx(N_WORDS, rel=0.3)


@pytest.mark.usefixtures("_pictures")
def test_everything_is_there(text, tmp_path):
    result = train(tiny_config(text, max_steps=5), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        ".lock",
        "checkpoint.pt",
        "config.cfg",
        "log.jsonl",
        "loss.png",
        "model-best",
        "text",
    ]
    assert result.directory == tmp_path / "out" / "model-best"
    assert sorted(file.name for file in result.directory.iterdir()) == FILES
    assert (result.progress.step, result.reason) == (5, "all steps done")


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
    out, screen = through
    told = [{key: value for key, value in line.items() if key not in TIMES} for line in screen.lines]
    assert told == read_lines(out)[:-1]
    assert screen.said == ["reading", *["read"] * screen.said.count("read"), "starting", "close"]


def test_the_model_in_the_folder_is_the_best_one(through):
    out = through[0]
    weights = load_file(out / "model-best" / "weights.safetensors")
    model = load_checkpoint(out / "checkpoint.pt").model
    assert all(torch.equal(weights[name], model[f"elmo.{name}"]) for name in weights)
    words = (out / "model-best" / "vocab.txt").read_text(encoding="utf8").split("\n")
    assert words[:3] == ["<S>", "</S>", "<UNK>"] and len(words) == N_WORDS + 1
    card = (out / "model-best" / "README.md").read_text(encoding="utf8")
    assert "| Text trained on | train.txt |" in card and "| Trained for | 40 steps, 2,560 tokens" in card


def test_the_config_is_kept_with_its_overrides(text, tmp_path):
    out = tmp_path / "out"
    train(tiny_config(text), out, overrides={"pretraining.max_steps": 3, "pretraining.lstm.dim": 9})
    kept = spacy.util.load_config(out / "config.cfg")
    assert (kept["pretraining"]["max_steps"], kept["pretraining"]["lstm"]["dim"]) == (3, 9)
    assert read_elmo(out / "model-best").config.bilm.dim == 9


def test_a_pipeline_uses_the_model(through):
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(through[0] / "model-best")}
    nlp.add_pipe("elmo_embeddings", config={"model": encoder})
    doc = nlp("The dog barks in the unseenhouse .")
    rows = np.array([token._.vector for token in doc])
    assert rows.shape == (7, 16)
    assert np.abs(rows).sum(axis=1).min() > 0
    assert not np.allclose(rows[2], nlp("A cat barks in a tree .")[2]._.vector)  # the context counts


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
        train(config, tmp_path / "out", screen=Quiet(stop_at=7))
    train(config, tmp_path / "out", resume=True)
    assert_same_training(tmp_path / "out", tmp_path / "through")
    history = load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.history
    assert history[1][1] < history[0][1]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_make_it_a_matter_of_chance(text, tmp_path, n_threads):
    before = torch.get_num_threads()
    config = tiny_config(text, max_steps=12, eval_every=6)
    train(config, tmp_path / "through", n_threads=n_threads)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", screen=Quiet(stop_at=7), n_threads=n_threads)
    train(config, tmp_path / "out", resume=True, n_threads=n_threads)
    assert_same_training(tmp_path / "out", tmp_path / "through")
    assert torch.get_num_threads() == before


# Stopped and gone on with


@pytest.mark.parametrize("stops", [[7], [16], [21, 28]])
def test_a_screen_may_stop_it(text, through, tmp_path, stops):
    out, config = tmp_path / "out", tiny_config(text)
    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            train(config, out, screen=Quiet(stop_at=step), resume=out.exists())
        assert load_checkpoint(out / "checkpoint.pt").progress.step == step
    train(config, out, resume=True)
    assert_same_training(out, through[0])


@pytest.mark.parametrize(
    ("step", "number"),
    [(0, signal.SIGINT), (9, signal.SIGINT), (16, signal.SIGINT), (39, signal.SIGINT), (33, signal.SIGTERM)],
)
def test_a_signal_stops_it_after_the_step(text, through, tmp_path, step, number):
    out, config, handlers = tmp_path / "out", tiny_config(text), (signal.getsignal(2), signal.getsignal(15))
    with _signal_at(step, number), pytest.raises(KeyboardInterrupt):
        train(config, out)
    assert (signal.getsignal(2), signal.getsignal(15)) == handlers
    assert load_checkpoint(out / "checkpoint.pt").progress.step == step
    train(config, out, resume=True)
    assert_same_training(out, through[0])


def test_a_signal_during_an_evaluation_does_not_cut_it_off(text, through, tmp_path, monkeypatch):
    out, config, evaluate = tmp_path / "out", tiny_config(text), run_module.evaluate

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return evaluate(*args)

    monkeypatch.setattr(run_module, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, out)
    assert read_lines(out)[-1]["kind"] == "eval"
    monkeypatch.setattr(run_module, "evaluate", evaluate)
    train(config, out, resume=True)
    assert_same_training(out, through[0])


def test_a_second_signal_stops_it_at_once(text, through, tmp_path, capfd):
    out, config = tmp_path / "out", tiny_config(text)
    with _signal_at(13, times=2), pytest.raises(KeyboardInterrupt):
        train(config, out)
    assert "a second Ctrl-C stops at once" in capfd.readouterr().err
    assert load_checkpoint(out / "checkpoint.pt").progress.step == 9
    train(config, out, resume=True)
    assert_same_training(out, through[0])


def test_asked_for_the_end_at_the_end_it_just_ends(text, through, tmp_path):
    assert train(tiny_config(text), tmp_path / "out", screen=Quiet(stop_at=40)).reason == "all steps done"
    assert_same_training(tmp_path / "out", through[0])


def test_another_thread_may_train(text, tmp_path):
    found = []
    work = threading.Thread(target=lambda: found.append(train(tiny_config(text, max_steps=2), tmp_path / "out")))
    work.start()
    work.join()
    assert found[0].progress.step == 2


def test_a_signal_that_is_ignored_stays_so(text, tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _signal_at(1, signal.SIGTERM):
            assert train(tiny_config(text, max_steps=3), tmp_path / "out").progress.step == 3
    finally:
        signal.signal(signal.SIGTERM, before)


# As nohup and kill -9 have it: each child is a process that is killed at its n-th write, or after some seconds.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path

root, config, out, kills = json.loads(sys.argv[1])
sys.path.insert(0, root)
import h5py, safetensors.torch, spacy, torch._dynamo  # also what a child would import again
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.pretraining import run
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.text import prepared
from tests.pretraining.tiny import train

spacy.blank("xx")
run.draw_losses = lambda folder: False  # slow, and atomic as everything else
left = 0

def count(function):
    def counted(*args, **keywords):
        global left
        if isinstance(args[0], Path) and out not in args[0].parents:
            return function(*args, **keywords)
        for when in ("before", "after"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if when == "before":
                result = function(*args, **keywords)
        return result
    return counted

out, steps = Path(out), []
for kill in kills:
    pid = os.fork()
    if not pid:
        if isinstance(kill, int):
            left = kill
            os.fsync, Path.replace, Path.open = count(os.fsync), count(Path.replace), count(Path.open)
        train(config, out, resume=True)
        os._exit(0)
    if isinstance(kill, float):
        time.sleep(kill)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if not status:
        break  # it came to its end
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    has_checkpoint = (out / "checkpoint.pt").exists()
    steps.append(load_checkpoint(out / "checkpoint.pt").progress.step if has_checkpoint else -1)
    if (out / "model-best" / "weights.safetensors").exists():
        read_elmo(out / "model-best")
print(json.dumps(steps))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_at_any_moment_it_goes_on(text, tmp_path):
    config, out = tiny_config(text, max_steps=40, log_every=5, eval_every=10, save_every=4), tmp_path / "out"
    # By the count of writes, which is the same on every machine; then by the clock, when all may be done on a fast one.
    kills = [3, 15, 34, 47, 53, 60, 41, 66, 36, 0.3, 70, 57, 0.5]
    message = json.dumps([str(ROOT), config, str(out), kills])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, message]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert steps == sorted(steps)
    assert len(set(steps)) > 3
    train(config, out, resume=True)
    train(config, tmp_path / "through")
    assert_same_training(out, tmp_path / "through")


@pytest.mark.parametrize("settings", [{"max_steps": 50}, {"max_epochs": 2, "max_steps": 0}])
def test_a_training_that_has_ended_may_be_made_longer(text, through, tmp_path, settings):
    shutil.copytree(through[0], tmp_path / "out")
    config = tiny_config(text, **settings)
    result = train(config, tmp_path / "out", resume=True)
    assert result.progress.step == (50 if "max_epochs" not in settings else 44)
    train(config, tmp_path / "through")
    assert is_same(read_checkpoint(tmp_path / "out")["model"], read_checkpoint(tmp_path / "through")["model"])
    ends = [line["step"] for line in read_lines(tmp_path / "out") if line["kind"] == "end"]
    assert ends == [result.progress.step]


def test_a_training_that_has_ended_ends_again(text, through, tmp_path):
    out = shutil.copytree(through[0], tmp_path / "out")
    screen = Quiet()
    result = train(tiny_config(text), out, screen=screen, resume=True)
    assert (result.progress.step, result.reason, screen.lines) == (40, "all steps done", [])
    assert_same_training(out, through[0])


def test_less_than_was_done_is_done(text, through, tmp_path):
    out = shutil.copytree(through[0], tmp_path / "out")
    assert train(tiny_config(text, max_steps=30), out, resume=True).progress.step == 40


def test_with_nothing_there_resume_begins(text, through, tmp_path):
    train(tiny_config(text), tmp_path / "out", resume=True)
    assert_same_training(tmp_path / "out", through[0])


@pytest.mark.parametrize("left", [[".lock"], ["config.cfg.tmp"], [".lock", "config.cfg.tmp"]])
def test_killed_as_it_began_it_begins_anew(text, tmp_path, left):
    (tmp_path / "out").mkdir()
    for name in left:
        (tmp_path / "out" / name).write_text("[pretr")
    assert train(tiny_config(text, max_steps=1), tmp_path / "out").progress.step == 1


def test_without_a_checkpoint_other_settings_are_fine(text, tmp_path):
    out = tmp_path / "out"
    train(tiny_config(text, max_steps=1), out)
    (out / "checkpoint.pt").unlink()
    train(tiny_config(text, max_steps=1, seed=5), out, resume=True)
    train(tiny_config(text, max_steps=1, seed=5), tmp_path / "through")
    assert_same_training(out, tmp_path / "through")


# What may change on the way


def _stopped(text, out, **settings):
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(text, **settings), out, screen=Quiet(stop_at=14))
    return out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("batch_size", 4),
        ("unroll_steps", 16),
        ("vocab_size", 20),
        ("held_out", 0.2),
        ("init_from", "elmo-small"),
        ("char_cnn.n_highway", 2),
        ("lstm.dim", 17),
        ("softmax.kind", "adaptive"),
    ],
)
def test_what_must_not_change_is_named(text, through, key, value):
    before = (through[0] / "config.cfg").read_bytes()
    changes = {f"pretraining.{key}": value}
    _fails(TrainingError, tiny_config(text), through[0], f"pretraining.{key}", overrides=changes, resume=True)
    assert (through[0] / "config.cfg").read_bytes() == before


def test_the_learning_rate_may_change(text, tmp_path):
    out = _stopped(text, tmp_path / "out")
    optimizer = {"kind": "adamw", "learn_rate": 0.005, "betas": [0.8, 0.9], "weight_decay": 0.01}
    screen = Quiet()
    changed = tiny_config(text, optimizer=optimizer, eval_every=30, log_every=1, dropout=0.2, grad_clip=1.0)
    train(changed, out, screen=screen, resume=True)
    assert [line["step"] for line in screen.lines if line["kind"] == "train"] == list(range(15, 41))
    assert {line["learn_rate"] for line in screen.lines if line["kind"] == "train"} == {0.005}
    group = read_checkpoint(out)["optimizer"]["param_groups"][0]
    assert (group["lr"], list(group["betas"]), group["weight_decay"]) == (0.005, [0.8, 0.9], 0.01)


@pytest.mark.parametrize("kinds", [("adamw", "adagrad"), ("adagrad", "adamw")])
def test_the_optimiser_may_change(text, tmp_path, kinds):
    first, second = ({"kind": kind, "learn_rate": 0.02} for kind in kinds)
    out = _stopped(text, tmp_path / "out", optimizer=first)
    before = read_checkpoint(out)
    train(tiny_config(text, optimizer=second, max_steps=15), out, resume=True)
    after = read_checkpoint(out)
    assert set(after["optimizer"]["state"][0]) != set(before["optimizer"]["state"][0])
    assert after["progress"]["step"] == 15 and not is_same(before["model"], after["model"])


def test_other_text_is_refused(text, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    write_text(folder / "a.txt")
    out = _stopped(folder, tmp_path / "out")
    write_text(folder / "b.txt", n=10, seed=7)
    for _ in range(2):  # and not taken for the text of before afterwards
        _fails(TrainingError, tiny_config(folder), out, "the text", "paths.train", resume=True)
    (folder / "b.txt").unlink()
    os.utime(folder / "a.txt")  # the same text again
    assert train(tiny_config(folder, max_steps=15), out, resume=True).progress.step == 15


def test_a_damaged_checkpoint_is_named(text, through, tmp_path):
    out = shutil.copytree(through[0], tmp_path / "out")
    (out / "checkpoint.pt").write_bytes(b"damaged")
    _fails(TrainingError, tiny_config(text), out, "CE042", str(out / "checkpoint.pt"), resume=True)


# The folder


def test_a_folder_that_is_not_empty_is_left_alone(text, through, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    _fails(TrainingError, tiny_config(text), tmp_path, "CE040", "not empty", "--resume")
    _fails(TrainingError, tiny_config(text), tmp_path, "CE040", "no config.cfg", resume=True)
    _fails(TrainingError, tiny_config(text), through[0], "CE040", "--resume")
    _fails(TrainingError, tiny_config(text), tmp_path / "thesis.txt", "CE040", "not a folder")
    _fails(TrainingError, tiny_config(text), tmp_path / "thesis.txt" / "out", "CE040", "can't be written")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_share_a_folder(text, tmp_path):
    out = _stopped(text, tmp_path / "out")
    before = (out / "checkpoint.pt").read_bytes()
    with FileLock(out / ".lock"):
        _fails(TrainingError, tiny_config(text), out, "CE040", "another process", resume=True)
    assert (out / "checkpoint.pt").read_bytes() == before
    train(tiny_config(text, max_steps=15), out, resume=True)


def test_the_lock_is_held_while_it_trains_and_not_longer(text, tmp_path):
    tries = []

    class Second(Quiet):
        def train(self, line):
            with pytest.raises(TrainingError, match="another process"):
                train(tiny_config(text), tmp_path / "out", resume=True)
            tries.append(line["step"])

    train(tiny_config(text, max_steps=7), tmp_path / "out", screen=Second())
    assert tries == [7]
    FileLock(tmp_path / "out" / ".lock").acquire(timeout=0)


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", ["checkpoint.pt.tmp", "log.jsonl.tmp", "config.cfg.tmp"])
def test_on_a_full_disk_it_stops_and_goes_on_later(text, through, tmp_path, name):
    out, config = _stopped(text, tmp_path / "out"), tiny_config(text)
    before = read_checkpoint(out)
    (out / name).symlink_to(FULL)
    _fails(OSError, config, out, "CE041", str(out / name).removesuffix(".tmp"), "No space left", resume=True)
    assert is_same(read_checkpoint(out), before)
    (out / name).unlink(missing_ok=True)
    train(config, out, resume=True)
    assert_same_training(out, through[0])


@pytest.mark.usefixtures("_pictures")
@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_picture_and_a_model_need_room_too(text, tmp_path):
    out, config = _stopped(text, tmp_path / "out", eval_every=50), tiny_config(text, eval_every=20)
    (out / "model-best").write_text("not a folder")
    _fails(OSError, config, out, "CE041", str(out / "model-best"), resume=True)
    (out / "model-best").unlink()
    (out / ".loss.png").symlink_to(FULL)
    _fails(OSError, config, out, "CE041", str(out / "loss.png"), resume=True)
    assert load_checkpoint(out / "checkpoint.pt").progress.step == 40  # the evaluation of 20 was done


def test_a_model_that_was_not_written_is_written_on_resume(text, through, tmp_path, monkeypatch):
    out, config = tmp_path / "out", tiny_config(text)

    def fail(*args):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_model", fail)
        with pytest.raises(OSError, match="no space"):
            train(config, out)
    assert not (out / "model-best").exists()
    with pytest.raises(KeyboardInterrupt):
        train(config, out, screen=Quiet(stop_at=21), resume=True)
    assert sorted(file.name for file in (out / "model-best").iterdir()) == FILES
    train(config, out, resume=True)
    assert_same_training(out, through[0])


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
        train(config, tmp_path / "out", screen=Quiet(stop_at=12))
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
    _fails(TrainingError, config, out, *parts, "--resume --pretraining.optimizer.learn_rate 2.5e+29")
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

    def broken(self, batch, states, step):
        losses, after = compute(self, batch, states, step)
        if step == 31:
            losses = [math.nan if side == what else loss for side, loss in zip(("forward", "backward"), losses)]
            if what == "gradient":
                next(self.model.parameters()).grad.view(-1)[0] = math.inf
        return losses, after

    monkeypatch.setattr(Stepper, "train", broken)
    reason = f"the {what} {'loss ' if what != 'gradient' else ''}is not a finite number"
    _fails(TrainingError, config, out, "step 31", reason, "is of step 27", "learn_rate 0.005", "grad_clip")
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
    _fails(TrainingError, config, tmp_path / "out", "stopped at step 1", "is of step 0", "largest weight inf")
    assert load_checkpoint(tmp_path / "out" / "checkpoint.pt").progress.step == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_perplexity_that_is_no_number_ends_it_too(text, tmp_path, monkeypatch, value):
    monkeypatch.setattr(run_module, "evaluate", lambda *args: Perplexity(value, 2.0, 10))
    _fails(TrainingError, tiny_config(text), tmp_path / "out", "CE043", "step 16", "the perplexity", "is of step 9")
    assert not (tmp_path / "out" / "model-best").exists()


# Text


def test_text_of_any_kind(tmp_path):
    sentences = make_sentences(40)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences))
    vocab = spacy.blank("en").vocab
    DocBin(docs=[Doc(vocab, words=text.split()) for text in sentences]).to_disk(folder / "b.spacy")
    one, dev = write_text(tmp_path / "one.txt", 40), write_text(tmp_path / "dev.txt", 30, seed=9)
    config = tiny_config([str(one), str(folder)], max_steps=3)
    config["paths"]["dev"] = [str(dev)]
    train(config, tmp_path / "out")
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert "| Text trained on | one.txt, a.jsonl, b.spacy |" in card
    assert "| Its size | 960 tokens, sentence ends included; 24 different words |" in card
    assert "| Text evaluated on | dev.txt: 240 tokens |" in card


def test_a_pipeline_splits_the_text(tmp_path):
    (tmp_path / "a.txt").write_text(" ".join(make_sentences(60)))
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "nlp")
    config = tiny_config(tmp_path / "a.txt", max_steps=2)
    del config["nlp"]
    config["paths"]["pipeline"] = str(tmp_path / "nlp")
    train(config, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "text" / "manifest.json").read_text())
    assert manifest["train"]["n_sentences"] + manifest["dev"]["n_sentences"] == 60


def test_very_little_text_will_do(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    for softmax in ("full", "sampled", "adaptive"):
        config = tiny_config(tmp_path / "a.txt", max_steps=2, unroll_steps=1, softmax={"kind": softmax})
        assert train(config, tmp_path / softmax).progress.step == 2


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"caf\xe9\n"])
@pytest.mark.parametrize("key", ["train", "dev"])
def test_text_that_cannot_be_used_is_named(text, tmp_path, key, content):
    file = tmp_path / "bad.txt"
    if content is not None:
        file.write_bytes(content)
    config = tiny_config(text)
    config["paths"][key] = str(file)
    _fails(CorpusError, config, tmp_path / "out", f"paths.{key}")
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


# A model to go on from


def test_it_may_begin_with_a_model(text, through, tmp_path):
    screen, best = Quiet(), through[0] / "model-best"
    config = tiny_config(text, init_from=str(best), lstm={"dim": 99}, max_steps=7, log_every=1)
    train(config, tmp_path / "out", screen=screen)
    assert screen.lines[0]["perplexity_forward"] < N_WORDS / 5
    assert read_elmo(tmp_path / "out" / "model-best").config == read_elmo(best).config
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert f"| Began with | {best} |" in card and "2 layers of 16 cells, 8 outputs" in card
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", screen=Quiet(stop_at=3))
    train(config, tmp_path / "stopped", resume=True)
    assert_same_training(tmp_path / "stopped", tmp_path / "out")


def test_a_model_that_is_nowhere_is_named(text, tmp_path):
    with pytest.raises(FileNotFoundError, match="CE010.*no-such-model"):
        train(tiny_config(text, init_from="no-such-model"), tmp_path / "out")


# The config


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"pretraining": {"max_stepz": 1}}, ["pretraining.max_stepz"]),
        ({"pretraining": {"max_epochs": 0, "max_steps": 0}}, ["pretraining.max_epochs"]),
        ({"paths": {}}, ["paths.train"]),
        ({"paths": {"train": []}}, ["paths.train"]),
        ({"paths": {"train": 1}}, ["paths.train", "a list of paths"]),
        ({"paths": {"train": ["a", 1]}}, ["paths.train"]),
        ({"paths": {"train": "a", "dev": ""}}, ["paths.dev", "null"]),
        ({"training": {"max_steps": 3}}, ["training", "only the sections"]),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_anything_is_written(text, tmp_path, changes, parts):
    _fails(ValueError, {**tiny_config(text), **changes}, tmp_path / "out", "CE001", *parts)
    assert not (tmp_path / "out").exists()


def test_it_must_say_who_tokenises(text, tmp_path):
    config = tiny_config(text)
    del config["nlp"]
    _fails(ValueError, config, tmp_path / "out", "CE001", "'nlp'")


@pytest.mark.parametrize(("key", "value"), [("n_threads", -1), ("n_process", 0), ("gpu_id", 99)])
def test_machines_that_are_not_there_are_refused(text, tmp_path, key, value):
    with pytest.raises(ValueError, match=f"CE001.*'{key}' is {value}"):
        pretrain_elmo(tiny_config(text), tmp_path / "out", screen=Quiet(), **{key: value})


def test_the_pipeline_is_initialized_where_the_config_says_how(tmp_path):
    def make_callback():
        def join(nlp):
            nlp.tokenizer.add_special_case("barksloudly", [{"ORTH": "barks"}, {"ORTH": "loudly"}])

        return join

    spacy.registry.callbacks.register("join_words", func=make_callback)
    file = tmp_path / "train.txt"
    file.write_text("the dog barksloudly .\n" * 40, encoding="utf8")
    config = tiny_config(file, max_steps=1)
    config["initialize"] = {"before_init": {"@callbacks": "join_words"}}

    pretrain_elmo(config, tmp_path / "out", screen=Quiet(), n_threads=1)

    words = (tmp_path / "out" / "text" / "vocab.txt").read_text(encoding="utf8").splitlines()
    assert {"barks", "loudly"} <= set(words)
    assert "barksloudly" not in words
