"""pretraining/network/cross_entropy.py: loss and gradients in blocks of rows against torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from spacy_ctx_embed.pretraining.network import cross_entropy as module
from spacy_ctx_embed.pretraining.network.cross_entropy import LinearCrossEntropy
from spacy_ctx_embed.pretraining.network.workspace import Workspace

WIDTH, N_WORDS = 5, 9
BLOCKS = {"a_row": 1, "two_rows": 2 * N_WORDS + 1, "three_rows": 3 * N_WORDS, "all_rows": 1 << 20}


def random_case(n=7, bias=True, seed=0, scale=1.0, dtype=torch.float32, n_words=N_WORDS):
    generator = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(shape, generator=generator) * scale for shape in ((n, WIDTH), (n_words, WIDTH)))
    parts = [x, weight, torch.randn(n_words, generator=generator) if bias else None]
    targets = torch.randint(n_words, (n,), generator=generator)
    return [None if part is None else part.to(dtype).requires_grad_() for part in parts], targets


def ours(parts, targets, workspace=None, dtype=None, factor=1.0):
    """The loss, and the gradients of ``factor`` times it."""
    x, weight, bias = parts
    loss = LinearCrossEntropy.apply(x, weight, bias, targets, dtype or x.dtype, workspace or Workspace())
    grads = torch.autograd.grad(loss * factor, [part for part in parts if part is not None])
    return [loss.detach(), *(grad.clone() for grad in grads)]


def plain(parts, targets, factor=1.0):
    loss = F.cross_entropy(F.linear(*parts), targets, reduction="sum")
    return [loss.detach(), *torch.autograd.grad(loss * factor, [part for part in parts if part is not None])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("block", list(BLOCKS))
@pytest.mark.parametrize("n", [1, 6, 7])
def test_equals_torch(n, block, bias, dtype, monkeypatch):
    monkeypatch.setattr(module, "_LOGITS", BLOCKS[block])
    case = random_case(n, bias, dtype=dtype)
    expected = plain(*case, factor=0.37)
    for found, other in zip(ours(*case, factor=0.37), expected, strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, other)


@pytest.mark.parametrize("scale", [30.0, 1e3])
def test_large_logits_stay_finite(scale):
    case = random_case(scale=scale)
    found, expected = ours(*case), plain(*case)
    for one, other in zip(found, expected):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-3)


def test_bfloat16_products_stay_near_float32(monkeypatch):
    monkeypatch.setattr(module, "_LOGITS", 2 * N_WORDS)
    case = random_case(20)
    found, expected = ours(*case, dtype=torch.bfloat16), plain(*case)
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 0.02
    assert not torch.equal(found[0], expected[0])


def test_memory_used_again_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "_LOGITS", 4 * N_WORDS)
    workspace = Workspace()
    for seed, (n, n_words) in enumerate([(7, 9), (7, 9), (3, 9), (10, 9), (7, 5), (1, 9)]):
        case = random_case(n, seed=seed, n_words=n_words)
        for found, expected in zip(ours(*case, workspace), ours(*case)):
            assert torch.equal(found, expected)


def test_one_word_alone_costs_nothing():
    found = ours(*random_case(n_words=1))
    assert [float(part.abs().sum()) for part in found] == [0, 0, 0, 0]


def test_no_rows_cost_nothing():
    (x, weight, bias), targets = random_case(0)
    loss, *grads = ours((x, weight, bias), targets)
    assert float(loss) == 0
    assert not any(grad.any() for grad in grads)


def test_gradients_are_given_once():
    # They are scaled where they lie: a second time would scale them again, so it is refused.
    parts, targets = random_case()
    loss = LinearCrossEntropy.apply(*parts, targets, torch.float32, Workspace())
    torch.autograd.grad(loss, parts, retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, parts)


def test_a_graph_whose_memory_was_used_again_is_refused():
    (parts, targets), workspace = random_case(), Workspace()
    loss = LinearCrossEntropy.apply(*parts, targets, torch.float32, workspace)
    LinearCrossEntropy.apply(*parts, targets, torch.float32, workspace)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, parts)


def test_what_is_given_is_not_written_to():
    parts, targets = random_case()
    before = [part.detach().clone() for part in (*parts, targets)]
    ours(parts, targets)
    assert all(torch.equal(part, other) for part, other in zip((*parts, targets), before))
