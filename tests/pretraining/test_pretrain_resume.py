"""pretraining/pretrain.py and run.py: a training that was killed or has ended goes on, and what may change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_ctx_embed.errors import TrainingError
from tests.pretraining.failing import fails, stopped
from tests.pretraining.tiny import (
    Quiet,
    assert_same_training,
    is_same,
    read_checkpoint,
    read_lines,
    tiny_config,
    train,
    write_text,
)

pytestmark = pytest.mark.usefixtures("no_pictures")
ROOT = Path(__file__).parents[2]


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
    reporter = Quiet()
    result = train(tiny_config(text), out, reporter=reporter, resume=True)
    assert (result.progress.step, result.reason, reporter.lines) == (40, "all steps done", [])
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
    fails(TrainingError, tiny_config(text), through[0], f"pretraining.{key}", overrides=changes, resume=True)
    assert (through[0] / "config.cfg").read_bytes() == before


def test_the_learning_rate_may_change(text, tmp_path):
    out = stopped(text, tmp_path / "out")
    optimizer = {"kind": "adamw", "learn_rate": 0.005, "betas": [0.8, 0.9], "weight_decay": 0.01}
    reporter = Quiet()
    changed = tiny_config(text, optimizer=optimizer, eval_every=30, log_every=1, dropout=0.2, grad_clip=1.0)
    train(changed, out, reporter=reporter, resume=True)
    assert [line["step"] for line in reporter.lines if line["kind"] == "train"] == list(range(15, 41))
    assert {line["learn_rate"] for line in reporter.lines if line["kind"] == "train"} == {0.005}
    group = read_checkpoint(out)["optimizer"]["param_groups"][0]
    assert (group["lr"], list(group["betas"]), group["weight_decay"]) == (0.005, [0.8, 0.9], 0.01)


@pytest.mark.parametrize("kinds", [("adamw", "adagrad"), ("adagrad", "adamw")])
def test_the_optimiser_may_change(text, tmp_path, kinds):
    first, second = ({"kind": kind, "learn_rate": 0.02} for kind in kinds)
    out = stopped(text, tmp_path / "out", optimizer=first)
    before = read_checkpoint(out)
    train(tiny_config(text, optimizer=second, max_steps=15), out, resume=True)
    after = read_checkpoint(out)
    assert set(after["optimizer"]["state"][0]) != set(before["optimizer"]["state"][0])
    assert after["progress"]["step"] == 15 and not is_same(before["model"], after["model"])


def test_other_text_is_refused(text, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    write_text(folder / "a.txt")
    out = stopped(folder, tmp_path / "out")
    write_text(folder / "b.txt", n=10, seed=7)
    for _ in range(2):  # and not taken for the text of before afterwards
        fails(TrainingError, tiny_config(folder), out, "the text", "paths.train", resume=True)
    (folder / "b.txt").unlink()
    os.utime(folder / "a.txt")  # the same text again
    assert train(tiny_config(folder, max_steps=15), out, resume=True).progress.step == 15


@pytest.mark.parametrize("key", ["train", "dev"])
def test_the_same_words_in_another_order_are_other_text(text, tmp_path, key):
    # As many of each word: words and their counts do not tell them apart.
    files = {name: write_text(tmp_path / name, n=60, seed=seed) for seed, name in enumerate(("train", "dev"))}
    config = {**tiny_config(files["train"]), "paths": {name: str(file) for name, file in files.items()}}
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", reporter=Quiet(stop_at=14))
    lines = files[key].read_text(encoding="utf8").splitlines()
    files[key].write_text("\n".join(reversed(lines)) + "\n", encoding="utf8")
    fails(TrainingError, config, tmp_path / "out", "the text", f"paths.{key}", resume=True)


def test_a_damaged_checkpoint_is_named(text, through, tmp_path):
    out = shutil.copytree(through[0], tmp_path / "out")
    (out / "checkpoint.pt").write_bytes(b"damaged")
    fails(TrainingError, tiny_config(text), out, "CE042", str(out / "checkpoint.pt"), resume=True)
