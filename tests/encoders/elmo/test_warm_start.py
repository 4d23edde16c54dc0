from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.encoders.elmo.warm_start import MIN_WORDS, PARAMS, SAMPLE
from tests.networks.elmo.elmo_reference import ReferenceElmo
from tests.writers.elmo import write_random_elmo

VOCAB = spacy.blank("xx").vocab
TEXTS = [["The", "cat", "sat", "."], ["A", "dog"], ["One"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_elmo(tmp_path_factory.mktemp("elmo"))


def make(folder: Path, **kwargs: Any) -> Model[List[Doc], Any]:
    return make_elmo_v1(name=str(folder), layer_mix="concat", initial_state="warm", **kwargs)


def make_docs(texts: List[List[str]] = TEXTS) -> List[Doc]:
    return [Doc(VOCAB, words=words) for words in texts]


def expected_state(folder: Path, texts: List[List[str]]) -> Any:
    """The same, sentence by sentence in plain loops: (direction, layer) -> mean of final h, c."""
    reference = ReferenceElmo(folder)
    vectors = [np.array([reference.token(word) for word in ["<S>", *words, "</S>"]]) for words in texts]
    first = [reference.lstm(x)[1] for x in vectors]
    second = [reference.lstm(x, first[i - 1])[1] for i, x in enumerate(vectors)]
    return {key: tuple(np.mean([state[key][k] for state in second], axis=0) for k in (0, 1)) for key in second[0]}


def test_starts_from_the_mean_state_after_the_sample(folder: Path) -> None:
    model = make(folder)
    rows = model.predict(make_docs())
    state = expected_state(folder, [line.split() for line in SAMPLE.strip().splitlines()])
    for (direction, layer), parts in state.items():
        for name, part in zip(PARAMS, parts):
            np.testing.assert_allclose(model.get_param(name)[layer, direction, 0], part, atol=1e-5)
    reference = ReferenceElmo(folder)
    for words, found in zip(TEXTS, rows):
        vectors = np.array([reference.token(word) for word in ["<S>", *words, "</S>"]])
        layers = reference.lstm(vectors, state)[0][:, 1:-1]
        np.testing.assert_allclose(found, np.concatenate(list(layers), axis=1), atol=1e-5)


def test_differs_from_zeros_but_not_between_calls_or_batches(folder: Path) -> None:
    model = make(folder)
    rows = model.predict(make_docs())
    cold = make_elmo_v1(name=str(folder), layer_mix="concat").predict(make_docs())
    assert np.abs(rows[0] - cold[0]).max() > 1e-3
    model.predict(make_docs([["something", "else"]]))
    small = make(folder, max_batch_tokens=1)
    for again in (model.predict(make_docs()), small.predict(make_docs())):
        for a, b in zip(again, rows):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_first_layer_is_that_of_a_cold_start(folder: Path) -> None:
    warm = make(folder, layers=[0]).predict(make_docs())
    cold = make_elmo_v1(name=str(folder), layers=[0], layer_mix="concat").predict(make_docs())
    np.testing.assert_allclose(warm[0], cold[0], atol=1e-6)


def component(folder: Path, **settings: Any) -> spacy.Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(folder), "initial_state": "warm"}
    nlp.add_pipe("elmo_embeddings", config={"model": model, **settings})
    return nlp


def examples(nlp: spacy.Language, n_words: int) -> List[Example]:
    docs = [nlp.make_doc(" ".join(f"word{i}" for i in range(10))) for _ in range(n_words // 10)]
    return [Example.from_dict(doc, {}) for doc in docs]


@pytest.mark.parametrize("serialize", ["weights", "reference"])
def test_state_of_the_training_data_is_saved(folder: Path, tmp_path: Path, serialize: str) -> None:
    nlp = component(folder, serialize=serialize)
    packed = nlp("The cat sat.")._.embeddings["elmo_embeddings"]
    nlp.initialize(lambda: examples(nlp, MIN_WORDS))
    trained = nlp("The cat sat.")._.embeddings["elmo_embeddings"]
    assert np.abs(packed - trained).max() > 1e-4
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    np.testing.assert_allclose(again("The cat sat.")._.embeddings["elmo_embeddings"], trained, atol=1e-6)


def test_few_sample_words_do_not_count(folder: Path) -> None:
    nlp = component(folder)
    packed = nlp("The cat sat.")._.embeddings["elmo_embeddings"]
    nlp.initialize(lambda: examples(nlp, MIN_WORDS - 10))
    np.testing.assert_allclose(nlp("The cat sat.")._.embeddings["elmo_embeddings"], packed, atol=1e-6)


def test_stateful_starts_warm_and_goes_on(folder: Path) -> None:
    model = make(folder, stateful=True)
    first = model.predict(make_docs())
    np.testing.assert_allclose(first[0], make(folder).predict(make_docs())[0], atol=1e-5)
    assert np.abs(model.predict(make_docs())[0] - first[0]).max() > 1e-4
