from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import torch

from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.networks.elmo import bilm as bilm_module
from spacy_ctx_embed.networks.elmo.bilm import Bilm, plan_steps
from spacy_ctx_embed.networks.packed import bilm as packed_module
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.elmo import write_random_elmo

LENGTHS = [3, 7, 1, 7, 2]
VARIANTS: Dict[str, Dict[str, Any]] = {
    "two_layers": {},
    "one_layer": {"n_layers": 1},
    "one_layer_named_singly": {"n_layers": 1, "single": True},
    "three_layers": {"n_layers": 3},
    "no_skip": {"skip": False},
    "no_skip_three_layers": {"skip": False, "n_layers": 3},
    "no_projection": {"dim": 6},
    "no_clips": {"cell_clip": None, "proj_clip": None},
    "zero_clips": {"cell_clip": 0, "proj_clip": 0},
}


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Bilm:
    files = read_elmo(folder)
    module = Bilm(files.config.bilm)
    module.load_state_dict({k[len("bilm.") :]: v for k, v in files.weights.items() if k.startswith("bilm.")})
    return module.to(dtype)


def pack(bilm: Bilm, packing: str) -> None:
    for layer in bilm.layers:
        layer.packing = packing
        layer.pack()


def random_tokens(lengths: List[int] = LENGTHS, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((sum(lengths), 6), generator=generator, dtype=torch.float64).to(dtype)


def parts(rows: torch.Tensor, lengths: List[int] = LENGTHS) -> List[torch.Tensor]:
    """The rows (second last axis) of each segment."""
    return list(rows.split(lengths, dim=-2))


@pytest.mark.parametrize("wide", [1, 4])
@pytest.mark.parametrize("way", ["grad", "plain", "packed"])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_equals_the_equations(
    tmp_path: Path, variant: str, way: str, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bilm_module, packed_module):
        monkeypatch.setattr(module, "_WIDE_STEP", wide)
    monkeypatch.setattr(bilm_module, "_BLOCK_ROWS", 9)
    monkeypatch.setattr(packed_module, "_BLOCK_BYTES", 9 * 16 * 12)
    monkeypatch.setattr(packed_module, "_STEP_BYTES", 2 * 16 * 12)
    write_random_elmo(tmp_path, **VARIANTS[variant])
    bilm, reference, tokens = load(tmp_path), ReferenceElmo(tmp_path), random_tokens()
    if way == "packed":
        pack(bilm, "float32")
    with torch.set_grad_enabled(way == "grad"):
        found, (hidden, cells) = bilm(tokens, LENGTHS)
    for i, (vectors, layers) in enumerate(zip(parts(tokens), parts(found))):
        expected, state = reference.lstm(vectors.double().numpy())
        np.testing.assert_allclose(layers.detach().numpy(), expected, atol=1e-5)
        for (d, layer), (h, c) in state.items():
            np.testing.assert_allclose(hidden[layer, d, i].detach().numpy(), h, atol=1e-5)
            np.testing.assert_allclose(cells[layer, d, i].detach().numpy(), c, atol=1e-5)


def test_clips_are_reached_by_these_tests(tmp_path: Path) -> None:
    module = load(write_random_elmo(tmp_path))
    with torch.inference_mode():
        _, (hidden, cells) = module(random_tokens(), LENGTHS)
    assert float(cells.abs().max()) == pytest.approx(0.3)
    assert float(hidden.abs().max()) == pytest.approx(0.2)


def test_starts_from_a_given_state(tmp_path: Path) -> None:
    module, reference = load(write_random_elmo(tmp_path)), ReferenceElmo(tmp_path)
    tokens, lengths = random_tokens(), LENGTHS[::-1]
    with torch.inference_mode():
        _, state = module(tokens, LENGTHS)
        second, _ = module(tokens, lengths, state)
    for before, after, found in zip(parts(tokens), parts(tokens, lengths), parts(second, lengths)):
        _, start = reference.lstm(before.double().numpy())
        np.testing.assert_allclose(found, reference.lstm(after.double().numpy(), start)[0], atol=1e-5)


@pytest.mark.parametrize("layers", [[0], [1], [2, 0], [-1 % 3, 1, 1]])
def test_gives_the_layers_asked_for(tmp_path: Path, layers: List[int]) -> None:
    module = load(write_random_elmo(tmp_path))
    with torch.inference_mode():
        whole, _ = module(random_tokens(), LENGTHS)
        chosen, _ = module(random_tokens(), LENGTHS, None, layers)
    torch.testing.assert_close(chosen, whole[layers])


def test_segments_do_not_see_one_another(tmp_path: Path) -> None:
    module, tokens = load(write_random_elmo(tmp_path)), random_tokens()
    with torch.inference_mode():
        together, _ = module(tokens, LENGTHS)
        alone = [module(vectors, [length])[0] for vectors, length in zip(parts(tokens), LENGTHS)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


@pytest.mark.parametrize("variant", ["two_layers", "no_skip", "no_projection", "no_clips"])
def test_gradient_equals_finite_differences(tmp_path: Path, variant: str) -> None:
    module = load(write_random_elmo(tmp_path, **VARIANTS[variant]), torch.float64)
    tokens = random_tokens([3, 1], torch.float64).requires_grad_()
    weights = list(module.parameters())

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        names = [name for name, _ in module.named_parameters()]
        found: torch.Tensor = torch.func.functional_call(module, dict(zip(names, parameters)), (x, [3, 1]))[0]
        return found

    assert torch.autograd.gradcheck(run, (tokens, *weights), fast_mode=True)


def test_plan_runs_the_longest_first_and_reverses_within_a_length() -> None:
    plan = plan_steps([1, 3])
    assert plan.order.tolist() == [1, 0]
    assert plan.sizes == [2, 1, 1]
    assert plan.places.tolist() == [[1, 0, 2, 3], [3, 0, 2, 1]]
