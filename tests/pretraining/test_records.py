"""pretraining/records.py: a log that can be gone on with, and a picture of it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from spacy_ctx_embed.pretraining.records import LOG, PICTURE, Log, clock, draw_losses, perplexity, read_log

FULL = Path("/dev/full")


@pytest.fixture
def file(tmp_path):
    return tmp_path / LOG


def _values(step, **more):
    return {"step": step, "tokens": step * 64, "perplexity_forward": 9.5, "perplexity_backward": 8.5, **more}


def _write(file, *steps, kind="train"):
    log = Log(file, 0)
    for step in steps:
        log.write(kind, _values(step))
    return log


def _steps(file):
    return [line["step"] for line in read_log(file)]


def test_each_line_is_an_object(file):
    _write(file, 1, 2)
    lines = file.read_text(encoding="utf8").splitlines()
    assert [json.loads(line) for line in lines] == [{"kind": "train", **_values(1)}, {"kind": "train", **_values(2)}]
    assert read_log(file) == [json.loads(line) for line in lines]


def test_a_log_that_is_not_there_has_no_lines(file):
    assert read_log(file) == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("step", "kept"), [(0, []), (1, [1]), (3, [1, 2, 3]), (4, [1, 2, 3, 5][:3]), (9, [1, 2, 3, 5])]
)
def test_what_comes_after_the_checkpoint_is_taken_out(file, step, kept):
    _write(file, 1, 2, 3, 5)
    Log(file, step).write("train", _values(7))
    assert _steps(file) == [*kept, 7]
    assert [inside.name for inside in file.parent.iterdir()] == [LOG]


def test_the_end_of_before_is_taken_out(file):
    _write(file, 1, 2).write("end", {"step": 2, "reason": "all steps done"})
    assert _steps(file) == [1, 2, 2]
    Log(file, 2)
    assert [(line["kind"], line["step"]) for line in read_log(file)] == [("train", 1), ("train", 2)]


@pytest.mark.parametrize("rest", ['{"kind": "tr', "{", "", "\x00\x00\x00", '{"kind": "train", "step": 9'])
def test_a_line_half_written_does_not_count(file, rest):
    _write(file, 1, 2)
    with file.open("a") as stream:
        stream.write(rest)
    assert _steps(file) == [1, 2]
    Log(file, 5).write("train", _values(6))
    assert _steps(file) == [1, 2, 6]


@pytest.mark.parametrize("rest", [b"\x00\x00\n", b"\xff\xfe\n", b"}\n"])
def test_nothing_counts_after_what_is_no_line(file, rest):
    _write(file, 1, 2)
    file.write_bytes(file.read_bytes() + rest + b'{"kind": "train", "step": 3}\n')
    assert _steps(file) == [1, 2]


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error_with_a_fix(file):
    log = _write(file, 1)
    file.unlink()
    file.symlink_to(FULL)
    with pytest.raises(OSError, match=r"CE041.*log\.jsonl.*No space left.*--resume"):
        log.write("train", _values(2))
    file.unlink()
    file.with_name(f"{LOG}.tmp").symlink_to(FULL)
    with pytest.raises(OSError, match="CE041"):
        _write(file, 1).write("train", _values(2))


def test_a_folder_that_is_gone_is_an_error_too(tmp_path):
    with pytest.raises(OSError, match="CE041"):
        Log(tmp_path / "gone" / LOG, 0)


# The picture


@pytest.fixture
def drawn(file):
    pytest.importorskip("matplotlib")
    log = _write(file, 1, 2, 3)
    log.write("eval", _values(3, best=True))
    return file.with_name(PICTURE)


def test_a_picture_is_drawn(drawn):
    assert draw_losses(drawn.parent) is True
    assert drawn.read_bytes().startswith(b"\x89PNG") and len(drawn.read_bytes()) > 10_000
    assert sorted(file.name for file in drawn.parent.iterdir()) == [LOG, PICTURE]


def test_it_shows_both_directions_of_both_kinds(drawn, monkeypatch):
    from matplotlib.axes import Axes

    curves, plot = [], Axes.plot

    def keep(self, *args, **kwargs):
        curves.append((args, kwargs))
        return plot(self, *args, **kwargs)

    monkeypatch.setattr(Axes, "plot", keep)
    draw_losses(drawn.parent)
    assert [kwargs["label"] for _, kwargs in curves] == [
        f"{kind}, {direction}" for kind in ("train", "eval") for direction in ("forward", "backward")
    ]
    (x, y, _), _ = curves[0]
    assert x == [64e-6, 128e-6, 192e-6] and y == [9.5] * 3
    assert curves[3][0][1] == [8.5]


def test_a_log_without_evaluations_is_drawn(file):
    pytest.importorskip("matplotlib")
    _write(file, 1)
    assert draw_losses(file.parent) is True
    Log(file, 0)
    assert draw_losses(file.parent) is True


def test_without_matplotlib_nothing_is_drawn(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _write(file, 1)
    assert draw_losses(file.parent) is False
    assert not (file.parent / PICTURE).exists()


def test_a_picture_that_cannot_be_written_leaves_the_old_one(drawn):
    draw_losses(drawn.parent)
    before = drawn.read_bytes()
    (drawn.parent / f".{PICTURE}").mkdir()
    with pytest.raises(OSError, match=r"CE041.*loss\.png"):
        draw_losses(drawn.parent)
    assert drawn.read_bytes() == before


# Figures


def test_perplexity():
    assert perplexity(0) == 1
    assert perplexity(math.log(40)) == pytest.approx(40)
    assert perplexity(1e5) == math.inf


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (360000, "100:00:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
