from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import h5py
import numpy as np
import pytest
import torch

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.front_door import read_elmo
from tests.elmo_writer import elmo_datasets, elmo_options, write_elmo_model, write_random_elmo

CELL = "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_random_elmo(tmp_path / "model")


def edit_options(folder: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    file = folder / "options.json"
    options = json.loads(file.read_text())
    change(options)
    file.write_text(json.dumps(options))


def replace_dataset(folder: Path, name: str, array: Any) -> None:
    with h5py.File(folder / "weights.hdf5", "a") as stream:
        if name in stream:
            del stream[name]
        if array is not None:
            stream[name] = array


def refusal(path: Path) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_elmo(path)
    message = str(caught.value)
    assert "Accepted: " in message and "Fix: " in message
    return message


def test_forget_bias_gets_its_one_and_gates_their_order(tmp_path: Path) -> None:
    options = elmo_options(dim=2)
    datasets = elmo_datasets(options)
    datasets[f"{CELL}/B"] = np.arange(8, dtype=np.float32)  # i: 0 1, j: 2 3, f: 4 5, o: 6 7
    files = read_elmo(write_elmo_model(tmp_path, options, datasets))
    assert files.weights["bilm.layers.1.bias"][0, 0].tolist() == [0, 1, 5, 6, 6, 7, 2, 3]


@pytest.mark.parametrize(("rows", "characters"), [(261, 261), (261, 262), (262, 262), (262, 261)])
def test_row_count_of_the_file_is_trusted(tmp_path: Path, rows: int, characters: int) -> None:
    files = read_elmo(write_random_elmo(tmp_path, rows=rows, n_characters=characters))
    table = files.weights["char_cnn.embedding.weight"]
    assert table.shape == (262, 4)
    assert bool(table[0].any()) == (rows == 262)


def test_optional_keys_may_be_missing(tmp_path: Path) -> None:
    folder = write_random_elmo(tmp_path, n_layers=1, n_highway=0)

    def drop(options: Dict[str, Any]) -> None:
        for key in ("n_layers", "cell_clip", "proj_clip", "use_skip_connections"):
            del options["lstm"][key]
        for key in ("n_highway", "n_characters", "max_characters_per_token"):
            del options["char_cnn"][key]

    edit_options(folder, drop)
    files = read_elmo(folder)
    assert (files.config.bilm.n_layers, files.config.bilm.cell_clip, files.config.bilm.use_skip_connections) == (1, None, False)
    assert (files.config.char_cnn.n_highway, files.config.char_cnn.max_chars) == (0, 50)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"n_layers": 1, "single": True},
        {"dim": 6, "skip": False},
        {"filters": ((1, 2), (2, 4)), "activation": "tanh"},
        {"cell_clip": None, "n_highway": 2},
    ],
)
def test_own_folder_gives_back_the_same(tmp_path: Path, variant: Dict[str, Any]) -> None:
    files = read_elmo(write_random_elmo(tmp_path / "published", **variant))
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, replace(files, source_checksum="abc"))
    again = read_elmo(own)
    assert (again.config, again.source_checksum, again.kind) == (files.config, "abc", files.kind)
    assert again.weights.keys() == files.weights.keys()
    assert all(torch.equal(again.weights[name], files.weights[name]) for name in files.weights)


def test_published_file_names_are_found(folder: Path) -> None:
    (folder / "options.json").rename(folder / "elmo_2x4096_options.json")
    (folder / "weights.hdf5").rename(folder / "elmo_2x4096_weights.hdf5")
    (folder / "lm_embeddings_0.hdf5").touch()
    assert read_elmo(folder).config.bilm.n_layers == 2
    assert read_elmo(folder / "elmo_2x4096_weights.hdf5").config.bilm.n_layers == 2


def test_exact_name_wins(folder: Path) -> None:
    (folder / "other_options.json").touch()
    (folder / "other_weights.hdf5").touch()
    assert read_elmo(folder).config.bilm.n_layers == 2


def test_two_candidates_are_both_named(folder: Path) -> None:
    for name in ("a_weights.hdf5", "b_weights.hdf5"):
        (folder / name).write_bytes((folder / "weights.hdf5").read_bytes())
    (folder / "weights.hdf5").unlink()
    assert "a_weights.hdf5, b_weights.hdf5" in refusal(folder)


@pytest.mark.parametrize("name", ["options.json", "weights.hdf5"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal(folder)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refusal(tmp_path / "nowhere")


def test_truncated_hdf5_is_refused(folder: Path) -> None:
    file = folder / "weights.hdf5"
    file.write_bytes(file.read_bytes()[:-2000])
    assert str(file) in refusal(folder)


def test_what_is_not_hdf5_is_refused(folder: Path) -> None:
    (folder / "weights.hdf5").write_text("<html>404</html>")
    assert "weights.hdf5" in refusal(folder)


@pytest.mark.parametrize("content", ["{", "", "\x00\x01", "[1, 2", '{"lstm": }'])
def test_broken_json_is_refused(folder: Path, content: str) -> None:
    (folder / "options.json").write_text(content)
    assert "options.json" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["char_embed", "CNN/W_cnn_2", "CNN/b_cnn_0", "CNN_high_0/b_carry", "CNN_proj/W_proj", f"{CELL}/W_P_0"]
)
def test_missing_dataset_is_named(folder: Path, name: str) -> None:
    replace_dataset(folder, name, None)
    message = refusal(folder)
    assert f"'{name}' is missing" in message and "weights.hdf5" in message and "of shape (" in message


def test_group_in_place_of_a_dataset_counts_as_missing(folder: Path) -> None:
    replace_dataset(folder, "char_embed", None)
    replace_dataset(folder, "char_embed/inner", np.zeros(3))
    assert "'char_embed' is missing" in refusal(folder)


def test_wrong_shape_is_told_with_both_shapes(folder: Path) -> None:
    replace_dataset(folder, f"{CELL}/W_0", np.zeros((12, 40), dtype="f"))
    message = refusal(folder)
    assert f"'{CELL}/W_0' is of shape (12, 40)" in message and "of shape (12, 48)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(folder: Path, value: float) -> None:
    array = np.zeros((6,), dtype="f")
    array[2] = value
    replace_dataset(folder, "CNN_proj/b_proj", array)
    assert "'CNN_proj/b_proj' is not finite" in refusal(folder)


def test_text_in_place_of_numbers_is_refused(folder: Path) -> None:
    replace_dataset(folder, "CNN_proj/b_proj", np.array([b"x"] * 6))
    assert "'CNN_proj/b_proj' is of type" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lstm.dim", None),
        ("lstm.projection_dim", "6"),
        ("lstm.n_layers", 0),
        ("lstm.cell_clip", -1),
        ("lstm.use_skip_connections", "yes"),
        ("lstm", None),
        ("char_cnn", None),
        ("char_cnn.embedding.dim", None),
        ("char_cnn.activation", "gelu"),
        ("char_cnn.activation", ["relu"]),
        ("char_cnn.filters", [[1, 4], [2]]),
        ("char_cnn.filters", [[51, 4]]),
        ("char_cnn.max_characters_per_token", 2),
    ],
)
def test_wrong_option_is_named(folder: Path, key: str, value: Any) -> None:
    def change(options: Dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            options = options[part]
        options[last] = value
        if value is None:
            del options[last]

    edit_options(folder, change)
    message = refusal(folder)
    assert f"'{key}'" in message and "options.json" in message


def test_options_that_are_no_table_are_refused(folder: Path) -> None:
    (folder / "options.json").write_text("[]")
    assert "'lstm' is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("lstm.n_layers", {"lstm": {"n_layers": 1}}),
        ("char_cnn.n_highway", {"char_cnn": {"n_highway": 0}}),
        ("char_cnn.filters", {"char_cnn": {"filters": [[1, 4], [2, 5]]}}),
    ],
)
def test_weights_that_the_options_leave_out_are_refused(folder: Path, key: str, change: Dict[str, Any]) -> None:
    edit_options(folder, lambda options: [options[part].update(new) for part, new in change.items()])
    assert f"'{key}'" in refusal(folder)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "own"
    target.mkdir()
    write_elmo(target, read_elmo(folder))
    return target


def test_truncated_safetensors_is_refused(own: Path) -> None:
    file = own / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert "weights.safetensors" in refusal(own)


def test_own_weights_of_another_shape_are_refused(own: Path) -> None:
    edit_options(own, lambda options: options["lstm"].update(dim=13))
    assert "'bilm.layers.0.weight' is of shape (2, 12, 48)" in refusal(own)


def test_own_weights_that_are_not_finite_are_refused(own: Path) -> None:
    files = read_elmo(own)
    files.weights["char_cnn.projection.bias"][0] = float("nan")
    write_elmo(own, files)
    assert "'char_cnn.projection.bias' is not finite" in refusal(own)
