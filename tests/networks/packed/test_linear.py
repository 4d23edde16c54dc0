"""networks/packed/linear.py: the same results, and nothing more to save."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from transformers.activations import GELUActivation

from spacy_ctx_embed.networks.packed import linear as packed_linear
from spacy_ctx_embed.networks.packed.linear import pack_linears


def _module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 8, bias=False)).eval()


@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (0, 24), (1, 24)])
def test_a_packed_module_gives_the_same_rows(shape):
    plain, packed, x = _module(), _module(), torch.randn(shape)
    pack_linears(packed)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), plain(x), atol=1e-5, rtol=1e-5)


def test_gradients_still_reach_the_input():
    module, x = _module(), torch.randn(3, 24, requires_grad=True)
    pack_linears(module)
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("through", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_hold_no_packed_weights_and_work(through):
    module, x = _module(), torch.randn(3, 24)
    pack_linears(module)
    with torch.inference_mode():
        expected = module(x)
        copied = through(module)
        assert copied[0]._packed is None
        torch.testing.assert_close(copied(x), expected)
    assert module.state_dict().keys() == _module().state_dict().keys()


def test_another_precision_forgets_what_was_packed():
    module, x = _module(), torch.randn(3, 24)
    pack_linears(module)
    with torch.inference_mode():
        module(x)
        assert module.double()(x.double()).dtype == torch.float64


class _Intermediate(nn.Module):
    # As in the BERT family.
    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(1)
        self.dense = nn.Linear(24, 40)
        self.intermediate_act_fn = activation

    def forward(self, x):
        return self.intermediate_act_fn(self.dense(x))


@pytest.mark.parametrize("activation", [nn.GELU(), nn.GELU("tanh"), nn.ReLU(), GELUActivation()])
def test_an_activation_is_applied_exactly_once(activation):
    plain, packed, x = _Intermediate(activation), _Intermediate(activation), torch.randn(5, 24)
    pack_linears(packed)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), plain(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed(x), plain(x))  # with gradients, the plain way
    torch.testing.assert_close(copy.deepcopy(packed)(x), plain(x))


def test_a_large_module_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(packed_linear, "MAX_BYTES", 100)
    module = _module()
    pack_linears(module)
    assert type(module[0]) is nn.Linear
