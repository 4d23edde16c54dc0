"""pretraining/network/initial.py: distributions of the random weights, and that all of them are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining.network.initial import draw_weights
from tests.pretraining.small_models import small_settings

DIM, WIDTH, N_FILTERS = 40, 24, 80
SIZES = {"char_cnn__embedding_dim": 16, "char_cnn__filters": [[1, 30], [3, 50]], "char_cnn__n_highway": 2}
LAYERS = {"lstm__dim": DIM, "lstm__projection_dim": WIDTH}


def drawn(seed=0, **changes):
    elmo = ElmoModule(small_settings(**{**SIZES, **LAYERS, **changes}).network())
    with torch.no_grad():
        for parameter in elmo.parameters():
            parameter.fill_(math.nan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draw_weights(elmo)
    return {name: part.detach() for name, part in elmo.named_parameters()}


def assert_uniform(values, bound):
    assert float(values.abs().max()) <= bound
    assert float(values.abs().max()) > 0.97 * bound
    assert float(values.mean()) == pytest.approx(0, abs=0.1 * bound)
    assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.06)


def assert_normal(values, std):
    assert float(values.mean()) == pytest.approx(0, abs=0.1 * std)
    assert float(values.std()) == pytest.approx(std, rel=0.06)
    assert float((values.abs() < std).float().mean()) == pytest.approx(0.683, abs=0.03)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_weight_is_drawn(activation):
    assert all(torch.isfinite(part).all() for part in drawn(char_cnn__activation=activation).values())


def test_the_weights_are_a_function_of_the_seed():
    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(part, again[name]) for name, part in first.items())
    assert not any(torch.equal(part, other[name]) for name, part in first.items() if not name.endswith("bias"))


def test_characters():
    table = drawn()["char_cnn.embedding.weight"]
    assert not table[0].any()
    assert_uniform(table[1:], 1.0)


def test_convolutions_before_a_relu():
    found = drawn(char_cnn__activation="relu")
    for i in (0, 1):
        assert_uniform(found[f"char_cnn.convs.{i}.weight"], 0.05)
        assert not found[f"char_cnn.convs.{i}.bias"].any()


def test_convolutions_before_a_tanh():
    found = drawn(char_cnn__activation="tanh")
    for i, width in ((0, 1), (1, 3)):
        assert_normal(found[f"char_cnn.convs.{i}.weight"], (width * 16) ** -0.5)
        assert not found[f"char_cnn.convs.{i}.bias"].any()


def test_highways_mostly_carry_their_input():
    found = drawn()
    for k in (0, 1):
        assert_normal(found[f"char_cnn.highways.{k}.weight"], N_FILTERS**-0.5)
        candidate, gate = found[f"char_cnn.highways.{k}.bias"].chunk(2)
        assert not candidate.any()
        assert torch.equal(gate, torch.full((N_FILTERS,), -2.0))


def test_projection_of_words():
    found = drawn()
    assert_normal(found["char_cnn.projection.weight"], N_FILTERS**-0.5)
    assert not found["char_cnn.projection.bias"].any()


@pytest.mark.parametrize("layer", [0, 1])
def test_lstms(layer):
    found = drawn()
    weight, bias, projection = (found[f"bilm.layers.{layer}.{name}"] for name in ("weight", "bias", "projection"))
    for direction in (0, 1):
        assert_uniform(weight[direction], math.sqrt(6 / (2 * WIDTH + 4 * DIM)))
        assert_uniform(projection[direction], math.sqrt(6 / (DIM + WIDTH)))
        i, f, o, j = bias[direction, 0].split(DIM)
        assert torch.equal(f, torch.ones(DIM))
        assert not (i.any() or o.any() or j.any())
    assert not torch.equal(weight[0], weight[1])
    assert not torch.equal(projection[0], projection[1])


def test_layers_differ():
    found = drawn()
    assert not torch.equal(found["bilm.layers.0.weight"], found["bilm.layers.1.weight"])


def test_a_network_without_highways():
    assert "char_cnn.highways.0.weight" not in drawn(char_cnn__n_highway=0)
