from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import torch

from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.networks.elmo import char_cnn as char_cnn_module
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn
from spacy_ctx_embed.networks.elmo.char_ids import char_ids
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.elmo import write_random_elmo

WORDS = ["<S>", "a", "", "hello", "naïve", "🙂", "x" * 47, "y" * 48, "z" * 1000, "of", "spaCy", "</S>", "\x00"]


def load(folder: Path, dtype: torch.dtype = torch.float32) -> CharCnn:
    files = read_elmo(folder)
    module = CharCnn(files.config.char_cnn)
    prefix = "char_cnn."
    module.load_state_dict({k[len(prefix) :]: v for k, v in files.weights.items() if k.startswith(prefix)})
    return module.to(dtype)


VARIANTS: Dict[str, Dict[str, Any]] = {
    "relu": {},
    "tanh": {"activation": "tanh"},
    "no_highway": {"n_highway": 0},
    "two_highways": {"n_highway": 2},
    "no_projection": {"filters": ((1, 2), (3, 4))},
    "rows_262": {"rows": 262},
    "short_words": {"max_chars": 9, "filters": ((1, 3), (9, 5))},
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_equals_the_plain_computation(tmp_path: Path, variant: str) -> None:
    write_random_elmo(tmp_path, **VARIANTS[variant])
    module, reference = load(tmp_path), ReferenceElmo(tmp_path)
    with torch.inference_mode():
        found = module(torch.from_numpy(char_ids(WORDS, module.config.max_chars)))
    np.testing.assert_allclose(found.numpy(), [reference.token(word) for word in WORDS], atol=2e-6)


def test_chunks_do_not_change_a_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(write_random_elmo(tmp_path), torch.float64)
    ids = torch.from_numpy(char_ids(WORDS, 50))
    whole = module(ids)
    for budget in (1, 20, 100):
        monkeypatch.setattr(char_cnn_module, "_CPU_POSITIONS", budget)
        torch.testing.assert_close(module(ids), whole, atol=1e-12, rtol=0)


def test_the_row_of_no_token_is_an_ordinary_row_of_zeros(tmp_path: Path) -> None:
    module, reference = load(write_random_elmo(tmp_path)), ReferenceElmo(tmp_path)
    found = module(torch.zeros((1, 50), dtype=torch.int64))
    np.testing.assert_allclose(found[0].detach().numpy(), reference.token_of_ids([0] * 50), atol=2e-6)


def test_padding_within_a_word_is_kept(tmp_path: Path) -> None:
    module, reference = load(write_random_elmo(tmp_path)), ReferenceElmo(tmp_path)
    ids = [259, 261, 261, 70, 260] + [261] * 45
    np.testing.assert_allclose(module(torch.tensor([ids]))[0].detach().numpy(), reference.token_of_ids(ids), atol=2e-6)


def test_no_words_give_no_vectors(tmp_path: Path) -> None:
    module = load(write_random_elmo(tmp_path))
    assert module(torch.zeros((0, 50), dtype=torch.int64)).shape == (0, 6)


def test_gradient_equals_finite_differences(tmp_path: Path) -> None:
    module = load(write_random_elmo(tmp_path, activation="tanh"), torch.float64)
    ids = torch.from_numpy(char_ids(["ab", "", "x" * 60], 50))
    target = torch.randn((3, 6), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (module(ids) * target).sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        place = int(parameter.grad.abs().argmax())
        flat, step = parameter.data.view(-1), 1e-6
        with torch.no_grad():
            flat[place] += step
            up = (module(ids) * target).sum()
            flat[place] -= 2 * step
            down = (module(ids) * target).sum()
            flat[place] += step
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(float((up - down) / (2 * step)), rel=1e-4)
