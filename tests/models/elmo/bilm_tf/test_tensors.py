"""models/elmo/bilm_tf/tensors.py and models/elmo/bilm_tf/folder.py: our order, and models that read or know words."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List

import h5py
import numpy as np
import pytest

from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import CELL, SENTENCES, VOCABULARY, assert_same, edit_options, refusal_of, rows_of
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.elmo import elmo_datasets, elmo_options, write_elmo_model, write_random_elmo

FIXTURE = Path(__file__).parents[3].parent / "shared" / "data" / "elmo-fixture"


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
    assert f"'{key}'" in refusal_of(folder)


# Models that read words


class ReferenceOfWords(ReferenceElmo):
    def token(self, word: str) -> np.ndarray:
        return self.data["embedding"][VOCABULARY.index(word if word in VOCABULARY else "<UNK>")]


def test_rows_of_a_model_that_reads_words(word_folder: Path) -> None:
    reference = ReferenceOfWords(word_folder)
    for words, found in zip(SENTENCES, rows_of(word_folder, SENTENCES)):
        np.testing.assert_allclose(found, np.concatenate(list(reference.sentence(words)), axis=1), atol=1e-5)


def test_vocabulary_may_be_compressed(word_folder: Path) -> None:
    expected = read_elmo(word_folder)
    file = word_folder / "vocab.txt"
    (word_folder / "vocab.txt.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    assert_same(read_elmo(word_folder), expected)


def test_damaged_vocabulary_is_refused(word_folder: Path) -> None:
    packed = gzip.compress(bytes(range(256)) * 20)
    (word_folder / "vocab.txt").unlink()
    for content in (packed[:-20], packed[:20] + b"\xff" * 20 + packed[40:], b"no gzip", gzip.compress(b"\xff\xfe")):
        (word_folder / "vocab.txt.gz").write_bytes(content)
        assert "vocab.txt.gz" in refusal_of(word_folder)


def test_lines_that_bilm_tf_leaves_out_do_not_count(word_folder: Path) -> None:
    expected = read_elmo(word_folder)
    (word_folder / "vocab.txt").write_text("\n".join([*VOCABULARY[:3], "!!!MAXTERMID", *VOCABULARY[3:]]) + "\n")
    assert_same(read_elmo(word_folder), expected)


@pytest.mark.parametrize("missing", ["<S>", "</S>", "<UNK>"])
def test_vocabulary_must_have_the_special_words(word_folder: Path, missing: str) -> None:
    words = [word if word != missing else "other" for word in VOCABULARY]
    (word_folder / "vocab.txt").write_text("\n".join(words))
    assert f"without {missing}" in refusal_of(word_folder)


@pytest.mark.parametrize("words", [VOCABULARY[:-1], [*VOCABULARY, "more"]])
def test_vocabulary_of_another_model_is_refused(word_folder: Path, words: List[str]) -> None:
    (word_folder / "vocab.txt").write_text("\n".join(words))
    message = refusal_of(word_folder)
    assert f"'embedding' is of shape ({len(VOCABULARY)}, 6)" in message and f"({len(words)}, 6)" in message


def test_vocabulary_is_asked_for(word_folder: Path) -> None:
    (word_folder / "vocab.txt").unlink()
    assert "beside the weights as vocab.txt" in refusal_of(word_folder)


# Cached words


def test_cached_rows_equal_those_of_the_characters(folder: Path) -> None:
    plain = rows_of(folder, SENTENCES)
    reference = ReferenceElmo(folder)
    with h5py.File(folder / "tokens.hdf5", "w") as stream:
        stream["embedding"] = np.array([reference.token(word) for word in VOCABULARY], dtype="f")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    files = read_elmo(folder)
    assert files.config.n_words == len(VOCABULARY) and files.config.char_cnn is not None
    for found, expected in zip(rows_of(folder, SENTENCES), plain):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_words_of_the_cache_are_not_spelt(folder: Path) -> None:
    with h5py.File(folder / "tokens.hdf5", "w") as stream:
        stream["embedding"] = np.arange(len(VOCABULARY), dtype="f")[:, None].repeat(6, axis=1)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    rows = rows_of(folder, [["The", "sat", "unheard"]], layers=[0])[0]
    assert rows[:2, 0].tolist() == [3, 5]
    np.testing.assert_allclose(rows[2, :6], ReferenceElmo(folder).token("unheard"), atol=1e-5)


@pytest.mark.reference
@pytest.mark.skipif(not FIXTURE.is_dir(), reason="the fixture is not in ../shared")
def test_cache_of_the_published_fixture(tmp_path: Path) -> None:
    for name in ("lm_weights.hdf5", "options.json"):
        shutil.copy(FIXTURE / name, tmp_path)
    sentences = [line.split() for line in json.loads((FIXTURE / "sentences.json").read_text())[0]]
    assert read_elmo(tmp_path).config.lexicon is None
    plain = rows_of(tmp_path, sentences)
    for name in ("elmo_token_embeddings.hdf5", "vocab_test.txt"):
        shutil.copy(FIXTURE / name, tmp_path)
    files = read_elmo(tmp_path)
    assert files.config.n_words == 458
    known = [word for words in sentences for word in words if word in files.config.lexicon.rows]
    assert len(known) > 100
    for found, expected in zip(rows_of(tmp_path, sentences), plain):
        np.testing.assert_allclose(found, expected, atol=1e-5)
