from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.allennlp import PREFIX, allennlp_config, elmo_state, write_archive
from tests.writers.elmo import elmo_datasets, elmo_options, write_elmo_model

VOCAB = spacy.blank("xx").vocab
SENTENCES = [["The", "cat", "sat"], ["naïve", "🙂", "x" * 80, "<S>"]]
CELL = f"{PREFIX}_elmo_lstm._elmo_lstm.backward_layer_1"
SPELL = f"{PREFIX}_elmo_lstm._token_embedder."


@pytest.fixture
def options() -> Dict[str, Any]:
    return elmo_options(n_highway=2)


@pytest.fixture
def datasets(options: Dict[str, Any]) -> Dict[str, Any]:
    return elmo_datasets(options)


@pytest.fixture
def state(options: Dict[str, Any], datasets: Dict[str, Any]) -> Dict[str, torch.Tensor]:
    return elmo_state(options, datasets)


@pytest.fixture
def archive(tmp_path: Path, state: Dict[str, torch.Tensor], options: Dict[str, Any]) -> Path:
    return write_archive(tmp_path / "model.tar.gz", state, allennlp_config(), elmo_options=options)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_elmo(path)
    message = str(caught.value)
    assert "Accepted: " in message and "Fix: " in message
    return message


# The ordinary case


def test_rows_equal_the_equations(archive: Path, options: Any, datasets: Any, tmp_path: Path) -> None:
    reference = ReferenceElmo(write_elmo_model(tmp_path / "published", options, datasets))
    docs = [Doc(VOCAB, words=words) for words in SENTENCES]
    for words, found in zip(SENTENCES, make_elmo_v1(name=str(archive), layer_mix="concat").predict(docs)):
        np.testing.assert_allclose(found, np.concatenate(list(reference.sentence(words)), axis=1), atol=1e-5)


def test_tensors_equal_those_of_the_hdf5_file(archive: Path, options: Any, datasets: Any, tmp_path: Path) -> None:
    expected = read_elmo(write_elmo_model(tmp_path / "published", options, datasets))
    files = read_elmo(archive)
    assert (files.config, files.kind) == (expected.config, "AllenNLP archive")
    assert files.weights.keys() == expected.weights.keys()
    assert all(torch.equal(files.weights[name], tensor) for name, tensor in expected.weights.items())


def test_scalar_mix_is_taken_along(archive: Path) -> None:
    assert read_elmo(archive).mix == ((-0.25, 0.25, 0.75), 1.5)


@pytest.mark.parametrize("prefix", ["", "_elmo.", "model.text_field_embedder.token_embedder_x._elmo."])
@pytest.mark.parametrize("zipped", [False, True])
def test_any_prefix_will_do(tmp_path: Path, options: Any, datasets: Any, prefix: str, zipped: bool) -> None:
    state = elmo_state(options, datasets, prefix)
    files = read_elmo(write_archive(tmp_path / "model.tar.gz", state, zipped=zipped))
    assert files.config.bilm.n_layers == 2 and files.mix is not None


def test_bilm_alone_has_no_mix(tmp_path: Path, options: Any, datasets: Any) -> None:
    state = {name.removeprefix("_elmo_lstm."): tensor for name, tensor in elmo_state(options, datasets, "").items()}
    assert read_elmo(write_archive(tmp_path / "model.tar.gz", state)).mix is None


def test_what_is_not_elmo_is_left_out(tmp_path: Path, state: Dict[str, torch.Tensor], options: Any) -> None:
    more = {
        f"{PREFIX}_elmo_lstm._word_embedding.weight": torch.zeros((3, 6)),
        f"{PREFIX}scalar_mix_1.gamma": torch.ones(1),
        "encoder._module.weight_ih_l0": torch.full((2, 2), torch.nan),
        "text_field_embedder.token_embedder_tokens.weight": torch.zeros((5, 3)),
    }
    path = write_archive(tmp_path / "model.tar.gz", {**more, **state}, elmo_options=options)
    assert read_elmo(path).config.bilm.dim == 12


def test_a_folder_of_the_files_is_read(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            (tmp_path / "run" / member.name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "run" / member.name).write_bytes(tar.extractfile(member).read())
    expected = read_elmo(archive)
    assert read_elmo(tmp_path / "run" / "weights.th").config == expected.config
    (tmp_path / "run" / "weights.th").rename(tmp_path / "run" / "best.th")
    assert read_elmo(tmp_path / "run").config == expected.config


def test_own_folder_gives_back_the_same(archive: Path, tmp_path: Path) -> None:
    files = read_elmo(archive)
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, files)
    again = read_elmo(own)
    assert (again.config, again.kind, again.mix) == (files.config, files.kind, files.mix)
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in files.weights.items())


# The options


def test_options_that_were_left_behind_are_those_published(tmp_path: Path, state: Dict[str, torch.Tensor]) -> None:
    config = read_elmo(write_archive(tmp_path / "model.tar.gz", state, allennlp_config())).config
    assert (config.bilm.cell_clip, config.bilm.proj_clip, config.bilm.use_skip_connections) == (3, 3, True)
    assert (config.char_cnn.activation, config.char_cnn.max_chars) == ("relu", 50)


@pytest.mark.parametrize("where", ["inline", "beside", "fta"])
def test_options_are_found(tmp_path: Path, state: Dict[str, torch.Tensor], where: str) -> None:
    options = elmo_options(n_highway=2, activation="tanh", max_chars=20)
    config = allennlp_config(options if where == "inline" else "/home/me/elmo/elmo_options.json")
    names = {"beside": "elmo_options", "fta": "fta/model.text_field_embedder.token_embedders.elmo.options_file"}
    files = {names[where]: options} if where in names else {}
    found = read_elmo(write_archive(tmp_path / "model.tar.gz", state, config, **files)).config
    assert (found.char_cnn.activation, found.char_cnn.max_chars) == ("tanh", 20)
    assert (found.bilm.cell_clip, found.bilm.proj_clip) == (0.3, 0.2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dim": 13}, "dim = 13"),
        ({"n_layers": 1}, "n_layers = 1"),
        ({"n_highway": 1}, "n_highway = 1"),
        ({"filters": ((1, 4), (2, 5))}, "filters = ((1, 4), (2, 5))"),
    ],
)
def test_options_of_another_model_are_refused(tmp_path: Path, state: Any, change: Dict[str, Any], told: str) -> None:
    options = elmo_options(**{"n_highway": 2, **change})
    message = refusal(write_archive(tmp_path / "model.tar.gz", state, allennlp_config(), elmo_options=options))
    assert told in message and "elmo_options.json" in message and "weights.th" in message


def test_broken_config_is_refused(tmp_path: Path, state: Dict[str, torch.Tensor]) -> None:
    (tmp_path / "config.json").write_text("{")
    torch.save(state, tmp_path / "weights.th")
    assert "config.json" in refusal(tmp_path)


# More than one, or none


def test_same_model_twice_is_one(tmp_path: Path, options: Any, datasets: Any) -> None:
    state = {**elmo_state(options, datasets, "b._elmo."), **elmo_state(options, datasets, "a._elmo.")}
    state["a._elmo.scalar_mix_0.gamma"] = torch.tensor([7.0])
    assert read_elmo(write_archive(tmp_path / "model.tar.gz", state)).mix == ((-0.25, 0.25, 0.75), 7.0)


def test_two_models_are_refused(tmp_path: Path, options: Any, datasets: Any) -> None:
    other = elmo_state(options, elmo_datasets(options, seed=1), "b._elmo.")
    message = refusal(write_archive(tmp_path / "m.tar.gz", {**other, **elmo_state(options, datasets, "a._elmo.")}))
    assert "2 times with different weights: a._elmo._elmo_lstm., b._elmo._elmo_lstm." in message


def test_transformer_variant_is_refused(tmp_path: Path) -> None:
    name = "text_field_embedder.token_embedder_elmo._lm._contextualizer._forward_transformer.layers.0.norm.gamma"
    assert "transformer variant of ELMo" in refusal(write_archive(tmp_path / "m.tar.gz", {name: torch.ones(3)}))


def test_archive_without_elmo_is_refused(tmp_path: Path) -> None:
    state = {"_text_field_embedder.x.weight": torch.ones(3), "_encoder.weight": torch.ones(3)}
    message = refusal(write_archive(tmp_path / "m.tar.gz", state))
    assert "there is no ELMo in this model; in it: _encoder, _text_field_embedder" in message


# Damage


def test_truncated_archive_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-500])
    assert str(archive) in refusal(archive)


def test_damaged_archive_is_refused(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    archive.write_bytes(content)
    assert str(archive) in refusal(archive)


@pytest.mark.parametrize(
    "name",
    [f"{SPELL}_char_embedding_weights", f"{SPELL}char_conv_1.weight", f"{SPELL}_highways._layers.0.bias"]
    + [f"{SPELL}_projection.weight", f"{CELL}.state_linearity.bias", f"{CELL}.state_projection.weight"],
)
def test_missing_tensor_is_named(tmp_path: Path, state: Dict[str, torch.Tensor], name: str) -> None:
    del state[name]
    message = refusal(write_archive(tmp_path / "model.tar.gz", state))
    assert f"'{name}' is missing" in message and "model.tar.gz/weights.th" in message


@pytest.mark.parametrize("name", [f"{SPELL}_projection.weight", f"{CELL}.input_linearity.weight"])
def test_swapped_sizes_are_refused(tmp_path: Path, state: Dict[str, torch.Tensor], name: str) -> None:
    state[name] = state[name].t().contiguous()
    assert f"'{name}' is of shape {tuple(state[name].shape)}" in refusal(write_archive(tmp_path / "m.tar.gz", state))


def test_scalar_mix_of_fewer_layers_is_refused(tmp_path: Path, state: Dict[str, torch.Tensor]) -> None:
    del state[f"{PREFIX}scalar_mix_0.scalar_parameters.2"]
    assert "scalar_parameters.2' is missing" in refusal(write_archive(tmp_path / "model.tar.gz", state))


def test_numbers_that_are_none_are_refused(tmp_path: Path, state: Dict[str, torch.Tensor]) -> None:
    state[f"{CELL}.state_linearity.bias"][3] = torch.inf
    assert "backward_layer_1.state_linearity.bias' is not finite" in refusal(
        write_archive(tmp_path / "m.tar.gz", state)
    )


def test_convolution_wider_than_a_word_is_refused(tmp_path: Path, state: Dict[str, torch.Tensor]) -> None:
    state[f"{SPELL}char_conv_0.weight"] = torch.ones((4, 4, 51))
    assert "51 characters wide" in refusal(write_archive(tmp_path / "m.tar.gz", state))
