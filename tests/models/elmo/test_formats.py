from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import h5py
import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.files import ElmoFiles
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.allennlp import elmo_state
from tests.writers.elmo import elmo_datasets, elmo_options, write_elmo_model, write_random_elmo
from tests.writers.many_langs import write_many_langs
from tests.writers.tf_bundle import write_bundle

CELL = "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell"
FIXTURE = Path(__file__).parents[3].parent / "shared" / "data" / "elmo-fixture"
VOCAB = spacy.blank("en").vocab
VOCABULARY = ["<S>", "</S>", "<UNK>", "The", "cat", "sat"]
SENTENCES = [["The", "cat", "sat"], ["the", "cat", "</S>", "<UNK>"]]


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
    assert (files.config.bilm.n_layers, files.config.bilm.cell_clip, files.config.bilm.use_skip_connections) == (
        1,
        None,
        False,
    )
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


# Members of archives


def zip_of(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


def tar_of(folder: Path, path: Path, top: str = ".") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, top)
    return path


def assert_same(found: ElmoFiles, expected: ElmoFiles) -> None:
    assert (found.config, found.kind, found.mix) == (expected.config, expected.kind, expected.mix)
    assert found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())


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
    assert f"{path}/weights.hdf5" in refusal(path)


@pytest.mark.parametrize("top", [".", "model"])
def test_tar_archive_is_read(folder: Path, tmp_path: Path, top: str) -> None:
    assert_same(read_elmo(tar_of(folder, tmp_path / "model.tar.gz", top)), read_elmo(folder))


def test_tar_archive_that_leads_out_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tar_of(folder, tmp_path / "model.tar.gz", "../model")
    assert "'../model/options.json' leads out of the archive" in refusal(path)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_own_folder_may_be_in_an_archive(own: Path, tmp_path: Path, pack: Callable[[Path, Path], Path]) -> None:
    assert_same(read_elmo(pack(own, tmp_path / "packed")), read_elmo(own))


def test_archive_of_something_else_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "readme.txt").touch()
    message = refusal(zip_of(tmp_path / "x", tmp_path / "x.zip"))
    assert "in it: readme.txt" in message
    assert all(name in message for name in ("weights.hdf5", "weights.th", "encoder.pkl", "saved_model.pb"))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_transformers_are_sent_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, tmp_path / name):
        assert "use the component 'bert_embeddings'" in refusal(path)


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


def test_error_in_an_archived_checkpoint_names_the_archive(folder: Path, tmp_path: Path) -> None:
    tensorflow_run(folder)
    (folder / "model.ckpt-1.data-00000-of-00001").write_bytes(b"")
    for path in (zip_of(folder, tmp_path / "run.zip"), tar_of(folder, tmp_path / "run.tar.gz")):
        message = refusal(path)
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
    assert "'CNN/W_cnn_0' is missing" in refusal(folder / "model.ckpt-1.index")


# Models that read words


class ReferenceOfWords(ReferenceElmo):
    def token(self, word: str) -> np.ndarray:
        return self.data["embedding"][VOCABULARY.index(word if word in VOCABULARY else "<UNK>")]


@pytest.fixture
def word_folder(folder: Path) -> Path:
    edit_options(folder, lambda options: options.pop("char_cnn"))
    with h5py.File(folder / "weights.hdf5", "a") as stream:
        for name in [name for name in stream if not name.startswith("RNN")]:
            del stream[name]
        stream["embedding"] = np.random.default_rng(1).standard_normal((len(VOCABULARY), 6)).astype("f")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


def rows_of(path: Path, sentences: Sequence[Sequence[str]], **kwargs: Any) -> List[Any]:
    docs = [Doc(VOCAB, words=list(words)) for words in sentences]
    return make_elmo_v1(name=str(path), **{"layer_mix": "concat", **kwargs}).predict(docs)


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
        assert "vocab.txt.gz" in refusal(word_folder)


def test_lines_that_bilm_tf_leaves_out_do_not_count(word_folder: Path) -> None:
    expected = read_elmo(word_folder)
    (word_folder / "vocab.txt").write_text("\n".join([*VOCABULARY[:3], "!!!MAXTERMID", *VOCABULARY[3:]]) + "\n")
    assert_same(read_elmo(word_folder), expected)


@pytest.mark.parametrize("missing", ["<S>", "</S>", "<UNK>"])
def test_vocabulary_must_have_the_special_words(word_folder: Path, missing: str) -> None:
    words = [word if word != missing else "other" for word in VOCABULARY]
    (word_folder / "vocab.txt").write_text("\n".join(words))
    assert f"without {missing}" in refusal(word_folder)


@pytest.mark.parametrize("words", [VOCABULARY[:-1], [*VOCABULARY, "more"]])
def test_vocabulary_of_another_model_is_refused(word_folder: Path, words: List[str]) -> None:
    (word_folder / "vocab.txt").write_text("\n".join(words))
    message = refusal(word_folder)
    assert f"'embedding' is of shape ({len(VOCABULARY)}, 6)" in message and f"({len(words)}, 6)" in message


def test_vocabulary_is_asked_for(word_folder: Path) -> None:
    (word_folder / "vocab.txt").unlink()
    assert "beside the weights as vocab.txt" in refusal(word_folder)


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


# Aligned models


def write_mapping(folder: Path, language: str, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((12, 12))
    torch.save(matrix, folder / f"{language}_best_mapping.pth", _use_new_zipfile_serialization=False)
    return matrix


def test_rows_are_mapped(folder: Path) -> None:
    plain = rows_of(folder, SENTENCES, layers=[1])
    matrix = write_mapping(folder, "es")
    files = read_elmo(folder)
    assert files.config.aligned
    assert files.weights["alignment.weight"].shape == (12, 12)
    for found, expected in zip(rows_of(folder, SENTENCES, layers=[1]), plain):
        np.testing.assert_allclose(found, expected @ matrix.T, atol=1e-5)


def test_each_language_has_its_own_map(folder: Path) -> None:
    for language in ("en", "es", "fr"):
        shutil.copy(folder / "weights.hdf5", folder / f"{language}_weights.hdf5")
    (folder / "weights.hdf5").unlink()
    (folder / "options.json").rename(folder / "options262.json")
    for seed, language in enumerate(("es", "fr")):
        matrix = write_mapping(folder, language, seed)
        found = read_elmo(folder / f"{language}_weights.hdf5").weights["alignment.weight"]
        np.testing.assert_array_equal(found.numpy(), matrix.astype("f"))
    assert not read_elmo(folder / "en_weights.hdf5").config.aligned


def test_two_maps_for_one_model_are_refused(folder: Path) -> None:
    for language in ("es", "fr"):
        write_mapping(folder, language)
    assert "es_best_mapping.pth, fr_best_mapping.pth" in refusal(folder)


def test_map_of_another_width_is_refused(folder: Path) -> None:
    torch.save(torch.eye(1024), folder / "es_best_mapping.pth")
    message = refusal(folder)
    assert "of shape (1024, 1024)" in message and "of shape (12, 12)" in message


# What our own folder keeps


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
    assert "the table of words is of 10 rows" in refusal(own)


@pytest.mark.parametrize("content", ["[]", '{"a": "b"}', '{"a": 1.5}', '{"<bos>": -1}', "{", '{"<bos>": 0}'])
def test_own_list_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, read_elmo(write_many_langs(tmp_path / "many")))
    (own / "characters.json").write_text(content)
    assert "characters.json" in refusal(own)
