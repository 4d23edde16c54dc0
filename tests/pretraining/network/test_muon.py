"""pretraining/network/muon.py: steps of matrices against a plain loop by singular values; AdamW for all else."""

from __future__ import annotations

import math

import pytest
import torch

from spacy_ctx_embed.pretraining.network.muon import Muon, matrices_of, orthogonal
from spacy_ctx_embed.pretraining.optimizer import make_optimizer
from tests.pretraining.small_models import small_model, small_settings


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 4, 9), (3, 9, 4), (2, 5, 5), (1, 1, 3)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    found = orthogonal(drawn(*shape))
    for before, after in zip(drawn(*shape), found):
        u, values, v = torch.linalg.svd(before, full_matrices=False)
        inner = u.T @ after @ v.T  # the same polynomial of each singular value
        torch.testing.assert_close(inner, torch.diag(inner.diagonal()), atol=1e-4, rtol=0)
        large = values > 0.02 * values.norm()
        assert ((inner.diagonal()[large] > 0.6) & (inner.diagonal()[large] < 1.3)).all()


def test_zeros_stay_zeros():
    assert not orthogonal(torch.zeros(2, 3, 4)).any()


def test_every_gate_input_and_direction_is_a_matrix_of_its_own():
    elmo = small_model().elmo
    shapes = {id(part): tuple(cut(part).shape) for part, cut in matrices_of(elmo)}
    layer, cnn = elmo.bilm.layers[0], elmo.char_cnn
    assert shapes[id(layer.weight)] == (2, 2, 4, 6, 8)  # directions, input or recurrent, gates; width, cells
    assert shapes[id(layer.projection)] == (2, 8, 6)
    assert shapes[id(cnn.highways[0].weight)] == (2, 9, 9)
    assert shapes[id(cnn.projection.weight)] == (1, 6, 9)
    assert len(shapes) == 6
    weight = torch.arange(layer.weight.numel()).view(layer.weight.shape)
    cut = {id(part): cut for part, cut in matrices_of(elmo)}[id(layer.weight)](weight)
    assert torch.equal(cut[1, 0, 2], weight[1, :6, 16:24])
    assert torch.equal(cut[0, 1, 3], weight[0, 6:, 24:])


def test_steps_of_matrices_and_of_the_others():
    matrix, other = torch.nn.Parameter(drawn(2, 3, 5)), torch.nn.Parameter(drawn(4))
    alone = torch.nn.Parameter(other.detach().clone())
    settings = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.5, "fused": False}
    ours, adamw = Muon([(matrix, lambda x: x)], [other], **settings), torch.optim.AdamW([alone], **settings)
    expected, momentum = matrix.detach().clone(), torch.zeros(2, 3, 5)
    for step in range(3):
        matrix.grad, other.grad = drawn(2, 3, 5, seed=step), drawn(4, seed=step)
        alone.grad = other.grad.clone()
        momentum = 0.95 * momentum + matrix.grad
        change = orthogonal(matrix.grad + 0.95 * momentum)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 0.2 * math.sqrt(5) * change
        ours.step()
        adamw.step()
        assert matrix.grad is not None
    torch.testing.assert_close(matrix.detach(), expected)
    assert torch.equal(other, alone)


def test_what_has_no_gradient_stays():
    model = small_model()
    settings = small_settings(optimizer__kind="muon", optimizer__weight_decay=0.1).optimizer
    optimizer = make_optimizer(model.parameters(), settings, matrices_of(model.elmo))
    before = {name: part.detach().clone() for name, part in model.named_parameters()}
    for part in model.softmax.parameters():
        part.grad = torch.ones_like(part)
    optimizer.step()
    changed = {name for name, part in model.named_parameters() if not torch.equal(part, before[name])}
    assert changed == {"softmax.weight", "softmax.bias"}


def test_a_state_that_is_loaded_goes_on_in_the_same_way():
    found = []
    for cut in (None, 2):
        model = small_model()
        settings = small_settings(optimizer__kind="muon", optimizer__learn_rate=0.01).optimizer
        optimizer = make_optimizer(model.parameters(), settings, matrices_of(model.elmo))
        for step in range(4):
            if step == cut:
                state = optimizer.state_dict()
                optimizer = make_optimizer(model.parameters(), settings, matrices_of(model.elmo))
                optimizer.load_state_dict(state)
            for i, part in enumerate(model.parameters()):
                part.grad = drawn(*part.shape, seed=100 * step + i)
            optimizer.step()
        found.append([part.detach() for part in model.parameters()])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("shape", [(2, 16, 40), (1, 40, 16)])
def test_products_in_bfloat16_give_nearly_the_same_step(shape):
    exact, found = orthogonal(drawn(*shape)), orthogonal(drawn(*shape), torch.bfloat16)
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.999


def test_the_precision_of_a_training_is_that_of_its_steps():
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = small_model()
        settings = small_settings(optimizer__kind="muon", optimizer__learn_rate=0.01).optimizer
        optimizer = make_optimizer(model.parameters(), settings, matrices_of(model.elmo), dtype)
        for part in model.parameters():
            part.grad = drawn(*part.shape)
        optimizer.step()
        found.append(model.elmo.bilm.layers[0].weight.detach())
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, atol=1e-3, rtol=0)
