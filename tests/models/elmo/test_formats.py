"""models/elmo/formats.py: which files are read, from folders and archives, whatever they are called."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import h5py
import numpy as np
import pytest
import spacy
import torch

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from tests.models.elmo.elmo_folders import VOCABULARY, assert_same, refusal_of, tar_of, zip_of
from tests.writers.allennlp import elmo_state
from tests.writers.elmo import elmo_datasets, write_elmo_model
from tests.writers.many_langs import write_many_langs
from tests.writers.tf_bundle import write_bundle


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
    assert "a_weights.hdf5, b_weights.hdf5" in refusal_of(folder)


@pytest.mark.parametrize("name", ["options.json", "weights.hdf5"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal_of(folder)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refusal_of(tmp_path / "nowhere")


# Members of archives


@pytest.mark.parametrize("top", ["", "210/"])
def test_nlpl_zip_is_read_in_place(folder: Path, tmp_path: Path, top: str) -> None:
    expected = read_elmo(folder)
    (folder / "weights.hdf5").rename(folder / "model.hdf5")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    (folder / "meta.json").write_text("{}")
    (folder / "README").write_text("ELMo")
    path = zip_of(folder, tmp_path / "210.zip", top)
    before = sorted(tmp_path.iterdir())
    assert_same(read_elmo(path), expected)
    assert sorted(tmp_path.iterdir()) == before


def test_damage_inside_a_zip_is_told_with_both_names(folder: Path, tmp_path: Path) -> None:
    (folder / "weights.hdf5").write_bytes(b"no")
    path = zip_of(folder, tmp_path / "210.zip")
    assert f"{path}/weights.hdf5" in refusal_of(path)


@pytest.mark.parametrize("top", [".", "model"])
def test_tar_archive_is_read(folder: Path, tmp_path: Path, top: str) -> None:
    assert_same(read_elmo(tar_of(folder, tmp_path / "model.tar.gz", top)), read_elmo(folder))


def test_tar_archive_that_leads_out_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tar_of(folder, tmp_path / "model.tar.gz", "../model")
    assert "'../model/options.json' leads out of the archive" in refusal_of(path)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_own_folder_may_be_in_an_archive(own: Path, tmp_path: Path, pack: Callable[[Path, Path], Path]) -> None:
    assert_same(read_elmo(pack(own, tmp_path / "packed")), read_elmo(own))


def test_archive_of_something_else_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").touch()
    message = refusal_of(zip_of(tmp_path / "x", tmp_path / "x.zip"))
    assert "in it: readme.txt" in message
    assert all(name in message for name in ("weights.hdf5", "weights.th", "encoder.pkl", "saved_model.pb"))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_transformers_are_sent_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, tmp_path / name):
        assert "use the component 'bert_embeddings'" in refusal_of(path)


def tensorflow_run(folder: Path) -> ElmoFiles:
    # Turns a folder of HDF5 into that of a training run, and gives what it held.
    expected = read_elmo(folder)
    with h5py.File(folder / "weights.hdf5") as stream:
        names: List[str] = []
        stream.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        cell = re.compile(r"/RNN/MultiRNNCell/Cell(\d)/LSTMCell/")
        parts = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}
        arrays = {}
        for name in names:
            new = cell.sub(r"/rnn/multi_rnn_cell/cell_\1/lstm_cell/", name)
            head, _, last = new.rpartition("/")
            arrays[f"lm/{head}/{parts[last]}" if head.endswith("lstm_cell") else f"lm/{new}"] = stream[name][()]
    (folder / "weights.hdf5").unlink()
    write_bundle(folder / "model.ckpt-1", arrays)
    return replace(expected, kind="bilm-tf checkpoint")


def test_tensorflow_checkpoint_is_read_from_folder_file_and_archive(folder: Path, tmp_path: Path) -> None:
    expected = tensorflow_run(folder)
    packed = [zip_of(folder, tmp_path / "run.zip", "run/"), tar_of(folder, tmp_path / "run.tar.gz")]
    for path in (folder, folder / "model.ckpt-1.index", *packed):
        assert_same(read_elmo(path), expected)


def test_a_pipeline_knows_its_checkpoint_again_by_the_prefix(folder: Path, tmp_path: Path) -> None:
    options = json.loads((folder / "options.json").read_text())
    other = write_elmo_model(tmp_path / "other", options, elmo_datasets(options, seed=3))
    for run in (folder, other):
        tensorflow_run(run)
    nlp = spacy.blank("xx")
    config = {"model": {"name": str(folder / "model.ckpt-1")}, "serialize": "reference"}
    nlp.add_pipe("elmo_embeddings", config=config)
    rows = nlp("The cat sat")._.embeddings["elmo_embeddings"]
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")("The cat sat")._.embeddings["elmo_embeddings"]
    np.testing.assert_array_equal(again, rows)
    for file in other.glob("model.ckpt-1.*"):
        shutil.copy(file, folder)
    with pytest.raises(ModelFormatError, match="CE015"):
        spacy.load(tmp_path / "pipeline")("The cat sat")


def test_error_in_an_archived_checkpoint_names_the_archive(folder: Path, tmp_path: Path) -> None:
    tensorflow_run(folder)
    (folder / "model.ckpt-1.data-00000-of-00001").write_bytes(b"")
    for path in (zip_of(folder, tmp_path / "run.zip"), tar_of(folder, tmp_path / "run.tar.gz")):
        message = refusal_of(path)
        assert f"{path}/model.ckpt-1.data-00000-of-00001" in message
        assert "/tmp" not in message.replace(str(tmp_path), "")


def test_a_file_that_tells_the_format_decides(folder: Path) -> None:
    # All formats in one folder: nobody should, but a folder of downloads can look so.
    hdf5 = read_elmo(folder)
    options = json.loads((folder / "options.json").read_text())
    torch.save(elmo_state(options, elmo_datasets(options, seed=3)), folder / "weights.th")
    write_many_langs(folder)
    write_bundle(folder / "model.ckpt-1", {"lm/char_embed": np.zeros((261, 4), np.float32)})
    assert_same(read_elmo(folder), hdf5)
    assert_same(read_elmo(folder / "weights.hdf5"), hdf5)
    assert read_elmo(folder / "weights.th").kind == "AllenNLP archive"
    assert read_elmo(folder / "encoder.pkl").kind == "ELMoForManyLangs"
    assert read_elmo(folder / "word.dic").kind == "ELMoForManyLangs"
    assert "'CNN/W_cnn_0' is missing" in refusal_of(folder / "model.ckpt-1.index")
