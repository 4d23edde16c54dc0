"""pretraining/build.py: what becomes of the softmax of a model that training goes on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.pretraining.build import load_softmax, make_language_model
from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
from spacy_ctx_embed.pretraining.network.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax
from spacy_ctx_embed.pretraining.outputs import SOFTMAX, VOCAB, write_model
from spacy_ctx_embed.pretraining.settings import read_settings

SPECIAL = ["<S>", "</S>", "<UNK>"]
WORDS = [*SPECIAL, *"the a cat dog sat on mat . , river bank money été 犬".split()]
OTHERS = [*SPECIAL, *"a the of patient , . river dose mg".split()]
FULL: Dict[str, Any] = {"kind": "full"}
SAMPLED: Dict[str, Any] = {"kind": "sampled", "n_samples": 4}
ADAPTIVE: Dict[str, Any] = {"kind": "adaptive", "cutoffs": [6, 10], "div_value": 2.0}
TINY = {
    "char_cnn": {"embedding_dim": 4, "filters": [[1, 8], [2, 8]], "n_highway": 1, "max_characters_per_token": 12},
    "lstm": {"dim": 12, "projection_dim": 8, "n_layers": 1},
}


def make(softmax: Dict[str, Any], words: Sequence[str], init_from: Path | None = None, seed: int = 1) -> LanguageModel:
    start = {"init_from": str(init_from)} if init_from is not None else TINY
    return make_language_model(read_settings({**start, "softmax": softmax, "seed": seed}), words)


def write(folder: Path, softmax: Dict[str, Any], words: Sequence[str], seed: int = 7) -> LanguageModel:
    model = make(softmax, words, seed=seed)
    with torch.no_grad():
        for parameter in model.softmax.parameters():
            parameter.add_(torch.arange(parameter.numel()).view_as(parameter) / 100)  # biases too begin with zeros
    write_model(folder, model, words, read_settings({"softmax": softmax}).softmax, "# A card\n")
    return model


def anew(softmax: Dict[str, Any], words: Sequence[str], folder: Path) -> LanguageModel:
    """The same from a copy of the folder without softmax."""
    copy = folder.with_name(f"{folder.name}-bare")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(SOFTMAX, VOCAB), dirs_exist_ok=True)
    return make(softmax, words, copy)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for softmax in (FULL, SAMPLED, ADAPTIVE):
        write(root / softmax["kind"], softmax, WORDS)
    return {folder.name: folder for folder in root.iterdir()}


# The same vocabulary


@pytest.mark.parametrize("softmax", [FULL, SAMPLED, ADAPTIVE], ids=lambda softmax: softmax["kind"])
def test_with_the_same_vocabulary_the_softmax_is_taken_over_as_it_is(tmp_path: Path, softmax: Dict[str, Any]):
    old = write(tmp_path / "model", softmax, WORDS)

    model = make(softmax, WORDS, tmp_path / "model")

    assert same(model.softmax, old.softmax)
    assert same(model.elmo, old.elmo)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("before", "after"), [(FULL, SAMPLED), (SAMPLED, FULL)], ids=["to sampled", "to full"])
def test_full_and_sampled_softmaxes_take_over_from_one_another(
    tmp_path: Path, before: Dict[str, Any], after: Dict[str, Any]
):
    old = write(tmp_path / "model", before, WORDS)

    model = make(after, WORDS, tmp_path / "model")

    assert type(model.softmax) is (SampledSoftmax if after is SAMPLED else FullSoftmax)
    assert same(model.softmax, old.softmax)


def test_losses_go_on_where_they_were(tmp_path: Path):
    old = write(tmp_path / "model", ADAPTIVE, WORDS)
    x, targets = torch.linspace(-1, 1, 40).view(5, 8), torch.tensor([0, 5, 7, 11, 16])

    model = make(ADAPTIVE, WORDS, tmp_path / "model")

    torch.testing.assert_close(model.softmax.losses(x, targets), old.softmax.losses(x, targets))


# Another vocabulary


@pytest.mark.parametrize("softmax", [FULL, SAMPLED], ids=lambda softmax: softmax["kind"])
def test_with_another_vocabulary_the_rows_of_shared_words_are_taken_over(
    folders: Dict[str, Path], softmax: Dict[str, Any]
):
    folder = folders[softmax["kind"]]
    old = load_file(folder / SOFTMAX)

    found = make(softmax, OTHERS, folder).softmax.state_dict()

    fresh = anew(softmax, OTHERS, folder).softmax.state_dict()
    assert {word for word in OTHERS if word in WORDS} == {*SPECIAL, "a", "the", ",", ".", "river"}
    for row, word in enumerate(OTHERS):
        for name in ("weight", "bias"):
            expected = old[name][WORDS.index(word)] if word in WORDS else fresh[name][row]
            assert torch.equal(found[name][row], expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(WORDS[3:] + list("bdefgh")), unique=True, min_size=1))
def test_every_shared_word_keeps_its_row(folders: Dict[str, Path], words: List[str]):
    old = load_file(folders["full"] / SOFTMAX)

    found = make(FULL, [*SPECIAL, *words], folders["full"]).softmax.state_dict()

    for row, word in enumerate([*SPECIAL, *words]):
        taken = word in WORDS and torch.equal(found["weight"][row], old["weight"][WORDS.index(word)])
        assert taken == (word in WORDS)
        assert float(found["bias"][row]) == (float(old["bias"][WORDS.index(word)]) if word in WORDS else 0)


REORDERED = [*WORDS[:3], WORDS[4], WORDS[3], *WORDS[5:]]


@pytest.mark.parametrize("words", [OTHERS, WORDS[:-1], REORDERED], ids=["others", "one less", "other ranks"])
def test_an_adaptive_softmax_begins_anew_with_another_vocabulary(folders: Dict[str, Path], words: List[str]):
    model = make(ADAPTIVE, words, folders["adaptive"])

    assert same(model.softmax, anew(ADAPTIVE, words, folders["adaptive"]).softmax)


# Another kind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("adaptive", {**ADAPTIVE, "cutoffs": [6, 11]}),
        ("adaptive", {**ADAPTIVE, "cutoffs": [6]}),
        ("adaptive", {**ADAPTIVE, "div_value": 1.5}),
        ("adaptive", FULL),
        ("full", ADAPTIVE),
    ],
    ids=["cutoff moved", "cutoff missing", "wider", "adaptive to full", "full to adaptive"],
)
def test_a_softmax_of_another_shape_begins_anew(folders: Dict[str, Path], before: str, after: Dict[str, Any]):
    model = make(after, WORDS, folders[before])

    assert same(model.softmax, anew(after, WORDS, folders[before]).softmax)
    assert same(model.elmo, make(after, OTHERS, folders[before]).elmo)


def test_cutoffs_beyond_the_vocabulary_make_no_difference(folders: Dict[str, Path]):
    model = make({**ADAPTIVE, "cutoffs": [6, 10, 5000]}, WORDS, folders["adaptive"])

    assert isinstance(model.softmax, AdaptiveSoftmax)
    old = load_file(folders["adaptive"] / SOFTMAX)
    assert all(torch.equal(tensor, old[name]) for name, tensor in model.softmax.state_dict().items())


def test_so_many_cutoffs_beyond_the_vocabulary_that_no_width_would_be_left_are_none(tmp_path: Path):
    softmax = {**ADAPTIVE, "cutoffs": [6, 10, *range(5000, 5009)]}
    settings = read_settings({**TINY, "softmax": softmax, "vocab_size": len(WORDS)})
    model = make_language_model(settings, WORDS)
    write_model(tmp_path, model, WORDS, settings.softmax, "# A card\n")

    found, words = load_softmax(tmp_path, 8)

    assert words == WORDS
    assert same(found, model.softmax)


# Files


@pytest.mark.parametrize("missing", [SOFTMAX, VOCAB])
def test_a_folder_without_softmax_or_vocabulary_gives_the_network_alone(
    folders: Dict[str, Path], tmp_path: Path, missing: str
):
    shutil.copytree(folders["full"], tmp_path / "model", ignore=shutil.ignore_patterns(missing))

    model = make(FULL, WORDS, tmp_path / "model")

    assert same(model.softmax, anew(FULL, WORDS, folders["full"]).softmax)
    assert same(model.elmo, make(FULL, WORDS, folders["full"]).elmo)


def test_a_softmax_in_half_precision_is_read_as_float32(folders: Dict[str, Path], tmp_path: Path):
    shutil.copytree(folders["full"], tmp_path / "model")
    half = {name: tensor.half() for name, tensor in load_file(folders["full"] / SOFTMAX).items()}
    kind = json.dumps({"kind": "full", "cutoffs": [4], "div_value": 2.0})
    save_file(half, tmp_path / "model" / SOFTMAX, metadata={"softmax": kind})

    softmax, words = load_softmax(tmp_path / "model", 8)

    assert words == WORDS
    assert all(torch.equal(tensor, half[name].float()) for name, tensor in softmax.state_dict().items())


def cut_off(folder: Path) -> None:
    (folder / SOFTMAX).write_bytes((folder / SOFTMAX).read_bytes()[:-8])


def of_another_vocabulary(folder: Path) -> None:
    (folder / VOCAB).write_text("\n".join([*WORDS, "more", ""]), encoding="utf8")


def not_text(folder: Path) -> None:
    (folder / VOCAB).write_bytes(b"\xff\xfe\n" * len(WORDS))


def without_its_kind(folder: Path) -> None:
    tensors = load_file(folder / SOFTMAX)
    (folder / SOFTMAX).unlink()  # the tensors are mapped to it
    save_file(tensors, folder / SOFTMAX)


def of_an_unknown_kind(folder: Path) -> None:
    tensors = load_file(folder / SOFTMAX)
    (folder / SOFTMAX).unlink()
    save_file(tensors, folder / SOFTMAX, metadata={"softmax": '{"kind": "hierarchical"}'})


@pytest.mark.parametrize("damage", [cut_off, of_another_vocabulary, not_text, without_its_kind, of_an_unknown_kind])
def test_a_damaged_softmax_is_an_error(folders: Dict[str, Path], tmp_path: Path, damage: Any):
    shutil.copytree(folders["full"], tmp_path / "model")
    damage(tmp_path / "model")

    with pytest.raises(ModelFormatError, match=rf"CE012.*{SOFTMAX}.*Fix: put {SOFTMAX} and {VOCAB} back"):
        make(FULL, WORDS, tmp_path / "model")


@pytest.mark.parametrize("softmax", [FULL, SAMPLED, ADAPTIVE], ids=lambda softmax: softmax["kind"])
def test_in_a_network_that_has_grown_it_predicts_the_same(tmp_path: Path, softmax: Dict[str, Any]):
    old = write(tmp_path / "model", softmax, WORDS)
    sizes = {**TINY, "lstm": {**TINY["lstm"], "dim": 15, "projection_dim": 13}}
    section = {**sizes, "softmax": softmax, "init_from": str(tmp_path / "model"), "widen": True}
    model = make_language_model(read_settings(section), WORDS)
    x = torch.randn(5, 13, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model.softmax.log_probs(x), old.softmax.log_probs(x[:, :8]))
