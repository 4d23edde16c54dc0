from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.networks.elmo.many_langs_reference import ManyLangsReference
from tests.writers.many_langs import (
    CHARACTERS,
    WORDS,
    name_a_gpu,
    write_dic,
    write_many_langs,
    write_state,
)

VOCAB = spacy.blank("xx").vocab
SENTENCES = [
    ["the", "cat", "."],
    ["中文", "🙂", "中🙂é", "unheard"],
    ["x" * 48, "x" * 49, "x" * 200, "the"],  # cut before they are looked up, so all but the last are one word
    ["<bos>", "the", "<eos>", "<oov>", "<pad>", "<S>"],
    ["a\u3000b", "\u00a0t", "e"],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_many_langs(tmp_path / "model")


def rows_of(path: Path, sentences: Sequence[Sequence[str]]) -> List[Any]:
    docs = [Doc(VOCAB, words=list(words), spaces=[False] * len(words)) for words in sentences]
    return make_elmo_v1(name=str(path), layer_mix="concat").predict(docs)


def assert_equal_to_the_reference(path: Path, reference: ManyLangsReference) -> None:
    for words, found in zip(SENTENCES, rows_of(path, SENTENCES)):
        expected = np.concatenate(list(reference.sentence(words)), axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_elmo(path)
    message = str(caught.value)
    assert "Accepted: " in message and "Fix: " in message
    return message


def edit_json(file: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def edit_state(file: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    state = torch.load(file, weights_only=True)
    change(state)
    write_state(file, state)


# The ordinary case


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "tanh", "n_highway": 0},
        {"n_layers": 1, "projection_dim": 10},
        {"word_dim": 0},
        {"char_dim": 0},
        {"max_characters_per_token": 9},
    ],
)
def test_rows_equal_the_equations(tmp_path: Path, changes: Dict[str, Any]) -> None:
    folder = write_many_langs(tmp_path, **changes)
    assert_equal_to_the_reference(folder, ManyLangsReference(folder))


def test_words_are_cut_before_they_are_looked_up(folder: Path) -> None:
    rows = rows_of(folder, [["x" * 48], ["x" * 49], ["x" * 47]])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert abs(rows[0] - rows[2]).max() > 0.01


def test_begin_and_end_of_word_are_swapped_as_in_the_original(folder: Path) -> None:
    files = read_elmo(folder)
    ids = files.config.alphabet.ids(["t"], 5)
    assert ids.tolist() == [[CHARACTERS.index(key) for key in ("<eow>", "t", "<bow>", "<pad>", "<pad>")]]


def test_tensors_that_were_on_a_gpu_are_read(folder: Path) -> None:
    expected = read_elmo(folder).weights
    for name in ("token_embedder.pkl", "encoder.pkl"):
        name_a_gpu(folder / name)
        assert b"cuda:0" in (folder / name).read_bytes()
    found = read_elmo(folder).weights
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("top", ["", "144/"])
def test_zip_archive_is_read(folder: Path, top: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "144.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"{top}{file.name}")
    assert_equal_to_the_reference(tmp_path / "144.zip", ManyLangsReference(folder))


@pytest.mark.parametrize("changes", [{}, {"word_dim": 0}, {"char_dim": 0}, {"projection_dim": 10}])
def test_own_folder_gives_back_the_same(tmp_path: Path, changes: Dict[str, Any]) -> None:
    files = read_elmo(write_many_langs(tmp_path / "published", **changes))
    own = tmp_path / "own"
    own.mkdir()
    write_elmo(own, files)
    again = read_elmo(own)
    assert (again.config, again.kind) == (files.config, "ELMoForManyLangs")
    assert again.weights.keys() == files.weights.keys()
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in files.weights.items())


# The architecture


def test_a_path_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "configs").mkdir()
    (folder / "tiny.json").rename(folder / "configs" / "other.json")
    edit_json(folder / "config.json", lambda values: values.update(config_path="./configs/other.json"))
    assert read_elmo(folder).config.bilm.dim == 10


def test_windows_path_is_known_by_its_last_part(folder: Path) -> None:
    edit_json(folder / "config.json", lambda values: values.update(config_path="C:\\elmo\\configs\\tiny.json"))
    assert read_elmo(folder).config.bilm.dim == 10


def test_unknown_architecture_is_asked_for(folder: Path) -> None:
    (folder / "tiny.json").unlink()
    message = refusal(folder)
    assert "'/home/authors/configs/tiny.json'" in message and "put the file tiny.json there" in message


def test_nothing_outside_the_folder_is_opened(folder: Path, tmp_path: Path) -> None:
    (folder / "tiny.json").rename(tmp_path / "outside.json")
    for path in (str(tmp_path / "outside.json"), "../outside.json"):
        edit_json(folder / "config.json", lambda values, path=path: values.update(config_path=path))
        assert "put the file outside.json there" in refusal(folder)


@pytest.mark.parametrize("name", ["cnn_50_100_512_4096_sample.json", "cnn_0_100_512_4096_sample.json"])
def test_published_architecture_is_built_in(folder: Path, name: str) -> None:
    (folder / "tiny.json").unlink()
    edit_json(folder / "config.json", lambda values: values.update(config_path=f"/users/x/configs/{name}"))
    message = refusal(folder)  # these weights are smaller
    assert "'word_emb_layer.embedding.weight' is of shape (10, 5)" in message and "of shape (10, 100)" in message
    assert "token_embedder.pkl" in message and name in message


@pytest.mark.parametrize("key", ["encoder.name", "token_embedder.name"])
def test_parts_that_no_published_model_has_are_refused(folder: Path, key: str) -> None:
    table, name = key.split(".")
    edit_json(folder / "tiny.json", lambda values: values[table].update({name: "lstm"}))
    assert f"'{key}' is 'lstm'" in refusal(folder)


def test_a_model_that_reads_nothing_is_refused(folder: Path) -> None:
    edit_json(folder / "tiny.json", lambda values: values["token_embedder"].update(word_dim=0, char_dim=0))
    assert "'token_embedder.word_dim' is 0" in refusal(folder)


@pytest.mark.parametrize(
    ("table", "key", "value", "told"),
    [
        ("encoder", "dim", 11, "'forward_layer_0.input_linearity.weight' is of shape (40, 6)"),
        ("encoder", "n_layers", 1, "'encoder.n_layers'"),
        ("encoder", "n_layers", 3, "'forward_layer_2.input_linearity.weight' is missing"),
        ("token_embedder", "n_highway", 1, "'token_embedder.n_highway'"),
        ("token_embedder", "filters", [[1, 4], [2, 3]], "'highways._layers.0.weight' is of shape (24, 12)"),
        ("token_embedder", "char_dim", 5, "'char_emb_layer.embedding.weight' is of shape (17, 4)"),
    ],
)
def test_architecture_of_another_model_is_refused(folder: Path, table: str, key: str, value: Any, told: str) -> None:
    edit_json(folder / "tiny.json", lambda values: values[table].update({key: value}))
    message = refusal(folder)
    assert told in message and ".pkl" in message


def test_wrong_shape_names_weights_and_architecture(folder: Path) -> None:
    edit_json(folder / "tiny.json", lambda values: values["encoder"].update(dim=11))
    message = refusal(folder)
    assert str(folder / "encoder.pkl") in message and str(folder / "tiny.json") in message


# The lists


@pytest.mark.parametrize(("name", "keys"), [("word.dic", WORDS), ("char.dic", CHARACTERS)])
@pytest.mark.parametrize("change", [1, -1])
def test_lists_of_another_model_are_refused(folder: Path, name: str, keys: List[str], change: int) -> None:
    write_dic(folder / name, ["more", *keys] if change > 0 else keys[1:] if name == "char.dic" else keys[:-1])
    message = refusal(folder)
    assert f"of {len(keys)} rows" in message and f"goes up to row {len(keys) - 1 + change}" in message


@pytest.mark.parametrize(("name", "symbol"), [("word.dic", "<oov>"), ("char.dic", "<eow>"), ("char.dic", "<pad>")])
def test_missing_symbol_is_named(folder: Path, name: str, symbol: str) -> None:
    file = folder / name
    file.write_text(file.read_text(encoding="utf8").replace(symbol, "other"), encoding="utf8")
    assert f"without {symbol}" in refusal(folder)


@pytest.mark.parametrize("line", ["a\tb\t3", "a\tb", "a", "a\t-1"])
def test_broken_line_is_named(folder: Path, line: str) -> None:
    with (folder / "word.dic").open("a", encoding="utf8") as stream:
        stream.write(f"{line}\n")
    message = refusal(folder)
    assert f"line {len(WORDS) + 1} is" in message and "word.dic" in message


def test_lists_are_read_line_by_line_as_in_the_original(folder: Path) -> None:
    lines = [f"{key}\t{row}" for row, key in enumerate(WORDS)]
    lines[5] = " cat \t5"  # outer blanks are cut off, and with a key of blanks the tab too
    lines[8] = " \u00a0\t8\r"
    lines.append("the\t6")  # the later line wins
    lines.append("the\u2028x\t9")  # ends no line
    (folder / "word.dic").write_text("\n".join(lines), encoding="utf8", newline="")
    rows = read_elmo(folder).config.lexicon.rows
    assert (rows["cat "], rows["\u3000"], rows["the"], rows["the\u2028x"]) == (5, 8, 6, 9)


def test_list_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / "word.dic").write_bytes(b"\xff\t0\n")
    assert "word.dic" in refusal(folder)


# The weights


@pytest.mark.parametrize("name", ["encoder.pkl", "token_embedder.pkl", "word.dic", "char.dic", "config.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"no {name}" in refusal(folder)


@pytest.mark.parametrize("name", ["encoder.pkl", "token_embedder.pkl"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_truncated_weights_are_refused(folder: Path, name: str, part: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * part)])
    assert str(folder / name) in refusal(folder)


def test_gates_of_another_size_are_refused(folder: Path) -> None:
    name = "backward_layer_1.state_linearity.weight"
    edit_state(folder / "encoder.pkl", lambda state: state.update({name: state[name].t().contiguous()}))
    assert f"'{name}' is of shape (6, 40)" in refusal(folder)


def test_missing_tensor_is_named(folder: Path) -> None:
    edit_state(folder / "token_embedder.pkl", lambda state: state.pop("projection.bias"))
    assert "'projection.bias' is missing" in refusal(folder)


def test_numbers_that_are_none_are_refused(folder: Path) -> None:
    name = "word_emb_layer.embedding.weight"
    edit_state(folder / "token_embedder.pkl", lambda state: state[name][3].fill_(float("nan")))
    assert f"'{name}' is not finite" in refusal(folder)
