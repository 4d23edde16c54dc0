"""networks/transformer/module_state.py and draws.py: what a pass leaves behind is seen and undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from spacy_ctx_embed.networks.transformer.draws import draws_of
from spacy_ctx_embed.networks.transformer.module_state import put_back


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mode = "sparse"
        self.seen = []
        self.inner = nn.Linear(2, 2)
        self.register_buffer("table", torch.zeros(3))


CHANGES = {
    "an attribute": lambda block: setattr(block, "mode", "full"),
    "a new attribute": lambda block: setattr(block, "cache", 1),
    "a list": lambda block: block.seen.append(1),
    "a submodule": lambda block: setattr(block, "inner", nn.Linear(2, 2)),
    "a buffer": lambda block: block.register_buffer("table", torch.ones(9)),
    "a buffer in place": lambda block: block.table.add_(1),
    "an inner attribute": lambda block: setattr(block.inner, "in_features", 7),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_what_is_changed_is_named_and_put_back(change):
    whole = nn.Sequential(_Block())
    block = whole[0]
    inner = block.inner
    with put_back(whole) as changes:
        CHANGES[change](block)
    assert changes.found
    assert (block.mode, block.seen, block.inner, inner.in_features) == ("sparse", [], inner, 2)
    assert not hasattr(block, "cache") and torch.equal(block.table, torch.zeros(3))


def test_weights_mode_of_training_and_equal_values_are_no_change():
    whole = nn.Sequential(_Block())
    with put_back(whole) as changes, torch.no_grad():
        whole[0].inner.weight.add_(1)
        whole.train(not whole.training)
        whole[0].mode = "".join(["spar", "se"])
    assert changes.found == []


def test_what_is_changed_is_put_back_after_an_error_too():
    block = _Block()
    block.forward = lambda: setattr(block, "mode", "full") or torch.zeros(2) @ torch.zeros(3)
    with pytest.raises(RuntimeError), put_back(block):
        block.forward()
    assert block.mode == "sparse"


@pytest.mark.parametrize("draw", [lambda: torch.rand(1).item(), lambda: np.random.rand()])
def test_draws_are_seen_fixed_and_kept_from_those_outside(draw):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = draw()
    torch.manual_seed(1)
    np.random.seed(1)
    found = []
    for _ in range(2):
        with draws_of(torch.device("cpu"), fixed=True) as draws:
            found.append(draw())
        assert draws.found
    assert found[0] == found[1] != expected
    assert draw() == expected
    with draws_of(torch.device("cpu"), fixed=False) as draws:
        torch.ones(1)
    assert not draws.found
