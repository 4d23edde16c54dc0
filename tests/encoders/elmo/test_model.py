from __future__ import annotations

import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, List, Sequence

import h5py
import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from thinc.api import Model, Ops, chain, get_current_ops, noop

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1, open_elmo, reset_states
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.elmo import write_random_elmo

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "elmo-fixture"
VOCAB = spacy.blank("xx").vocab
TEXTS = [
    ["The", "cat", "sat", "."],
    ["A", "naïve", "🙂", "x" * 1000],
    ["One"],
    ["<S>", "the", "</S>", "end", "of", "it", "all", "."],
    ["the", "cat", "the", "cat", "the"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_elmo(tmp_path_factory.mktemp("elmo"))


@pytest.fixture(scope="module")
def reference(folder: Path) -> ReferenceElmo:
    return ReferenceElmo(folder)


def make(folder: Path, **kwargs: Any) -> Model[List[Doc], Any]:
    return make_elmo_v1(name=str(folder), **kwargs)


def make_docs(texts: Sequence[Sequence[str]]) -> List[Doc]:
    return [Doc(VOCAB, words=list(words)) for words in texts]


def concat(reference: ReferenceElmo, words: Sequence[str]) -> np.ndarray:
    layers = reference.sentence(words)
    return np.concatenate(list(layers), axis=1)


# The ordinary case


def test_rows_equal_the_equations(folder: Path, reference: ReferenceElmo) -> None:
    rows = make(folder, layer_mix="concat").predict(make_docs(TEXTS))
    for words, found in zip(TEXTS, rows):
        np.testing.assert_allclose(found, concat(reference, words), atol=1e-5)


def test_scalar_mix_starts_as_the_mean(folder: Path, reference: ReferenceElmo) -> None:
    rows = make(folder).predict(make_docs(TEXTS[:1]))[0]
    np.testing.assert_allclose(rows, reference.sentence(TEXTS[0]).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("layers", "mix"), [([0], "last"), ([1], "sum"), ([-1, 0], "concat")])
def test_chosen_layers(folder: Path, reference: ReferenceElmo, layers: List[int], mix: str) -> None:
    rows = make(folder, layers=layers, layer_mix=mix).predict(make_docs(TEXTS[:1]))[0]
    np.testing.assert_allclose(rows, np.concatenate(reference.sentence(TEXTS[0])[layers], axis=1), atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_lower_precision_stays_near_float32(folder: Path, precision: str) -> None:
    exact = make(folder, layer_mix="concat").predict(make_docs(TEXTS))
    rough = make(folder, layer_mix="concat", precision=precision).predict(make_docs(TEXTS))
    for a, b in zip(exact, rough):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(a).max())


def test_int8_rows_do_not_depend_on_the_batch(folder: Path) -> None:
    together = make(folder, layer_mix="concat", precision="int8").predict(make_docs(TEXTS))
    model = make(folder, layer_mix="concat", precision="int8")
    for doc, rows in zip(make_docs(TEXTS), together):
        np.testing.assert_allclose(model.predict([doc])[0], rows, atol=1e-5)


# Segments


def test_sentences_do_not_see_one_another(folder: Path, reference: ReferenceElmo) -> None:
    words = TEXTS[0] + TEXTS[1]
    doc = Doc(VOCAB, words=words, sent_starts=[True, False, False, False] * 2)
    rows = make(folder, layer_mix="concat").predict([doc])[0]
    np.testing.assert_allclose(rows[:4], concat(reference, TEXTS[0]), atol=1e-5)
    np.testing.assert_allclose(rows[4:], concat(reference, TEXTS[1]), atol=1e-5)


def test_long_sentence_is_cut_into_windows(folder: Path, reference: ReferenceElmo) -> None:
    rows = make(folder, layer_mix="concat", window=2).predict(make_docs([["a", "b", "c", "d"]]))[0]
    np.testing.assert_allclose(rows[2:], concat(reference, ["c", "d"]), atol=1e-5)


def test_whitespace_is_left_out(folder: Path, reference: ReferenceElmo) -> None:
    model = make(folder, layer_mix="concat")
    doc = Doc(VOCAB, words=[" ", "The", "\n\n", "cat", "\t"])
    found = encoder_of(model).encode(model, [doc])[0]
    assert found.status.tolist() == [Status.SPACE, Status.OK, Status.SPACE, Status.OK, Status.SPACE]
    assert not found.rows[[0, 2, 4]].any()
    np.testing.assert_allclose(found.rows[[1, 3]], concat(reference, ["The", "cat"]), atol=1e-5)


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("texts", [[], [[]], [[" "], ["\n"]], [[], ["a"], [" "]]])
def test_docs_without_words(folder: Path, texts: List[List[str]], stateful: bool) -> None:
    rows = make(folder, stateful=stateful).predict(make_docs(texts))
    assert [r.shape for r in rows] == [(len(words), 12) for words in texts]


@pytest.mark.parametrize("word", ["é" * 600, "\ufeff", "e\u0301\u0301", "\x00", "👩‍👩‍👧", "<S>", "</S>", "x" * 1000])
def test_awkward_words(folder: Path, reference: ReferenceElmo, word: str) -> None:
    rows = make(folder, layer_mix="concat").predict(make_docs([["a", word, "b"]]))[0]
    np.testing.assert_allclose(rows, concat(reference, ["a", word, "b"]), atol=1e-5)


def test_doc_of_100_000_tokens_without_sentences(folder: Path) -> None:
    words = [f"w{i % 50}" for i in range(100_000)]
    rows = make(folder, max_batch_tokens=65536, window=100).predict(make_docs([words]))[0]
    assert rows.shape == (100_000, 12) and np.abs(rows).sum(axis=1).all()
    np.testing.assert_allclose(rows[:100], rows[-100:], atol=1e-5)


# Independence of batches and of the cache


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from(["a", "of", "the", "🙂", " ", "unbelievable"]), max_size=9), max_size=6),
    budget=st.integers(1, 200),
    cache=st.integers(0, 1),
    data=st.data(),
)
def test_order_and_batches_do_not_matter(
    folder: Path, texts: List[List[str]], budget: int, cache: int, data: st.DataObject
) -> None:
    whole = make(folder, layer_mix="concat").predict(make_docs(texts))
    order = data.draw(st.permutations(range(len(texts))))
    other = make(folder, layer_mix="concat", max_batch_tokens=budget, char_cache_mb=cache)
    cut = data.draw(st.integers(0, len(texts)))
    docs = make_docs([texts[i] for i in order])
    rows = other.predict(docs[:cut]) + other.predict(docs[cut:])
    for i, found in zip(order, rows):
        np.testing.assert_allclose(found, whole[i], atol=1e-5)


def test_cache_that_forgets_stays_right(folder: Path, reference: ReferenceElmo) -> None:
    model = make(folder, layer_mix="concat", char_cache_mb=1)
    model.initialize()
    model.shims[0].network().words.n_bytes = 3 * 300  # three words
    for words in [*TEXTS, *TEXTS[::-1]]:
        np.testing.assert_allclose(model.predict(make_docs([words]))[0], concat(reference, words), atol=1e-5)


def test_batches_beside_one_another_get_the_same_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    model = make(folder, layer_mix="concat", max_batch_tokens=20, char_cache_mb=1)
    model.initialize()
    network, names = model.shims[0].network(), set()
    assert not network.pads and network.may_run_beside([[], []]) and not network.may_run_beside([[]])
    run = network.run

    def watched(segments: Any, layers: Any) -> Any:
        names.add(threading.current_thread().name)
        return run(segments, layers)

    monkeypatch.setattr(network, "run", watched)
    alone = make(folder, layer_mix="concat").predict(make_docs(TEXTS))
    for i, found in enumerate(model.predict(make_docs(TEXTS * 20))):
        np.testing.assert_allclose(found, alone[i % 5], atol=1e-5)
    assert threading.current_thread().name not in names
    carried = make(folder, stateful=True)
    carried.initialize()
    assert not carried.shims[0].network().may_run_beside([[], []])


def test_threads_get_the_same_rows(folder: Path) -> None:
    model = make(folder)
    alone = make(folder).predict(make_docs(TEXTS))

    def run(i: int) -> np.ndarray:
        return np.asarray(model.predict(make_docs([TEXTS[i % 5]]))[0])

    with ThreadPoolExecutor(2) as pool:
        for i, found in enumerate(pool.map(run, range(10))):
            np.testing.assert_allclose(found, alone[i % 5], atol=1e-5)


# State


def stateful_reference(reference: ReferenceElmo, batches: List[List[List[str]]]) -> List[List[np.ndarray]]:
    states: List[Any] = []
    rows = []
    for batch in batches:
        found = []
        for i, words in enumerate(batch):
            vectors = np.array([reference.token(word) for word in ["<S>", *words, "</S>"]])
            if i == len(states):
                states.append(None)
            layers, states[i] = reference.lstm(vectors, states[i])
            found.append(np.concatenate(list(layers[:, 1:-1]), axis=1))
        rows.append(found)
    return rows


BATCHES = [[TEXTS[0], TEXTS[1]], [TEXTS[3]], [TEXTS[2], TEXTS[3], TEXTS[4]], [[], TEXTS[0]], [TEXTS[0], TEXTS[2]]]


def test_state_is_carried_by_place_in_the_batch(folder: Path, reference: ReferenceElmo) -> None:
    model = make(folder, layer_mix="concat", stateful=True, max_batch_tokens=1)
    for batch, expected in zip(BATCHES, stateful_reference(reference, BATCHES)):
        for found, rows in zip(model.predict(make_docs(batch)), expected):
            np.testing.assert_allclose(found, rows, atol=1e-5)


def test_training_carries_state_too(folder: Path, reference: ReferenceElmo) -> None:
    model = make(folder, layer_mix="concat", stateful=True, trainable=True)
    for number, (batch, expected) in enumerate(zip(BATCHES, stateful_reference(reference, BATCHES))):
        docs = make_docs(batch)
        if number % 2:
            rows, backprop = model.begin_update(docs)
            backprop([np.ones_like(part) for part in rows])
        else:
            rows = model.predict(docs)
        for found, wanted in zip(rows, expected):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_reset_starts_from_zeros(folder: Path) -> None:
    model = make(folder, stateful=True)
    docs = make_docs(TEXTS[:2])
    first, second = model.predict(docs), model.predict(docs)
    assert np.abs(first[0] - second[0]).max() > 1e-4
    reset_states(chain(model, noop()))
    np.testing.assert_allclose(model.predict(docs)[0], first[0], atol=1e-6)


def test_reset_before_first_use_does_nothing(folder: Path) -> None:
    reset_states(make(folder, stateful=True))


@pytest.mark.parametrize("way", ["copy", "bytes", "pickle"])
def test_state_is_not_copied_or_saved(folder: Path, way: str) -> None:
    model = make(folder, stateful=True)
    first = model.predict(make_docs(TEXTS))
    model.predict(make_docs(TEXTS))
    if way == "copy":
        other = model.copy()
    elif way == "bytes":
        other = make(folder, stateful=True).from_bytes(model.to_bytes())
    else:
        other = model.copy()
        other.shims[0] = pickle.loads(pickle.dumps(model.shims[0]))
    np.testing.assert_allclose(other.predict(make_docs(TEXTS))[0], first[0], atol=1e-6)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no fixture of the original implementation at {SHARED}")
@pytest.mark.parametrize(("stateful", "n_batches"), [(False, 1), (True, 10)])
def test_equals_the_original_tensorflow_implementation(stateful: bool, n_batches: int) -> None:
    sentences = json.loads((SHARED / "sentences.json").read_text(encoding="utf8"))
    model = make(SHARED, layers=[-1], layer_mix="last", stateful=stateful)
    for i in range(n_batches):
        rows = model.predict(make_docs([part[i].split() for part in sentences]))
        for k, found in enumerate(rows):
            with h5py.File(SHARED / f"lm_embeddings_{k}.hdf5", "r") as stream:
                forward, backward = stream[str(i)][()]
            np.testing.assert_allclose(found, np.concatenate([forward, backward], axis=1), atol=1e-5)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no fixture of the original implementation at {SHARED}")
def test_token_layer_equals_the_original_token_embeddings() -> None:
    words = (SHARED / "vocab_test.txt").read_text(encoding="utf8").split("\n")
    with h5py.File(SHARED / "elmo_token_embeddings.hdf5", "r") as stream:
        expected = stream["embedding"][()]
    rows = make(SHARED, layers=[0], layer_mix="last").predict(make_docs([words[: len(expected)]]))[0]
    np.testing.assert_allclose(rows[:, :16], expected, atol=1e-5)
    np.testing.assert_array_equal(rows[:, :16], rows[:, 16:])


# Training


def test_frozen_weights_get_no_gradient(folder: Path) -> None:
    model = make(folder)
    rows, backprop = model.begin_update(make_docs(TEXTS))
    backprop([np.ones_like(part) for part in rows])
    assert all(p.grad is None and not p.requires_grad for p in model.shims[0].network().module.parameters())
    assert np.abs(model.get_grad("mix_weights")).max() > 0


def test_gradient_equals_finite_differences(folder: Path) -> None:
    model = make(folder, layer_mix="mean", trainable=True)
    docs = make_docs(TEXTS)
    rows, backprop = model.begin_update(docs)
    random = np.random.default_rng(0)
    target = [random.standard_normal(part.shape).astype("f") for part in rows]
    backprop(target)
    module = model.shims[0].network().module
    gradients = {name: p.grad.clone() for name, p in module.named_parameters()}
    module.double()
    parameters = dict(module.named_parameters())
    for name in ("bilm.layers.0.weight", "bilm.layers.1.projection", "bilm.layers.1.bias", "char_cnn.convs.1.weight"):
        flat = parameters[name].data.view(-1)
        place, losses = int(gradients[name].abs().argmax()), []
        for step in (1e-3, -2e-3):
            flat[place] += step
            losses.append(sum(float((np.float64(r) * t).sum()) for r, t in zip(model.predict(docs), target)))
        flat[place] += 1e-3
        numeric = (losses[0] - losses[1]) / 2e-3
        assert float(gradients[name].view(-1)[place]) == pytest.approx(numeric, rel=2e-2)


def test_changed_weights_change_the_rows(folder: Path) -> None:
    model = make(folder, trainable=True)
    before = model.predict(make_docs(TEXTS))[0]
    with torch.no_grad():
        model.shims[0].network().module.char_cnn.projection.bias += 1
    assert np.abs(model.predict(make_docs(TEXTS))[0] - before).max() > 1e-2


# Loading and saving


def test_bytes_give_back_the_rows_and_the_checksum(folder: Path) -> None:
    model = make(folder)
    rows = model.predict(make_docs(TEXTS))
    other = make_elmo_v1(name="nowhere").from_bytes(model.to_bytes())
    np.testing.assert_array_equal(other.predict(make_docs(TEXTS))[0], rows[0])
    assert other.shims[0].network().checksum == model.shims[0].network().checksum


def test_saved_folder_can_be_named(folder: Path, tmp_path: Path) -> None:
    model = make(folder)
    model.shims[0].save(tmp_path)
    np.testing.assert_array_equal(make(tmp_path).predict(make_docs(TEXTS))[0], model.predict(make_docs(TEXTS))[0])


def test_opening_gives_the_sizes(folder: Path) -> None:
    ops: Ops = get_current_ops()
    model = make(folder)
    network = open_elmo(model.shims[0].settings, folder, ops)
    assert (network.kind, network.width, network.n_layers, network.in_order) == ("elmo", 12, 3, False)
    assert not network.module.training


def test_building_opens_no_file() -> None:
    model = make_elmo_v1(name="nowhere")
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        model.initialize()


def test_damaged_file_is_named(tmp_path: Path) -> None:
    write_random_elmo(tmp_path)
    (tmp_path / "weights.hdf5").write_bytes(b"no")
    with pytest.raises(ModelFormatError, match=r"weights\.hdf5"):
        make(tmp_path).initialize()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", 0),
        ("char_cache_mb", -1),
        ("stateful", "yes"),
        ("initial_state", "cold"),
        ("precision", "int4"),
        ("layer_norm", "yes"),
        ("dropout", 1.0),
        ("layers", []),
        ("layer_mix", "median"),
        ("max_batch_tokens", 0),
    ],
)
def test_wrong_setting_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"'{key}'"):
        make_elmo_v1(name="x", **{key: value})


def test_layer_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="'layers'"):
        make(folder, layers=[3]).initialize()
