"""pretraining/optimizer.py: the learning rate from the first step to the last, and the steps of both optimisers."""

from __future__ import annotations

import math

import pytest
import torch

from spacy_ctx_embed.pretraining.optimizer import learn_rate, make_optimizer
from tests.pretraining.small_models import small_settings

N_STEPS = 100


def optimizer_settings(**changes):
    return small_settings(**{f"optimizer__{name}": value for name, value in changes.items()}).optimizer


def rates(n_steps=N_STEPS, **changes):
    settings = optimizer_settings(learn_rate=0.5, **changes)
    return [learn_rate(settings, step, n_steps) for step in range(n_steps)]


def test_without_decay_the_rate_stays():
    assert set(rates(decay="none")) == {0.5}


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_warm_up_rises_in_equal_steps_to_the_highest_rate(decay):
    found = rates(decay=decay, warmup_steps=10)
    assert found[:10] == pytest.approx([0.05 * (step + 1) for step in range(10)])
    assert found[9] == found[10] == 0.5 == max(found)


@pytest.mark.parametrize("warmup", [0, 10])
def test_linear_decay_would_reach_zero_after_the_last_step(warmup):
    found = rates(decay="linear", warmup_steps=warmup)
    assert found[warmup] == 0.5
    assert found[-1] == pytest.approx(0.5 / (N_STEPS - warmup))
    steps = {round(before - after, 12) for before, after in zip(found[warmup:], found[warmup + 1 :])}
    assert steps == {round(0.5 / (N_STEPS - warmup), 12)}
    assert learn_rate(optimizer_settings(decay="linear"), N_STEPS, N_STEPS) == 0


@pytest.mark.parametrize("warmup", [0, 10])
def test_cosine_decay_falls_slowly_at_both_ends(warmup):
    found = rates(decay="cosine", warmup_steps=warmup)
    assert found[warmup] == 0.5
    assert found[warmup + (N_STEPS - warmup) // 2] == pytest.approx(0.25)
    assert found[-1] == pytest.approx(0.25 * (1 - math.cos(math.pi / (N_STEPS - warmup))))
    assert sorted(found[warmup:], reverse=True) == found[warmup:]
    assert learn_rate(optimizer_settings(decay="cosine"), N_STEPS, N_STEPS) == 0


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_a_training_of_one_step_and_one_that_never_warms_up(decay):
    assert rates(n_steps=1, decay=decay) == [0.5]
    found = rates(n_steps=5, decay=decay, warmup_steps=20)
    assert found == pytest.approx([0.025 * (step + 1) for step in range(5)])


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_beyond_the_last_step_the_rate_is_zero(decay):
    assert learn_rate(optimizer_settings(decay=decay, warmup_steps=3), 150, N_STEPS) == 0


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_where_the_network_learns_later_the_rate_rises_twice(decay):
    settings = optimizer_settings(learn_rate=0.5, warmup_steps=10, decay=decay)
    found = [learn_rate(settings, step, N_STEPS, 30) for step in range(N_STEPS)]
    assert found[:30] == [
        learn_rate(optimizer_settings(learn_rate=0.5, warmup_steps=10), step, 30) for step in range(30)
    ]
    assert found[30:] == [learn_rate(settings, step, N_STEPS - 30) for step in range(N_STEPS - 30)]


def parameter_with_gradient():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    parameter.grad = torch.tensor([0.5, -4.0, 0.0])
    return parameter


@pytest.mark.parametrize("accumulator", [0.1, 1.0])
def test_adagrad_starts_from_its_accumulator(accumulator):
    parameter = parameter_with_gradient()
    optimizer = make_optimizer([parameter], optimizer_settings(learn_rate=0.2, initial_accumulator=accumulator))
    before, grad = parameter.detach().clone(), parameter.grad.clone()
    expected, total = before, torch.full((3,), accumulator)
    for _ in range(3):
        optimizer.step()
        total = total + grad**2
        expected = expected - 0.2 * grad / total.sqrt()
    torch.testing.assert_close(parameter.detach(), expected)


def test_adamw_decays_weights_apart_from_the_gradient():
    parameter = parameter_with_gradient()
    settings = optimizer_settings(kind="adamw", learn_rate=0.01, betas=[0.8, 0.9], weight_decay=0.5)
    optimizer = make_optimizer([parameter], settings)
    expected, grad = parameter.detach().clone(), parameter.grad.clone()
    first, second = torch.zeros(3), torch.zeros(3)
    for step in range(1, 4):
        optimizer.step()
        first, second = 0.8 * first + 0.2 * grad, 0.9 * second + 0.1 * grad**2
        change = (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)).sqrt() + 1e-8)
        expected = expected * (1 - 0.01 * 0.5) - 0.01 * change
    torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("kind", ["adagrad", "adamw", "muon"])
def test_the_rate_that_is_set_counts_and_zero_changes_nothing(kind):
    parameter = parameter_with_gradient()
    optimizer = make_optimizer(iter([parameter]), optimizer_settings(kind=kind))
    before = parameter.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert torch.equal(parameter.detach(), before)
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    assert not torch.equal(parameter.detach(), before)


@pytest.mark.parametrize("kind", ["adagrad", "adamw"])
def test_a_state_that_is_loaded_goes_on_in_the_same_way(kind):
    results = []
    for cut in (None, 2):
        parameter = parameter_with_gradient()
        optimizer = make_optimizer([parameter], optimizer_settings(kind=kind))
        for step in range(4):
            if step == cut:
                state = optimizer.state_dict()
                optimizer = make_optimizer([parameter], optimizer_settings(kind=kind))
                optimizer.load_state_dict(state)
            optimizer.step()
        results.append(parameter.detach())
    assert torch.equal(*results)
