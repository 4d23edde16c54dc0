"""A tiny text, a training of it that ran through, and trainings without pictures, for the tests of whole trainings."""

from __future__ import annotations

import pytest

from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.records import draw_losses
from tests.pretraining.tiny import Quiet, tiny_config, train, write_text


@pytest.fixture
def no_pictures(monkeypatch):
    # One takes as long as fifty steps.
    monkeypatch.setattr(run_module, "draw_losses", lambda folder: False)


@pytest.fixture
def pictures(no_pictures, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run_module, "draw_losses", draw_losses)


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text") / "train.txt")


@pytest.fixture(scope="session")
def through(text, tmp_path_factory):
    """The folder of a training that ran through, and what its reporter was told."""
    out, reporter = tmp_path_factory.mktemp("through") / "out", Quiet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "draw_losses", lambda folder: False)
        train(tiny_config(text), out, reporter=reporter)
    return out, reporter
