"""pretraining/stop.py and console.py: signals and reporters that stop a whole training, which is then gone on with."""

from __future__ import annotations

import signal
from contextlib import contextmanager

import pytest

from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.step import Stepper
from tests.pretraining.tiny import Quiet, assert_same_training, read_lines, tiny_config, train

pytestmark = pytest.mark.usefixtures("no_pictures", "interruptible")


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where the tests were started in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def _signal_at(step, number=signal.SIGINT, times=1):
    """Send a signal while the batch of a step is learnt from."""
    compute = Stepper.train

    def interrupted(self, batch, states, at, frozen=False):
        if at == step:
            for _ in range(times):
                signal.raise_signal(number)
        return compute(self, batch, states, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "train", interrupted)
        yield


@pytest.mark.parametrize("stops", [[7], [16], [21, 28]])
def test_a_screen_may_stop_it(text, through, tmp_path, stops):
    out, config = tmp_path / "out", tiny_config(text)
    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            train(config, out, reporter=Quiet(stop_at=step), resume=out.exists())
        assert load_checkpoint(out / "checkpoint.pt").progress.step == step
    train(config, out, resume=True)
    assert_same_training(out, through[0])


def test_asked_for_the_end_at_the_end_it_just_ends(text, through, tmp_path):
    assert train(tiny_config(text), tmp_path / "out", reporter=Quiet(stop_at=40)).reason == "all steps done"
    assert_same_training(tmp_path / "out", through[0])


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


def test_a_signal_that_is_ignored_stays_so(text, tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _signal_at(1, signal.SIGTERM):
            assert train(tiny_config(text, max_steps=3), tmp_path / "out").progress.step == 3
    finally:
        signal.signal(signal.SIGTERM, before)
