"""networks/packed/joined.py: queries, keys and values are one product while they read the same rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spacy_ctx_embed.networks.packed.int8 import make_int8
from spacy_ctx_embed.networks.packed.linear import pack_linears


class _Attention(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.query, self.key, self.value = nn.Linear(24, 24, bias), nn.Linear(24, 8, bias), nn.Linear(24, 8, bias)

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.query(x), self.key(other), self.value(other)], dim=-1)


@pytest.mark.parametrize("pack", [pack_linears, make_int8])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24), (1, 24)])
def test_results_are_those_of_three_layers(pack, bias, shape):
    plain, packed = _Attention(bias), _Attention(bias)
    pack(packed)
    atol = 1e-5 if pack is pack_linears else 0.05
    with torch.inference_mode():
        for _ in range(3):
            x = torch.randn(shape)
            torch.testing.assert_close(packed(x, x).float(), plain(x, x), atol=atol, rtol=0)
    assert packed.query._joined[0].works


@pytest.mark.parametrize("pack", [pack_linears, make_int8])
def test_layers_that_read_different_rows_go_apart(pack):
    plain, packed = _Attention(True), _Attention(True)
    pack(packed)
    atol = 1e-5 if pack is pack_linears else 0.05
    with torch.inference_mode():
        for _ in range(3):
            x, other = torch.randn(5, 24), torch.randn(5, 24)
            torch.testing.assert_close(packed(x, other).float(), plain(x, other), atol=atol, rtol=0)
    assert not packed.query._joined[0].works


def test_one_layer_asked_twice_gives_the_same_twice():
    plain, packed, x = _Attention(True), _Attention(True), torch.randn(5, 24)
    pack_linears(packed)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(packed.query(x), plain.query(x), atol=1e-5, rtol=0)
