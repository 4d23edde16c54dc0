"""rows/mix.py: layers to one, and the gradient."""

import numpy as np
import pytest
import torch

from spacy_ctx_embed.rows.mix import (
    MIXES,
    backprop_factors,
    backprop_layers,
    choose_layers,
    layer_products,
    mix_layers,
    mixed_width,
)

WEIGHTS = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
GAMMA = torch.tensor([0.7], dtype=torch.float64)


def _layers():
    torch.manual_seed(0)
    return torch.randn(3, 4, 5, dtype=torch.float64)


@pytest.mark.parametrize("layer_mix", MIXES)
def test_the_mix_is_the_formula(layer_mix):
    layers = _layers()
    x = layers.numpy()
    shares = np.exp(WEIGHTS.numpy()) / np.exp(WEIGHTS.numpy()).sum()
    expected = {
        "last": x[2],
        "mean": x.mean(0),
        "sum": x.sum(0),
        "concat": np.concatenate(list(x), axis=1),
        "scalar_mix": 0.7 * (shares[:, None, None] * x).sum(0),
    }
    mixed = mix_layers(layers, layer_mix, WEIGHTS, GAMMA)
    np.testing.assert_allclose(mixed.numpy(), expected[layer_mix], atol=1e-12)
    assert mixed.shape[1] == mixed_width(layer_mix, 3, 5)


@pytest.mark.parametrize("layer_mix", MIXES)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_gradient_is_autograd_s(layer_mix, n_layers):
    layers = _layers()[:n_layers].requires_grad_()
    weights, gamma = WEIGHTS[:n_layers].clone().requires_grad_(), GAMMA.clone().requires_grad_()
    mixed = mix_layers(layers, layer_mix, weights, gamma)
    d_rows = torch.randn(mixed.shape, dtype=torch.float64)
    mixed.backward(d_rows)
    with torch.no_grad():
        d_layers = backprop_layers(d_rows, n_layers, layer_mix, weights, gamma)
        torch.testing.assert_close(d_layers, layers.grad)
        if layer_mix == "scalar_mix":
            d_weights, d_gamma = backprop_factors(layer_products(d_rows, layers), weights, gamma)
            torch.testing.assert_close(d_weights, weights.grad)
            torch.testing.assert_close(d_gamma, gamma.grad)


def test_negative_layers_count_from_the_end():
    assert choose_layers([-1, 0], "mean", 7) == [6, 0]


def test_last_needs_only_the_last_chosen_layer():
    assert choose_layers("all", "last", 7) == [6]
    assert choose_layers([1, 2], "last", 7) == [2]


def test_a_layer_outside_the_model_is_refused():
    with pytest.raises(IndexError, match="layers are 0 to 6"):
        choose_layers([7], "mean", 7)
