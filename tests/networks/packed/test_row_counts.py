from __future__ import annotations

from typing import Set

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.packed import row_counts
from spacy_ctx_embed.networks.packed.linear import PackedLinear
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, Matrix, can_pack, can_pack_int8
from spacy_ctx_embed.networks.packed.row_counts import multiply_in_parts, part_sizes


@given(st.integers(0, 100_000))
def test_parts_hold_all_rows_and_few_more(n_rows: int) -> None:
    sizes = part_sizes(n_rows)
    unused = sum(sizes) - n_rows
    assert 0 <= unused <= max(n_rows // 12, 7)
    assert not sizes or unused < sizes[-1]  # only the last part is not full


def test_text_of_all_lengths_asks_for_few_sizes() -> None:
    up_to_a_batch = {size for n in range(1, 2049) for size in part_sizes(n)}
    assert len(up_to_a_batch) <= 26
    assert len({size for n in range(1, 1 << 17) for size in part_sizes(n)}) <= 50


@given(st.integers(1, 600), st.integers(1, 5), st.booleans(), st.integers(0, 40))
def test_rows_are_multiplied_each_for_itself(n: int, width: int, transposed: bool, behind: int) -> None:
    seen = []

    def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert len(x) == len(y)
        seen.append(len(x))
        return x * 2 + y

    store = torch.randn(width, n + behind).t() if transposed else torch.randn(n + behind, width)
    x, y = store[:n], torch.randn(n, width)
    before = store.clone()
    torch.testing.assert_close(multiply_in_parts(product, x, y), x * 2 + y, atol=0, rtol=0)
    assert seen == part_sizes(n) and torch.equal(store, before)


def test_rows_at_the_end_of_memory_are_copied() -> None:
    x = torch.full((13, 3), 7.0)
    rows = row_counts._with_room(x[4:], 16)
    assert torch.equal(rows[:9], x[4:]) and not rows[9:].any()


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no packed products")
@pytest.mark.parametrize("kind", ["linear", "matrix", "plus", "int8"])
def test_all_packed_products_have_few_shapes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(8, 6)
    if kind == "int8" and not can_pack_int8():
        pytest.skip("this build of torch has no products of 8-bit integers")
    sizes: Set[int] = set()
    original = row_counts._with_room

    def watched(x: torch.Tensor, n_rows: int) -> torch.Tensor:
        sizes.add(n_rows)
        return original(x, n_rows)

    monkeypatch.setattr(row_counts, "_with_room", watched)
    linear = torch.nn.Linear(6, 8)
    linear.weight.data, linear.bias.data = weight, torch.zeros(8)
    linear.__class__ = PackedLinear
    with torch.inference_mode():
        for n in [*range(1, 200), *range(200, 2000, 37)]:
            x, other = torch.randn(n, 6), torch.randn(n, 8)
            expected = x @ weight.t() + (other if kind == "plus" else 0)
            if kind == "linear":
                found = linear(x.view(1, n, 6))[0]
            elif kind == "plus":
                found = Matrix(weight).product_plus(x, other)
            else:
                found = (Matrix(weight) if kind == "matrix" else Int8Matrix(weight)).product(x, None)
            torch.testing.assert_close(found, expected, atol=0.3 if kind == "int8" else 1e-5, rtol=0)
    assert 0 < len(sizes) <= 26
