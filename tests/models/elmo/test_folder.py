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
