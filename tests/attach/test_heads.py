"""attach/heads.py: dense layers stay in the process, and a Doc names them."""

from types import SimpleNamespace

import numpy as np
import pytest

from spacy_ctx_embed.attach import heads
from spacy_ctx_embed.data import Dense, TextHead


class _Component(SimpleNamespace):
    __hash__ = object.__hash__

    def text_head(self):
        return self.head


def _head(seed: int) -> TextHead:
    weight = np.random.default_rng(seed).normal(size=(2, 3)).astype("f")
    return TextHead(("mean", "cls"), (Dense(weight, None, "Tanh"), "normalize", 1))


def test_plain_data_is_a_head_again():
    head = _head(1)
    plain = heads.describe(head)
    assert plain["modes"] == ["mean", "cls"] and plain["steps"][1:] == ["normalize", 1]
    found = heads.restore("bert", plain)
    assert found.steps[0] is head.steps[0] and found.modes == head.modes


def test_a_layer_that_is_gone_is_asked_for_and_named_where_nobody_has_it(monkeypatch):
    plain = heads.describe(_head(2))
    monkeypatch.setattr(heads, "_LOADED", {})  # as in another process
    with pytest.raises(ValueError, match=r"\[CE028\].*'bert'.*Fix: load the pipeline"):
        heads.restore("bert", plain)
    other = _Component(name="bert", head=_head(3))  # of another model
    none = _Component(name="bert", head=None)
    heads.offer(other)
    heads.offer(none)
    with pytest.raises(ValueError, match="CE028"):
        heads.restore("bert", plain)
    right = _Component(name="bert", head=_head(2))
    heads.offer(right)
    assert heads.restore("bert", plain).steps[0] is right.head.steps[0]
