"""encoders/scalar_mix.py: equation 1 of the ELMo paper as parameters of a model, its gradient against autograd."""

import threading

import numpy as np
import pytest
import torch
from thinc.api import Model

from spacy_ctx_embed.encoders.scalar_mix import MIX_PARAMS, add_mix_gradient, mix_params, mixer, start_mix


def _model():
    return Model("mixed", lambda model, X, is_train: (X, lambda d: d), params=dict.fromkeys(MIX_PARAMS))


def test_it_starts_from_equal_shares_or_from_what_a_model_brings():
    equal, brought = _model(), _model()
    start_mix(equal, 3)
    start_mix(brought, 3, ([0.5, -1.0, 2.0], 0.7))
    assert [part.tolist() for part in mix_params(equal)] == [[0, 0, 0], [1]]
    np.testing.assert_allclose(np.concatenate([part.numpy() for part in mix_params(brought)]), [0.5, -1, 2, 0.7])


def test_what_was_learnt_is_never_started_again():
    model = _model()
    start_mix(model, 2, ([1.0, 2.0], 3.0))
    start_mix(model, 2)
    assert mix_params(model)[0].tolist() == [1, 2]


def test_rows_and_gradients_of_parts_equal_autograd():
    torch.manual_seed(0)
    model = _model()
    start_mix(model, 3, ([0.5, -1.0, 2.0], 0.7))
    parts, d_rows = [torch.randn(3, n, 4) for n in (2, 5)], [torch.randn(n, 4) for n in (2, 5)]
    weights, gamma = (part.clone().requires_grad_() for part in mix_params(model))
    expected = [(gamma * (weights.softmax(0)[:, None, None] * part).sum(0)) for part in parts]
    mix = mixer(model, "scalar_mix")
    for part, rows in zip(parts, expected):
        torch.testing.assert_close(mix(part), rows.detach())
    torch.autograd.backward(expected, d_rows)
    add_mix_gradient(model, "scalar_mix", d_rows, parts)
    for name, param in zip(MIX_PARAMS, (weights, gamma)):
        np.testing.assert_allclose(model.get_grad(name), param.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("layer_mix", ["last", "mean", "sum", "concat"])
def test_another_mix_has_no_parameters_and_no_gradient(layer_mix):
    model, layers = _model(), torch.randn(2, 3, 4)
    rows = mixer(model, layer_mix)(layers)
    assert mix_params(model) is None
    add_mix_gradient(model, layer_mix, [rows], [layers])
    assert not model.has_grad(MIX_PARAMS[0])


def test_a_thread_that_comes_second_finds_all_of_it(monkeypatch):
    model, half_way, go_on = _model(), threading.Event(), threading.Event()
    set_param = Model.set_param

    def slow(self, name, value):
        set_param(self, name, value)
        if name == MIX_PARAMS[0]:
            half_way.set()
            go_on.wait(0.2)

    monkeypatch.setattr(Model, "set_param", slow)
    first = threading.Thread(target=start_mix, args=(model, 2))
    first.start()
    half_way.wait()
    start_mix(model, 2)
    assert [part.tolist() for part in mix_params(model)] == [[0, 0], [1]]
    go_on.set()
    first.join()
