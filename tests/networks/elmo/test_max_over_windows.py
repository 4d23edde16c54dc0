"""networks/elmo/max_over_windows.py: values and gradients against autograd's own, window by window."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn, CharCnnConfig
from spacy_ctx_embed.networks.elmo.char_ids import char_ids
from spacy_ctx_embed.networks.elmo.max_over_windows import MaxOverWindows
from spacy_ctx_embed.networks.packed.packable import Packable


def drawn(seed: int, *shape: int) -> torch.Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.requires_grad_()


def plain(chars: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    width = weight.shape[1] // chars.shape[2]
    starts = range(chars.shape[1] - width + 1)
    sums = [F.linear(chars[:, start : start + width].flatten(1), weight, bias) for start in starts]
    return torch.stack(sums).amax(dim=0)


@given(
    n_words=st.integers(1, 5),
    n_windows=st.integers(1, 6),
    width=st.integers(1, 5),
    dim=st.integers(1, 3),
    n_outputs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_values_and_gradients_are_those_of_the_plain_computation(n_words, n_windows, width, dim, n_outputs, seed):
    inputs = (
        drawn(seed, n_words, n_windows + width - 1, dim),
        drawn(seed + 1, n_outputs, width * dim),
        drawn(seed + 2, n_outputs),
    )
    found, expected = MaxOverWindows.apply(*inputs), plain(*inputs)
    torch.testing.assert_close(found, expected)
    back = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for one, other in zip(torch.autograd.grad(found, inputs, back), torch.autograd.grad(expected, inputs, back)):
        torch.testing.assert_close(one, other)


def test_of_equal_windows_the_first_one_learns():
    chars = torch.ones(1, 4, 2, requires_grad=True)
    best = MaxOverWindows.apply(chars, torch.ones(1, 4), torch.zeros(1))
    (found,) = torch.autograd.grad(best.sum(), chars)
    assert found.tolist() == [[[1, 1], [1, 1], [0, 0], [0, 0]]]


def test_products_in_bfloat16_where_autocast_says_so():
    inputs = [part.float().detach().requires_grad_() for part in (drawn(0, 3, 6, 4), drawn(1, 5, 8), drawn(2, 5))]
    with torch.autocast("cpu", torch.bfloat16):
        best = MaxOverWindows.apply(*inputs)
    assert best.dtype == torch.bfloat16
    torch.testing.assert_close(best.float(), plain(*inputs), atol=0.05, rtol=0.05)
    assert {part.dtype for part in torch.autograd.grad(best.float().sum(), inputs)} == {torch.float32}


@pytest.mark.parametrize("learning", ["embedding.weight", "convs.0.weight", "convs.1.bias"])
def test_training_reads_words_as_use_does_whatever_learns(learning: str):
    module = CharCnn(CharCnnConfig(4, ((1, 3), (4, 5)), "relu", 1, 12, 6))
    ids = torch.from_numpy(char_ids(["a", "naïve", "x" * 30, "", "🙂"], 12))
    with torch.no_grad():
        expected = module(ids)
    for name, part in module.named_parameters():
        part.requires_grad_(name == learning)
    found = module(ids)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), [p for p in module.parameters() if p.requires_grad])
    assert gradient.abs().sum() > 0


def test_a_packed_encoder_can_learn():
    module = CharCnn(CharCnnConfig(4, ((1, 3), (4, 5)), "relu", 1, 12, 6))
    ids = torch.from_numpy(char_ids(["a", "naïve", "x" * 30], 12))
    expected = torch.autograd.grad(module(ids).square().sum(), list(module.parameters()))
    for part in module.modules():
        if isinstance(part, Packable):
            part.packing = "float32"
            part.pack()
    with torch.no_grad():
        module(ids)
    assert module.convs[0].packed is not None
    found = torch.autograd.grad(module(ids).square().sum(), list(module.parameters()))
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other)
