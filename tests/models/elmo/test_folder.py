"""models/elmo/folder.py: our own folder keeps every kind of model, and damage to it is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import (
    SENTENCES,
    VOCABULARY,
    assert_same,
    edit_options,
    refusal_of,
    rows_of,
    write_mapping,
    zip_of,
)
from tests.writers.allennlp import elmo_state
from tests.writers.elmo import elmo_datasets, write_random_elmo
from tests.writers.many_langs import write_many_langs


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


def test_truncated_safetensors_is_refused(own: Path) -> None:
    file = own / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert "weights.safetensors" in refusal_of(own)


def test_own_weights_of_another_shape_are_refused(own: Path) -> None:
    edit_options(own, lambda options: options["lstm"].update(dim=13))
    assert "'bilm.layers.0.weight' is of shape (2, 12, 48)" in refusal_of(own)


def test_own_table_that_is_one_number_is_refused(own: Path) -> None:
    file = own / "weights.safetensors"
    save_file({**load_file(file), "char_cnn.embedding.weight": torch.tensor(1.0)}, file)
    assert "'char_cnn.embedding.weight' is of shape ()" in refusal_of(own)


@pytest.mark.parametrize("header", [b"[]", b"3", b'{"a": 3}'])
def test_own_weights_in_a_zip_that_are_something_else_are_refused(own: Path, tmp_path: Path, header: bytes) -> None:
    (own / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for path in (own, zip_of(own, tmp_path / "own.zip")):
        assert "weights.safetensors" in refusal_of(path)


def test_own_weights_that_are_not_finite_are_refused(own: Path) -> None:
    files = read_elmo(own)
    files.weights["char_cnn.projection.bias"][0] = float("nan")
    write_elmo(own, files)
    assert "'char_cnn.projection.bias' is not finite" in refusal_of(own)


# What it keeps


def make_kind(kind: str, folder: Path, tmp_path: Path) -> Path:
    if kind == "many langs":
        return write_many_langs(tmp_path / "many")
    if kind == "cached":
        with h5py.File(folder / "tokens.hdf5", "w") as stream:
            stream["embedding"] = np.zeros((len(VOCABULARY), 6), dtype="f")
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    if kind == "aligned":
        write_mapping(folder, "es")
    if kind == "allennlp":
        options = json.loads((folder / "options.json").read_text())
        torch.save(elmo_state(options, elmo_datasets(options)), folder / "weights.th")
        (folder / "weights.hdf5").unlink()
    return folder


@pytest.mark.parametrize("kind", ["words", "many langs", "cached", "aligned", "allennlp"])
@pytest.mark.parametrize("zipped", [False, True])
def test_own_folder_keeps_every_kind(tmp_path: Path, request: Any, kind: str, zipped: bool) -> None:
    folder = request.getfixturevalue("word_folder" if kind == "words" else "folder")
    path = make_kind(kind, folder, tmp_path)
    files = replace(read_elmo(path), source_checksum="abc", mix=((0.5, -1.0, 2.0), 1.25))
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, files)
    assert (own / "words.json").exists() == (kind in ("words", "many langs", "cached"))
    assert (own / "characters.json").exists() == (kind == "many langs")
    place = zip_of(own, tmp_path / "own.zip") if zipped else own
    again = read_elmo(place)
    assert_same(again, files)
    assert again.source_checksum == "abc"
    expected, found = (rows_of(p, SENTENCES, layers=[0, 1]) for p in (path, place))
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("change", [{"<oov>": 99}, {"more": 10}])
def test_own_list_of_another_model_is_refused(tmp_path: Path, change: Dict[str, int]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, read_elmo(write_many_langs(tmp_path / "many")))
    file = own / "words.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert "the table of words is of 10 rows" in refusal_of(own)


@pytest.mark.parametrize("content", ["[]", '{"a": "b"}', '{"a": 1.5}', '{"<bos>": -1}', "{", '{"<bos>": 0}'])
def test_own_list_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, read_elmo(write_many_langs(tmp_path / "many")))
    (own / "characters.json").write_text(content)
    assert "characters.json" in refusal_of(own)


# Its table in the options


def _set(own: Path, **values: Any) -> None:
    edit_options(own, lambda options: options["spacy_ctx_embed"].update(values))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("word_dim", "100", "the key 'spacy_ctx_embed.word_dim' is '100'"),
        ("word_dim", -1, "the key 'spacy_ctx_embed.word_dim' is -1"),
        ("words", {"unkown": 0}, "the key 'spacy_ctx_embed.words' is {'unkown': 0}"),
        ("words", [0], "the key 'spacy_ctx_embed.words' is [0]"),
        ("words", {"unknown": "0"}, "the key 'spacy_ctx_embed.words.unknown' is '0'"),
        ("words", {"unknown": -2}, "the key 'spacy_ctx_embed.words.unknown' is -2"),
        ("words", {"max_length": 0}, "the key 'spacy_ctx_embed.words.max_length' is 0"),
        ("mix", [1, 2], "the key 'spacy_ctx_embed.mix' is [1, 2]"),
        ("mix", {"weights": [0, 0, 0]}, "the key 'spacy_ctx_embed.mix.gamma' is missing"),
        ("mix", {"gamma": 1}, "the key 'spacy_ctx_embed.mix.weights' is missing"),
        ("mix", {"weights": [0, 0], "gamma": 1}, "Accepted: a list of 3 numbers"),
        ("mix", {"weights": [0, 0, float("nan")], "gamma": 1}, "the key 'spacy_ctx_embed.mix.weights' is [0, 0, nan]"),
        ("mix", {"weights": [0, 0, 0], "gamma": "1"}, "the key 'spacy_ctx_embed.mix.gamma' is '1'"),
        ("kind", 3, "the key 'spacy_ctx_embed.kind' is 3"),
    ],
)
def test_a_setting_of_our_own_that_makes_no_sense_is_named(tmp_path: Path, key: str, value: Any, said: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, read_elmo(write_many_langs(tmp_path / "many")))
    _set(own, **{key: value})
    message = refusal_of(own)
    assert str(own / "options.json") in message
    assert said in message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.floats() | st.sampled_from(["", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["unknown", "max_length", "weights", "gamma"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(["word_dim", "words", "mix", "kind"]), JSON) | JSON)
def test_whatever_is_set_there_the_model_is_read_or_refused(tmp_path: Path, values: Any) -> None:
    own = tmp_path / "own"
    if not own.is_dir():
        own.mkdir()
        write_elmo(own, read_elmo(write_many_langs(tmp_path / "many")))
    edit_options(own, lambda options: options.update(spacy_ctx_embed=values))
    refused = ""
    try:
        read_elmo(own)
    except ModelFormatError as error:
        refused = str(error)
    assert not refused or ("Accepted: " in refused and "Fix: " in refused)
