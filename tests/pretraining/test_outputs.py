"""pretraining/outputs.py: the folder of a trained model, read back from both of its weight files."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open

from spacy_ctx_embed.models.elmo.bilm_tf.writer import datasets
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining import outputs
from spacy_ctx_embed.pretraining.outputs import write_model
from spacy_ctx_embed.pretraining.settings import SoftmaxSettings
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.pretraining.small_models import N_VOCAB, WORDS, small_model
from tests.pretraining.tiny import FILES

VARIANTS = {
    "two layers": {},
    "one layer": {"lstm__n_layers": 1},
    "three layers without skips": {"lstm__n_layers": 3, "lstm__use_skip_connections": False},
    "no clips": {"lstm__cell_clip": None, "lstm__proj_clip": 0},
    "as many cells as outputs": {"lstm__dim": 6},
    "as many filters as outputs": {"lstm__projection_dim": 9},
    "tanh, no highway": {"char_cnn__activation": "tanh", "char_cnn__n_highway": 0},
    "two highways": {"char_cnn__n_highway": 2},
}


@pytest.fixture(params=VARIANTS)
def model(request):
    return small_model(**VARIANTS[request.param])


def _write(folder, model=None, softmax=None, card="A card.\n"):
    write_model(folder, model or small_model(), WORDS[:N_VOCAB], softmax or SoftmaxSettings("full"), card)
    return folder


def _without_safetensors(folder, copy):
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("weights.safetensors"))
    return copy


def test_the_folder_has_every_file(tmp_path):
    assert sorted(file.name for file in _write(tmp_path / "a" / "b").iterdir()) == FILES


def test_others_may_read_the_files(tmp_path):
    (tmp_path / "plain").write_text("")
    modes = {file.stat().st_mode for file in _write(tmp_path / "out").iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_our_format_reads_as_the_same_model(tmp_path, model):
    found = read_elmo(_write(tmp_path / "out", model))
    assert (found.config, found.kind) == (model.elmo.config, "pretrain-elmo")
    weights = model.elmo.state_dict()
    assert found.weights.keys() == weights.keys()
    assert all(torch.equal(found.weights[name], weights[name]) for name in weights)


def test_so_does_that_of_bilm_tf(tmp_path, model):
    folder = _without_safetensors(_write(tmp_path / "out", model), tmp_path / "copy")
    found, weights = read_elmo(folder), model.elmo.state_dict()
    assert found.config == model.elmo.config
    assert found.weights.keys() == weights.keys()
    for name in weights:
        if "bilm" in name and "bias" in name:  # 1 is taken from a gate's bias and added again
            torch.testing.assert_close(found.weights[name], weights[name], rtol=0, atol=1e-6)
        else:
            assert torch.equal(found.weights[name], weights[name]), name


def test_the_file_has_the_names_and_shapes_of_bilm_tf(tmp_path):
    with h5py.File(_write(tmp_path) / "weights.hdf5") as stream:
        shapes = {}
        stream.visititems(
            lambda name, item: shapes.update({name: item.shape} if isinstance(item, h5py.Dataset) else {})
        )
        assert all(stream[name].dtype == np.float32 for name in shapes)
    assert shapes.pop("char_embed") == (261, 4)
    assert shapes.pop("CNN/W_cnn_1") == (1, 2, 4, 5) and shapes.pop("CNN_high_0/W_carry") == (9, 9)
    assert shapes.pop("CNN_proj/W_proj") == (9, 6)
    assert shapes.pop("RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_0") == (12, 32)
    assert shapes.pop("RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B") == (32,)
    assert shapes.pop("RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0") == (8, 6)


def test_the_equations_on_the_file_give_the_vectors_of_the_network(tmp_path, model):
    reference = ReferenceElmo(_write(tmp_path, model))
    words = ["<S>", "The", "naïve", "🙂", "x" * 20, "</S>"]
    with torch.no_grad():
        vectors = model.elmo.eval().encode_words(words)
    np.testing.assert_allclose(vectors, np.array([reference.token(word) for word in words]), atol=1e-5)
    layers = _layers(model.elmo, vectors)
    np.testing.assert_allclose(layers, reference.lstm(vectors.double().numpy())[0], atol=1e-5)


def _layers(elmo: ElmoModule, vectors: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return elmo.bilm(vectors, [len(vectors)])[0].numpy()


def test_a_network_over_other_characters_has_no_file_for_allennlp(tmp_path):
    from tests.writers.many_langs import write_many_langs

    files = read_elmo(write_many_langs(tmp_path / "zh"))
    model = small_model()
    model.elmo = ElmoModule(files.config)
    model.elmo.load_state_dict(files.weights)
    found = read_elmo(_write(tmp_path / "out", model))
    assert not (tmp_path / "out" / "weights.hdf5").exists()
    assert all(torch.equal(found.weights[name], files.weights[name]) for name in files.weights)


# Vocabulary, softmax and card


def test_the_vocabulary_has_a_word_a_line(tmp_path):
    lines = (_write(tmp_path) / "vocab.txt").read_text(encoding="utf8").split("\n")
    assert lines == [*WORDS[:N_VOCAB], ""]


@pytest.mark.parametrize("kind", ["full", "sampled", "adaptive"])
def test_the_softmax_says_what_it_is(tmp_path, kind):
    settings = SoftmaxSettings(kind, cutoffs=[4, 7], n_samples=3)
    model = small_model(softmax__kind=kind, softmax__cutoffs=[4, 7], softmax__n_samples=3)
    with safe_open(_write(tmp_path, model, settings) / "softmax.safetensors", framework="pt") as stream:
        assert json.loads(stream.metadata()["softmax"]).items() <= asdict(settings).items()
        found = {name: stream.get_tensor(name) for name in stream.keys()}
    state = model.softmax.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_the_card_is_the_readme(tmp_path):
    assert (_write(tmp_path, card="# Ünïcode\n") / "README.md").read_text(encoding="utf8") == "# Ünïcode\n"


# Again, and errors


def test_a_second_model_takes_the_place_of_the_first(tmp_path):
    _write(tmp_path)
    (tmp_path / ".new").mkdir()
    (tmp_path / ".new" / "weights.hdf5").write_bytes(b"a process was killed over it")
    other = small_model(seed=1)
    _write(tmp_path, other, card="Another.\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES
    found = read_elmo(tmp_path).weights
    assert all(torch.equal(found[name], tensor) for name, tensor in other.elmo.state_dict().items())
    assert (tmp_path / "README.md").read_text() == "Another.\n"


def test_what_a_killed_process_left_is_not_read(tmp_path):
    _write(tmp_path)
    (tmp_path / ".new").mkdir()
    (tmp_path / ".new" / "weights.safetensors").write_bytes(b"half of it")
    assert read_elmo(tmp_path).config == small_model().elmo.config


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("no space"), SafetensorError("no space")])
@pytest.mark.parametrize("name", ["write_elmo", "write_bilm_tf"])
def test_what_fails_leaves_the_old_model(tmp_path, monkeypatch, error, name):
    _write(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(place, *rest):
        (place if place.suffix else place / "options.json").write_text("{")
        raise error

    monkeypatch.setattr(outputs, name, fail)
    with pytest.raises(OSError, match="CE041.*no space") as caught:
        _write(tmp_path, small_model(seed=1), card="Another.\n")
    assert str(tmp_path) in str(caught.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("n_bytes", [100, 1000, 6000])
def test_a_disk_that_fills_up_leaves_the_old_model(tmp_path, n_bytes):
    resource = pytest.importorskip("resource")
    _write(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limit[1]))  # of a file; Python ignores the signal of it
    try:
        with pytest.raises(OSError, match="CE041"):
            _write(tmp_path, small_model(seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="CE041"):
        _write(Path(tmp_path, "file", "model"))


def test_datasets_do_not_change_the_network():
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.elmo.state_dict().items()}
    for array in datasets(model.elmo.config, model.elmo.state_dict()).values():
        np.array(array)[...] = 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.elmo.state_dict().items())
