from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import pytest
import torch

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.tensorflow.checkpoint import read_tf_checkpoint
from tests.writers.elmo import elmo_datasets, elmo_options, write_elmo_model
from tests.writers.tf_bundle import write_bundle

CELL = re.compile(r"RNN_(\d)/RNN/(?:MultiRNNCell/Cell(\d)/)?LSTMCell/(W_0|B|W_P_0)")
PARTS = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}
KERNEL = "lm/RNN_0/rnn/multi_rnn_cell/cell_1/lstm_cell/kernel"
HUB_KERNEL = "bilm/RNN_0/RNN/MultiRNNCell/Cell1/rnn/lstm_cell/kernel"

Arrays = Dict[str, Any]


def training_names(datasets: Arrays, scope: str = "lm/") -> Arrays:
    """As in the graph that bilm-tf trains; a model of one layer has no multi_rnn_cell."""

    def rename(match: "re.Match[str]") -> str:
        cell = "" if match[2] is None else f"multi_rnn_cell/cell_{match[2]}/"
        return f"RNN_{match[1]}/rnn/{cell}lstm_cell/{PARTS[match[3]]}"

    return {scope + CELL.sub(rename, name): array for name, array in datasets.items()}


def graph_names(datasets: Arrays, scope: str = "bilm/") -> Arrays:
    """As in the graph in which bilm-tf uses a model."""

    def rename(match: "re.Match[str]") -> str:
        return f"RNN_{match[1]}/RNN/MultiRNNCell/Cell{match[2]}/rnn/lstm_cell/{PARTS[match[3]]}"

    return {scope + CELL.sub(rename, name): array for name, array in datasets.items()}


def remains() -> Arrays:
    """What else such checkpoints hold."""
    return {
        "global_step": np.int64(935588),
        "train_perplexity": np.float32(40),
        "lm/softmax/W": np.zeros((30, 6), np.float32),
        "lm/softmax/b": np.zeros(30, np.float32),
        "lm/char_embed/Adagrad": np.zeros((261, 4), np.float32),
        f"{KERNEL}/Adagrad": np.zeros((12, 48), np.float32),
        "lm/RNN_0/Variable_1": np.zeros((128, 6), np.float32),
        "save/CNN/W_cnn_9": np.full(3, np.nan, np.float32),
    }


def write_training_run(folder: Path, options: Arrays, variables: Arrays, **kwargs: Any) -> Path:
    write_bundle(folder / "model.ckpt-935588", variables, **kwargs)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/data/run/model.ckpt-935588"\n')
    (folder / "options.json").write_text(json.dumps(options))
    return folder


def write_saved_model(folder: Path, variables: Arrays) -> Path:
    write_bundle(folder / "variables" / "variables", variables)
    (folder / "saved_model.pb").write_bytes(b"")  # the graph, which is not read
    return folder


def hub_options(**kwargs: Any) -> Arrays:
    return elmo_options(cell_clip=3, proj_clip=3, **kwargs)


def hub_variables(options: Arrays, rows: int = 262, module: str = "") -> Arrays:
    arrays = graph_names(elmo_datasets(options, rows=rows), f"{module}bilm/")
    n_layers = options["lstm"]["n_layers"]
    arrays[f"{module}aggregation/weights"] = np.linspace(-1, 1, n_layers + 1, dtype=np.float32)
    arrays[f"{module}aggregation/scaling"] = np.float32(1.5)
    return {**arrays, "Variable": np.zeros((128, 12), np.float32)}


def assert_same(found: ElmoFiles, expected: ElmoFiles) -> None:
    assert found.config == expected.config
    assert found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())


def refusal(path: Path, *args: Any) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_tf_checkpoint(path, *args)
    text = str(caught.value)
    assert "Accepted: " in text and "Fix: " in text
    return text


VARIANTS = [
    {},
    {"n_layers": 3, "n_highway": 2, "skip": False},
    {"n_highway": 0, "activation": "tanh", "max_chars": 20},
    {"filters": ((1, 6),)},  # as many filters as the projection is wide: none there
    {"dim": 6},  # no projection in the cells
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_training_run_is_its_hdf5_export(tmp_path: Path, variant: Arrays) -> None:
    options = elmo_options(n_characters=261, **variant)
    datasets = elmo_datasets(options)
    expected = read_elmo(write_elmo_model(tmp_path / "hdf5", options, datasets))
    variables = {**training_names(datasets), **remains()}
    folder = write_training_run(tmp_path / "run", options, variables, n_shards=2, block_size=500)
    found = read_tf_checkpoint(folder)
    assert_same(found, expected)
    assert (found.kind, found.mix) == ("bilm-tf checkpoint", None)
    for path in (folder / "model.ckpt-935588", folder / "model.ckpt-935588.index"):
        assert_same(read_tf_checkpoint(path), expected)


def test_training_run_of_one_layer(tmp_path: Path) -> None:
    options = elmo_options(n_layers=1)
    datasets = elmo_datasets(options, single=True)
    expected = read_elmo(write_elmo_model(tmp_path / "hdf5", options, datasets))
    variables = training_names(datasets)
    assert "lm/RNN_1/rnn/lstm_cell/projection/kernel" in variables
    assert_same(read_tf_checkpoint(write_training_run(tmp_path / "run", options, variables)), expected)


@pytest.mark.parametrize("rows", [261, 262])
def test_inference_graph_is_read_by_its_row_count(tmp_path: Path, rows: int) -> None:
    options = elmo_options()
    datasets = elmo_datasets(options, rows=rows)
    expected = read_elmo(write_elmo_model(tmp_path / "hdf5", options, datasets))
    folder = write_training_run(tmp_path / "run", options, {**graph_names(datasets), **remains()})
    assert_same(read_tf_checkpoint(folder), expected)


def test_names_of_early_tensorflow(tmp_path: Path) -> None:
    options = elmo_options()
    datasets = elmo_datasets(options)
    expected = read_elmo(write_elmo_model(tmp_path / "hdf5", options, datasets))
    variables = {f"lm/{name}": array for name, array in datasets.items()}
    assert_same(read_tf_checkpoint(write_training_run(tmp_path / "run", options, variables)), expected)


@pytest.mark.parametrize("module", ["", "module/", "elmo/module_1/"])
@pytest.mark.parametrize("variant", [{}, {"n_layers": 1, "n_highway": 2}, {"filters": ((1, 6),)}, {"dim": 6}], ids=str)
def test_hub_module_needs_no_options(tmp_path: Path, variant: Arrays, module: str) -> None:
    options = hub_options(**variant)
    datasets = elmo_datasets(options, rows=262)
    expected = read_elmo(write_elmo_model(tmp_path / "hdf5", options, datasets))
    folder = write_saved_model(tmp_path / "hub", hub_variables(options, module=module))
    found = read_tf_checkpoint(folder)
    assert_same(found, expected)
    assert found.kind == "TF-Hub SavedModel"
    weights = np.linspace(-1, 1, options["lstm"]["n_layers"] + 1, dtype=np.float32)
    assert found.mix == (tuple(weights.tolist()), 1.5)
    for path in (folder / "saved_model.pb", folder / "variables", folder / "variables" / "variables"):
        assert_same(read_tf_checkpoint(path), expected)


def test_hub_module_with_261_rows_gets_the_row_of_no_token(tmp_path: Path) -> None:
    found = read_tf_checkpoint(write_saved_model(tmp_path, hub_variables(hub_options(), rows=261)))
    table = found.weights["char_cnn.embedding.weight"]
    assert table.shape == (262, 4) and not table[0].any() and table[1].all()


def test_options_of_a_saved_model_come_before_its_shapes(tmp_path: Path) -> None:
    options = elmo_options(cell_clip=0.5, skip=False, max_chars=30)
    folder = write_saved_model(tmp_path, graph_names(elmo_datasets(options)))
    (folder / "options.json").write_text(json.dumps(options))
    found = read_tf_checkpoint(folder)
    assert found.config.char_cnn is not None
    assert (found.config.bilm.cell_clip, found.config.bilm.use_skip_connections) == (0.5, False)
    assert (found.config.char_cnn.max_chars, found.mix) == (30, None)


# models that read words

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank"]


@pytest.mark.parametrize("scope", ["lm/", "bilm/"])
def test_model_that_reads_words(tmp_path: Path, scope: str) -> None:
    options = elmo_options()
    cells = {name: array for name, array in elmo_datasets(options).items() if name.startswith("RNN")}
    del options["char_cnn"]
    table = np.random.default_rng(5).standard_normal((5, 6)).astype(np.float32)
    padded = np.concatenate([np.zeros((1, 6), np.float32), table])
    variables = {**(training_names if scope == "lm/" else graph_names)(cells, scope), **remains()}
    variables[f"{scope}embedding"] = table if scope == "lm/" else padded
    folder = write_training_run(tmp_path / "run", options, variables)
    found = read_tf_checkpoint(folder, WORDS)
    assert np.array_equal(found.weights["words.weight"].numpy(), table)
    assert found.config.lexicon is not None and found.config.lexicon.rows["bank"] == 4
    assert "vocabulary" in refusal(folder)
    assert "Accepted: of shape (3, 6)" in refusal(folder, WORDS[:3])


# errors


def change_training(folder: Path, name: str, array: Optional[Any], **kwargs: Any) -> Path:
    options = elmo_options()
    variables = {**training_names(elmo_datasets(options)), **remains(), name: array}
    if array is None:
        del variables[name]
    return write_training_run(folder, options, variables, **kwargs)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        (KERNEL, None, "'RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/W_0' is missing"),
        (KERNEL, np.zeros((48, 12), np.float32), "is of shape (48, 12). Accepted: of shape (12, 48)"),
        (KERNEL, np.zeros((12, 36), np.float32), "is of shape (12, 36)"),
        (KERNEL, np.zeros((12, 48), np.int32), "of type int32"),
        (KERNEL, np.full((12, 48), np.nan, np.float32), "not finite (NaN or infinite) in 576 places"),
        ("lm/char_embed", None, "'char_embed' is missing"),
        ("lm/char_embed", np.zeros((260, 4), np.float32), "of shape (261, 4) or of shape (262, 4)"),
        ("lm/CNN/b_cnn_1", np.full(5, np.inf, np.float32), "not finite"),
        ("lm/CNN_proj/b_proj", None, "'CNN_proj/b_proj' is missing"),
        ("lm/CNN/W_cnn_3", np.zeros((1, 1, 4, 2), np.float32), "'char_cnn.filters'"),
        ("lm/CNN_high_1/W_carry", np.zeros((15, 15), np.float32), "'char_cnn.n_highway'"),
        (KERNEL.replace("cell_1", "cell_2"), np.zeros((12, 48), np.float32), "'lstm.n_layers'"),
        ("module/bilm/char_embed", np.zeros((262, 4), np.float32), "there as 'lm/char_embed' and as 'module/bilm/"),
    ],
)
def test_variables_that_do_not_fit(tmp_path: Path, name: str, array: Any, expected: str) -> None:
    assert expected in refusal(change_training(tmp_path, name, array))


def test_damaged_data(tmp_path: Path) -> None:
    assert "another checksum" in refusal(change_training(tmp_path, "x", np.float32(0), edits={KERNEL: {4: 8}}))


def test_training_run_needs_its_options(tmp_path: Path) -> None:
    folder = change_training(tmp_path, "x", np.float32(0))
    (folder / "options.json").unlink()
    assert "there is no options.json beside the checkpoint" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("bilm/CNN/W_cnn_0", None, "'CNN/W_cnn_0' is missing. Accepted: of 4 axes"),
        ("bilm/CNN/W_cnn_0", np.zeros((4, 4), np.float32), "is of shape (4, 4). Accepted: of 4 axes"),
        ("bilm/CNN/W_cnn_0", np.zeros((1, 0, 4, 4), np.float32), "none of them empty"),
        ("bilm/CNN/W_cnn_0", np.zeros((1, 51, 4, 4), np.float32), "at most 50 characters"),
        ("bilm/CNN/W_cnn_0", np.zeros((1, 1, 4, 9), np.float32), "'CNN/b_cnn_0' is of shape (4,)"),
        ("bilm/CNN_proj/W_proj", None, "'CNN_proj/W_proj' is missing"),
        ("bilm/char_embed", np.zeros(262, np.float32), "'char_embed' is of shape (262,)"),
        (HUB_KERNEL, None, "Cell1/LSTMCell/W_0' is missing"),
        (HUB_KERNEL.replace("Cell1", "Cell0"), None, "Cell0/LSTMCell/W_0' is missing"),
        (HUB_KERNEL, np.zeros((12, 40), np.float32), "is of shape (12, 40). Accepted: of shape (12, 48)"),
        (HUB_KERNEL, np.full((12, 48), np.nan, np.float32), "not finite"),
        ("aggregation/weights", np.zeros(2, np.float32), "'aggregation/weights' is of shape (2,)"),
        ("aggregation/weights", np.full(3, np.nan, np.float32), "not finite"),
        ("aggregation/scaling", None, "'aggregation/scaling' is missing"),
        ("bilm/RNN_0/RNN/MultiRNNCell/Cell99/rnn/lstm_cell/bias", np.zeros(48, np.float32), "Cell2/LSTMCell/W_0' is"),
    ],
)
def test_hub_modules_that_do_not_fit(tmp_path: Path, name: str, array: Any, expected: str) -> None:
    variables = {**hub_variables(hub_options()), name: array}
    if array is None:
        del variables[name]
    assert expected in refusal(write_saved_model(tmp_path, variables))


def test_saved_model_of_something_else(tmp_path: Path) -> None:
    variables = {"dense/kernel": np.zeros((3, 4), np.float32), "bilm/RNN_0/RNN/MultiRNNCell/Cell999999999/B": 0.0}
    assert "'CNN/W_cnn_0' is missing" in refusal(write_saved_model(tmp_path, variables))
