"""pretraining/checkpoint.py: there and back, and what happens to the old file when a new one can't be written."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from spacy_ctx_embed.errors import TrainingError
from spacy_ctx_embed.pretraining.checkpoint import Checkpoint, Progress, load_checkpoint, save_checkpoint
from tests.pretraining.tiny import is_same

FULL = Path("/dev/full")  # a device on which nothing can be written: the real error of a full disk


def _checkpoint(step=5, seed=0, steps=2):
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.9, 0.98))
    for _ in range(steps):
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    states = [[(torch.randn(2, 3), torch.randn(2, 4)) for _ in range(2)] for _ in range(2)]
    progress = Progress(step, 3, 1.5, 1, 12.25, [[3, 4.5, 4.25, 100]])
    return Checkpoint(progress, model.state_dict(), optimizer.state_dict(), states, [7.5, 8.25, 2.0], "abc")


def _is_same(one, other):
    return is_same(vars(one) | {"progress": asdict(one.progress)}, vars(other) | {"progress": asdict(other.progress)})


@pytest.fixture
def file(tmp_path):
    """A checkpoint that was written before."""
    save_checkpoint(tmp_path / "checkpoint.pt", _checkpoint())
    return tmp_path / "checkpoint.pt"


def _assert_old_one_is_there(file):
    assert _is_same(load_checkpoint(file), _checkpoint())
    assert [inside.name for inside in file.parent.iterdir()] == [file.name]


def test_everything_comes_back(file):
    found = load_checkpoint(file)
    assert _is_same(found, _checkpoint())
    assert isinstance(found.progress.step, int)
    assert found.optimizer["state"][0]["exp_avg"].abs().sum() > 0


def test_a_new_one_takes_the_place_of_the_old_one(file):
    save_checkpoint(file, _checkpoint(step=6, seed=1))
    assert load_checkpoint(file).progress.step == 6
    assert [inside.name for inside in file.parent.iterdir()] == [file.name]


def test_before_the_first_step_nothing_is_accumulated(tmp_path):
    content = _checkpoint(step=0, steps=0)
    content.states = None
    save_checkpoint(tmp_path / "a", content)
    assert _is_same(load_checkpoint(tmp_path / "a"), content)


def test_the_best_loss_may_be_infinite(tmp_path):
    content = _checkpoint()
    content.progress = Progress()
    save_checkpoint(tmp_path / "a", content)
    assert load_checkpoint(tmp_path / "a").progress == Progress()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), RuntimeError("PytorchStreamWriter failed")])
def test_what_fails_leaves_the_old_one(file, monkeypatch, error):
    def fail(content, stream):
        stream.write(b"half of it")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="CE041") as caught:
        save_checkpoint(file, _checkpoint(step=6))
    for part in (str(file), str(error), "still there", "--resume"):
        assert part in str(caught.value)
    monkeypatch.undo()
    _assert_old_one_is_there(file)


def test_a_second_ctrl_c_leaves_the_old_one(file, monkeypatch):
    def stop(content, stream):
        stream.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(file, _checkpoint(step=6))
    monkeypatch.undo()
    _assert_old_one_is_there(file)


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_leaves_the_old_one(file):
    file.with_name("checkpoint.pt.tmp").symlink_to(FULL)
    with pytest.raises(OSError, match="CE041"):
        save_checkpoint(file, _checkpoint(step=6))
    _assert_old_one_is_there(file)


def test_a_disk_that_fills_up_on_the_way_leaves_the_old_one(file):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # bytes of a file; Python ignores the signal of it
    try:
        with pytest.raises(OSError, match="CE041"):
            save_checkpoint(file, _checkpoint(step=6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _assert_old_one_is_there(file)


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(OSError, match="CE041"):
        save_checkpoint(tmp_path / "gone" / "checkpoint.pt", _checkpoint())


def test_it_is_on_the_disk_before_it_takes_the_place(file, monkeypatch):
    done = []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("fsync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("replace"), replace(self, target))[1])
    save_checkpoint(file, _checkpoint(step=6))
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize("damage", ["empty", "half", "other bytes", "text", "a byte less"])
def test_a_damaged_file_is_named(file, damage):
    content = file.read_bytes()
    other = bytearray(content)
    other[100:200] = bytes(100)
    kinds = {"empty": b"", "half": content[: len(content) // 2], "text": b"no checkpoint", "other bytes": bytes(other)}
    file.write_bytes(kinds.get(damage, content[:-1]))
    with pytest.raises(TrainingError, match="CE042") as caught:
        load_checkpoint(file)
    assert str(file) in str(caught.value) and "pretraining.init_from" in str(caught.value)


@pytest.mark.parametrize("content", [[1], {"version": 1}, {"version": 2}, {"version": 2, "progress": {"steps": 1}}])
def test_something_else_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "a")
    with pytest.raises(TrainingError, match="CE042"):
        load_checkpoint(tmp_path / "a")


def test_no_code_in_it_is_run(tmp_path):
    torch.save({"version": 2, "progress": _Malicious(tmp_path / "ran")}, tmp_path / "a")
    with pytest.raises(TrainingError, match="CE042"):
        load_checkpoint(tmp_path / "a")
    assert not (tmp_path / "ran").exists()


class _Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "a")
