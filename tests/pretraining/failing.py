"""Tiny trainings that are stopped or fail, and what is expected of them."""

from __future__ import annotations

import pytest

from tests.pretraining.tiny import Quiet, tiny_config, train

N_WORDS = 24 + 3  # different ones in the text, and <S>, </S>, <UNK>


def fails(error, config, out, *parts, **more):
    with pytest.raises(error) as caught:
        train(config, out, **more)
    for part in ("Accepted: ", "Fix: ", *parts):
        assert part in str(caught.value)


def stopped(text, out, **settings):
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(text, **settings), out, reporter=Quiet(stop_at=14))
    return out
