"""pretraining/network/lstm.py: the backward pass written by hand against autograd over the plain equations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import pytest
import torch

from spacy_ctx_embed.pretraining.network.lstm import ProjectedLstm, tanh_
from spacy_ctx_embed.pretraining.network.workspace import Workspace
from tests.pretraining.small_models import plain_lstm

WIDTH, DIM = 5, 7
NAMES = ("x", "weight", "bias", "projection")


@dataclass
class Case:
    """Inputs of a layer, and a gradient that comes back to its outputs."""

    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    projection: torch.Tensor
    h: torch.Tensor
    c: torch.Tensor
    fresh: Optional[torch.Tensor]
    clips: Tuple[Optional[float], Optional[float]]
    back: torch.Tensor

    @property
    def leaves(self) -> List[torch.Tensor]:
        return [getattr(self, name).detach().clone().requires_grad_() for name in NAMES]


def random_case(n_steps=6, n_rows=3, clips=(None, None), reset=False, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    fresh = None
    if reset:
        fresh = (torch.rand((n_steps, n_rows, 1), generator=generator) > 0.4).to(dtype)
        fresh[0, 0] = 0
    return Case(
        x=draw(n_steps, n_rows, WIDTH),
        weight=draw(2 * WIDTH, 4 * DIM) * 0.5,
        bias=draw(4 * DIM) * 0.5,
        projection=draw(DIM, WIDTH) * 0.5,
        h=draw(n_rows, WIDTH) * 0.3,
        c=draw(n_rows, DIM) * 0.3,
        fresh=fresh,
        clips=clips,
        back=draw(n_steps, n_rows, WIDTH),
    )


def ours(case, workspace=None, dtype=None):
    """Outputs, last h, last c and the gradients of ``NAMES``."""
    leaves = case.leaves
    workspace = workspace or Workspace()
    found = ProjectedLstm.apply(*leaves, case.h, case.c, case.fresh, case.clips, dtype or case.x.dtype, workspace)
    grads = torch.autograd.grad(found[0], leaves, case.back)
    return [*(part.detach() for part in found), *(grad.clone() for grad in grads)]


def plain(case):
    leaves = case.leaves
    found = plain_lstm(*leaves, case.h, case.c, case.fresh, case.clips)
    return [*(part.detach() for part in found), *torch.autograd.grad(found[0], leaves, case.back)]


def compare(found, expected, **tolerance):
    for name, one, other in zip(("outputs", "h", "c", *NAMES), found, expected):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


CLIPS = {
    "no_clips": (None, None),
    "zero_clips": (0, 0.0),
    "both": (0.4, 0.25),
    "cells": (0.4, None),
    "outputs": (None, 0.25),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("reset", [False, True], ids=["carried", "reset"])
@pytest.mark.parametrize("clips", list(CLIPS))
@pytest.mark.parametrize(("n_steps", "n_rows"), [(6, 3), (1, 3), (6, 1), (1, 1)])
def test_equals_autograd_over_the_equations(n_steps, n_rows, clips, reset, dtype):
    case = random_case(n_steps, n_rows, CLIPS[clips], reset, dtype)
    # Gradients of the inputs, biases and projection are float32 in any case: see the class.
    compare(ours(case), plain(case), atol=1e-6, rtol=2e-6)


def test_clips_are_reached_by_these_tests():
    case = random_case(clips=CLIPS["both"])
    outputs, _, cells = ours(case)[:3]
    for values, bound in ((cells, 0.4), (outputs, 0.25)):
        share = float((values.abs() >= bound - 1e-7).float().mean())
        assert float(values.abs().max()) == pytest.approx(bound)
        assert 0.1 < share < 0.9
    free = ours(replace(case, clips=(None, None)))
    assert not torch.allclose(free[0], outputs, atol=1e-2)


def test_a_clipped_value_passes_no_gradient_on():
    case = random_case(n_steps=1, n_rows=1, clips=(None, 1e-6))
    found = ours(case)
    assert torch.equal(found[0].abs(), torch.full((1, 1, WIDTH), 1e-6))
    assert all(not grad.any() for grad in found[3:])


@pytest.mark.parametrize("clips", ["no_clips", "both"])
def test_gradients_equal_finite_differences(clips):
    case = random_case(3, 2, CLIPS[clips], reset=True, dtype=torch.float64)

    def outputs(*leaves):
        return ProjectedLstm.apply(*leaves, case.h, case.c, case.fresh, case.clips, torch.float64, Workspace())[0]

    assert torch.autograd.gradcheck(outputs, case.leaves)


@pytest.mark.parametrize("reset", [False, True], ids=["carried", "reset"])
@pytest.mark.parametrize("clips", ["no_clips", "both"])
def test_bfloat16_products_stay_near_float32(clips, reset):
    case = random_case(8, 4, CLIPS[clips], reset)
    found, expected = ours(case, dtype=torch.bfloat16), plain(case)
    for name, one, other in zip(("outputs", "h", "c", *NAMES), found, expected):
        assert one.dtype == torch.float32
        distance = float((one - other).norm() / other.norm())
        assert distance < (0.02 if name in ("outputs", "h", "c") else 0.08), name
    assert not torch.equal(found[0], expected[0])


def test_memory_used_again_changes_nothing():
    workspace = Workspace()
    for seed, (n_steps, n_rows) in enumerate([(6, 3), (6, 3), (2, 5), (6, 3), (1, 1)]):
        case = random_case(n_steps, n_rows, CLIPS["both"], reset=seed % 2 == 1, seed=seed)
        for found, expected in zip(ours(case, workspace), ours(case)):
            assert torch.equal(found, expected)


def test_memory_used_again_for_another_precision():
    workspace, case = Workspace(), random_case()
    low = ours(case, workspace, torch.bfloat16)
    compare(ours(case, workspace), plain(case), atol=1e-6, rtol=2e-6)
    for found, expected in zip(ours(case, workspace, torch.bfloat16), low):
        assert torch.equal(found, expected)


def test_a_graph_whose_memory_was_used_again_is_refused():
    case, workspace = random_case(), Workspace()
    leaves = case.leaves
    settings = (case.h, case.c, None, case.clips, torch.float32, workspace)
    outputs = ProjectedLstm.apply(*leaves, *settings)[0]
    ProjectedLstm.apply(*leaves, *settings)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(outputs, leaves, case.back)


def test_outputs_and_states_of_before_outlive_the_memory():
    case, workspace = random_case(), Workspace()
    first = ours(case, workspace)[:3]
    kept = [part.clone() for part in first]
    ours(random_case(seed=1), workspace)
    assert all(torch.equal(one, other) for one, other in zip(first, kept))


def test_what_is_given_is_not_written_to():
    case = random_case(clips=CLIPS["both"], reset=True)
    before = [part.clone() for part in (case.h, case.c, case.fresh, case.back)]
    leaves = case.leaves
    outputs = ProjectedLstm.apply(*leaves, case.h, case.c, case.fresh, case.clips, torch.float32, Workspace())[0]
    torch.autograd.grad(outputs, leaves, case.back)
    assert all(torch.equal(a, b) for a, b in zip((case.h, case.c, case.fresh, case.back), before))
    assert all(torch.equal(leaf, getattr(case, name)) for name, leaf in zip(NAMES, leaves))


def test_reading_goes_on_from_the_last_state():
    case, workspace = random_case(n_steps=6, clips=CLIPS["both"], reset=True), Workspace()
    whole = ours(case)
    h, c, parts = case.h, case.c, []
    for start in (0, 2, 4):
        end = start + 2
        part = replace(case, x=case.x[start:end], h=h, c=c, fresh=case.fresh[start:end], back=case.back[start:end])
        outputs, h, c = ours(part, workspace)[:3]
        parts.append(outputs)
    torch.testing.assert_close(torch.cat(parts), whole[0])
    torch.testing.assert_close(h, whole[1])
    torch.testing.assert_close(c, whole[2])


def test_a_reset_row_forgets_the_state_and_no_other_does():
    case = random_case(n_steps=4, n_rows=2)
    fresh = torch.ones((4, 2, 1))
    fresh[2, 0] = 0
    case = replace(case, fresh=fresh)
    outputs = ours(case)[0]
    alone = ours(replace(case, x=case.x[2:], h=case.h * 0, c=case.c * 0, fresh=None, back=case.back[2:]))[0]
    carried = ours(replace(case, fresh=None))[0]
    torch.testing.assert_close(outputs[2:, 0], alone[:, 0])
    torch.testing.assert_close(outputs[:, 1], carried[:, 1])


def test_no_gradient_leads_out_of_the_batch():
    case = random_case()
    h, c = case.h.clone().requires_grad_(), case.c.clone().requires_grad_()
    leaves = case.leaves
    outputs, *last = ProjectedLstm.apply(*leaves, h, c, None, case.clips, torch.float32, Workspace())
    assert not any(part.requires_grad for part in last)
    found = torch.autograd.grad(outputs, [*leaves, h, c], case.back, allow_unused=True)
    assert found[-2:] == (None, None)


def test_inputs_that_need_no_gradient():
    case = random_case()
    x, *leaves = case.leaves
    outputs = ProjectedLstm.apply(x.detach(), *leaves, case.h, case.c, None, case.clips, torch.float32, Workspace())[0]
    for found, expected in zip(torch.autograd.grad(outputs, leaves, case.back), plain(case)[4:]):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=2e-6)


def test_memory_is_kept_by_name_shape_and_dtype():
    workspace, cpu = Workspace(), torch.device("cpu")
    first = workspace.take("a", (2, 3), torch.float32, cpu)
    assert workspace.take("a", (2, 3), torch.float32, cpu) is first
    assert workspace.take("b", (2, 3), torch.float32, cpu) is not first
    assert workspace.take("a", (3, 2), torch.float32, cpu).shape == (3, 2)
    assert workspace.take("a", (3, 2), torch.bfloat16, cpu).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_tanh_in_place(dtype):
    x = torch.cat([torch.linspace(-30, 30, 201), torch.tensor([-1e4, 1e4, 0.0])]).to(dtype)
    expected = torch.tanh(x.double())
    found = tanh_(x)
    assert found is x
    torch.testing.assert_close(found.double(), expected, atol=3e-7, rtol=0)
