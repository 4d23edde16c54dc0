"""networks/packed/int8.py: modules of others in 8-bit integers. Here too: networks/packed/matrix.py."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spacy_ctx_embed.networks.packed import int8
from spacy_ctx_embed.networks.packed.int8 import SCALE, Int8Embedding, Int8Linear, make_int8, state_to_save
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, RoundedMatrix, multiplies_best_in_bfloat16, to_int8


@pytest.fixture(autouse=True, params=["integers", "bfloat16"])
def products(request, monkeypatch):
    """Both ways of multiplying, where the processor has both."""
    if request.param == "bfloat16" and not multiplies_best_in_bfloat16():
        pytest.skip("this processor multiplies integers faster than bfloat16")
    monkeypatch.setattr(int8, "multiplies_best_in_bfloat16", lambda: request.param == "bfloat16")
    return request.param


def _module(n_rows: int = 2000) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(n_rows, 24), nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 8, bias=False)).eval()


def test_results_stay_near_those_of_float32():
    plain, rough, ids = _module(), _module(), torch.randint(0, 2000, (3, 50))
    make_int8(rough)
    with torch.inference_mode():
        expected, found = plain(ids), rough(ids)
    assert float(nn.functional.cosine_similarity(found, expected, dim=-1).mean()) > 0.999
    assert [type(part) for part in rough] == [Int8Embedding, Int8Linear, nn.GELU, Int8Linear]


def test_a_small_table_stays_as_it_is():
    module = _module(n_rows=20)
    make_int8(module)
    assert type(module[0]) is nn.Embedding


def test_code_that_reads_a_weight_itself_gets_no_number_that_could_pass():
    module = _module()
    make_int8(module)
    assert module[1].weight.shape == (40, 24)
    assert bool((torch.randn(2, 24) @ module[1].weight.float().t()).isnan().all())


def test_what_is_saved_is_small_and_gives_the_same_integers_again():
    module, again = _module(), _module()
    make_int8(module)
    state = state_to_save(module)
    assert state["1.weight"].dtype == torch.int8
    assert sum(t.numel() * t.element_size() for t in state.values()) < 0.3 * 4 * (2000 * 24 + 24 * 40 + 40 * 8)
    dense = {
        name: t.float() * state[name + SCALE][:, None] if name + SCALE in state else t
        for name, t in state.items()
        if not name.endswith(SCALE)
    }
    again.load_state_dict(dense)
    make_int8(again)
    for name, tensor in state_to_save(again).items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(0, 24), (1, 24), (2, 5, 24)])
def test_any_shape(shape):
    module = _module()
    make_int8(module)
    with torch.inference_mode():
        assert module[1](torch.randn(shape)).shape == (*shape[:-1], 40)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.floats(1e-6, 1e6))
def test_weights_multiplied_in_bfloat16_are_integers_all_the_same(n_out, n_in, scale):
    if not multiplies_best_in_bfloat16():
        pytest.skip("this processor multiplies integers faster than bfloat16")
    generator = torch.Generator().manual_seed(n_out * 7919 + n_in)
    weight, x = torch.randn(n_out, n_in, generator=generator) * scale, torch.randn(9, n_in, generator=generator)
    matrix, (integers, scales) = RoundedMatrix(weight), to_int8(weight)
    assert all(torch.equal(one, other) for one, other in zip(matrix.integers(), (integers, scales)))
    expected = x.double() @ (integers.double() * scales.double()[:, None]).t()
    allowed = 2**-6 * (x.abs().double() @ weight.abs().double().t())  # of rows, weights and results, 2**-8 each
    assert bool(((matrix.product(x, None).double() - expected).abs() <= allowed).all())


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40), st.booleans(), st.floats(1e-6, 1e6))
def test_a_product_is_as_near_as_its_rounding(n_rows, n_in, n_out, fine_rows, scale):
    generator = torch.Generator().manual_seed(n_rows * 7919 + n_in * 31 + n_out)
    weight = torch.randn(n_out, n_in, generator=generator)
    x = torch.randn(n_rows, n_in, generator=generator) * scale
    found = Int8Matrix(weight, fine_rows=fine_rows).product(x, None)
    # Either side is off by half a step at most, a step being a 63rd of the largest value or less.
    largest = x.abs().amax(1, keepdim=True) * weight.abs().amax(1)
    assert bool(((found - x @ weight.t()).abs() <= n_in * largest * (1 / 63 + 1 / 63**2)).all())


@given(st.integers(1, 12), st.integers(1, 12))
def test_rounding_twice_changes_nothing(n, width):
    integers, scales = to_int8(torch.randn(n, width, generator=torch.Generator().manual_seed(n * width)))
    again, _ = to_int8(integers.float() * scales[:, None])
    assert bool((again == integers).all())
