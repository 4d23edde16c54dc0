from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any, Tuple

import pytest
import torch

from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.networks.elmo.bilm import Bilm
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.packed import bilm as packed_module
from spacy_ctx_embed.networks.packed.matrix import Int8Matrix, Matrix
from tests.networks.elmo.test_bilm import LENGTHS, load, pack, random_tokens
from tests.writers.elmo import write_random_elmo


def rows(bilm: Bilm, state: Any = None) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = bilm(random_tokens(), LENGTHS, state)[0]
        return found


@pytest.mark.parametrize("variant", [{}, {"dim": 6}, {"n_layers": 1}])
def test_gives_back_the_very_same_weights(tmp_path: Path, variant: Any) -> None:
    bilm = load(write_random_elmo(tmp_path, **variant))
    before = {name: tensor.clone() for name, tensor in bilm.state_dict().items()}
    pack(bilm, "float32")
    packed = bilm.state_dict()
    assert packed.keys() == before.keys() and all(torch.equal(packed[name], before[name]) for name in before)
    bilm.to(torch.float32)
    assert all(torch.equal(parameter, before[name]) for name, parameter in bilm.named_parameters())


def test_holds_the_weights_once(tmp_path: Path) -> None:
    bilm = load(write_random_elmo(tmp_path))
    pack(bilm, "float32")
    assert all(parameter.numel() == 0 for parameter in bilm.parameters())


def test_large_layers_are_packed_one_way_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_random_elmo(tmp_path)
    expected = rows(load(folder))
    monkeypatch.setattr(packed_module, "_TWO_COPIES", 0)
    monkeypatch.setattr(packed_module, "_WIDE_STEP", 1)
    bilm = load(folder)
    pack(bilm, "float32")
    torch.testing.assert_close(rows(bilm), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "torch.save"])
def test_copies_run_the_same(tmp_path: Path, how: str) -> None:
    bilm = load(write_random_elmo(tmp_path))
    pack(bilm, "float32")
    expected = rows(bilm)
    if how == "pickle":
        other = pickle.loads(pickle.dumps(bilm))
    elif how == "deepcopy":
        other = copy.deepcopy(bilm)
    else:
        stream = io.BytesIO()
        torch.save(bilm, stream)
        stream.seek(0)
        other = torch.load(stream, weights_only=False)
    torch.testing.assert_close(rows(other), expected, atol=0, rtol=0)
    torch.testing.assert_close(rows(bilm), expected, atol=0, rtol=0)


def test_gradients_unpack(tmp_path: Path) -> None:
    bilm = load(write_random_elmo(tmp_path))
    expected = rows(bilm)
    pack(bilm, "float32")
    rows(bilm)
    tokens = random_tokens().requires_grad_()
    found = bilm(tokens, LENGTHS)[0]
    found.sum().backward()
    torch.testing.assert_close(found.detach(), expected, atol=1e-5, rtol=0)
    assert tokens.grad is not None and bool(tokens.grad.any())


def test_state_goes_on(tmp_path: Path) -> None:
    plain = load(write_random_elmo(tmp_path))
    packed = load(tmp_path)
    pack(packed, "float32")
    with torch.inference_mode():
        _, state = plain(random_tokens(), LENGTHS)
        kept = [part.clone() for part in state]
    torch.testing.assert_close(rows(packed, state), rows(plain, state), atol=1e-5, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(state, kept))  # what the caller holds is not written to


def test_int8_stays_near_float32(tmp_path: Path) -> None:
    exact = load(write_random_elmo(tmp_path, cell_clip=3, proj_clip=3, dim=64, projection_dim=6))
    rough = load(tmp_path)
    pack(rough, "int8")
    cosine = torch.nn.functional.cosine_similarity(rows(rough), rows(exact), dim=2)
    assert float(cosine.min()) > 0.995


def test_int8_weights_are_rounded_once(tmp_path: Path) -> None:
    bilm = load(write_random_elmo(tmp_path))
    pack(bilm, "int8")
    saved = bilm.state_dict()
    again = load(tmp_path)
    again.load_state_dict(saved)
    pack(again, "int8")
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, saved[name], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(rows(again), rows(bilm), atol=1e-4, rtol=0)


def test_int8_matrix_of_zeros_and_of_rows_of_zeros() -> None:
    matrix = Int8Matrix(torch.zeros(8, 4))
    assert not matrix.product(torch.zeros(3, 4), None).any()
    assert not matrix.product_plus(torch.ones(3, 4), torch.zeros(3, 8)).any()


@pytest.mark.parametrize("n_rows", [1, 2, 7, 16, 40, 300])
@pytest.mark.parametrize("shape", [(1, 1), (8, 3), (16, 64), (33, 130), (256, 512)])
def test_int8_products_of_the_largest_values_do_not_overflow(shape: Tuple[int, int], n_rows: int) -> None:
    weight, x = torch.ones(shape), torch.ones(n_rows, shape[1])
    torch.testing.assert_close(Int8Matrix(weight).product(x, None), x @ weight.t())
    torch.testing.assert_close(Int8Matrix(weight).product_plus(-x, -x @ weight.t()), -2 * x @ weight.t())


def test_int8_takes_a_matrix_that_is_not_contiguous() -> None:
    weight, x = torch.randn(16, 32), torch.randn(5, 32)
    for make in (Matrix, Int8Matrix):
        found = make(weight.t().contiguous().t()).product(x, None)
        torch.testing.assert_close(found, x @ weight.t(), atol=0.5, rtol=0.1)


def test_token_encoder_packs_and_gives_back_the_very_same_weights(tmp_path: Path) -> None:
    files = read_elmo(write_random_elmo(tmp_path, n_highway=2))
    module = ElmoModule(files.config)
    module.load_state_dict(files.weights)
    words = ["a", "cat", "<S>", "x" * 100, "naïve"]
    with torch.inference_mode():
        expected = module.encode_words(words)
        module.pack("float32")
        found = module.encode_words(words)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert all(torch.equal(tensor, files.weights[name]) for name, tensor in module.state_dict().items())
    assert sum(parameter.numel() for parameter in module.parameters()) == module.char_cnn.embedding.weight.numel()
