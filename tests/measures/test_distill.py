"""measures/distill.py: means over contexts are those of rows read one Doc at a time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import spacy

from spacy_ctx_embed.measures.distill import contextual_source, distill, layer_number
from spacy_ctx_embed.sources.layers import find_sources
from tests.writers.elmo import write_random_elmo

TEXTS = [
    "The bank of the river",
    "we sat \n on the Bank of the 😀",
    "dog",
    "the dog sat on the dog",
    "a bank",
    "river river river",
]


@pytest.fixture(scope="module")
def nlp(tiny_bert, tiny_static, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tiny_static)}})
    nlp.add_pipe("elmo_embeddings", config={"model": {"name": str(write_random_elmo(folder / "elmo"))}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert), "overlap": 8}})
    return nlp


def _docs(nlp):
    return [nlp.make_doc(text) for text in TEXTS]


def _plain(source, docs, layer, lower=False):
    # Of each word all rows, one Doc at a time.
    rows = defaultdict(list)
    for doc in docs:
        (found,) = source.layers_of([doc])
        for token in doc:
            if found.has_vector[token.i] and not token.is_space:
                rows[token.text.lower() if lower else token.text].append(found.layers[layer, token.i])
    return rows


@pytest.mark.parametrize("name", ["elmo_embeddings", "bert_embeddings"])
@pytest.mark.parametrize("lower", [False, True])
def test_rows_are_the_plain_means_whatever_the_batches(nlp, name, lower):
    source = contextual_source(nlp, owner="test", name=name)
    for batch_tokens in (1, 7, 4096):
        found = distill(source, _docs(nlp), owner="test", layers=[0, -1], lower=lower, batch_tokens=batch_tokens)
        for layer, means in zip((0, -1), found.layers):
            plain = _plain(source, _docs(nlp), layer, lower)
            assert found.words == sorted(plain, key=lambda word: -len(plain[word]))
            assert found.counts == [len(plain[word]) for word in found.words]
            expected = [np.mean(plain[word], axis=0) for word in found.words]
            np.testing.assert_allclose(means, expected, atol=1e-5)
        assert found.n_contexts == sum(found.counts)
        assert found.n_docs == len(TEXTS)
    assert ("Bank" in found.words) is not lower


def test_the_first_contexts_count(nlp):
    source = contextual_source(nlp, owner="test")
    found = distill(source, _docs(nlp), owner="test", contexts=2, batch_tokens=7)
    plain = _plain(source, _docs(nlp), -1)
    np.testing.assert_allclose(found.layers[0], [np.mean(plain[w][:2], axis=0) for w in found.words], atol=1e-5)
    assert found.counts[0] == len(plain[found.words[0]]) > 2
    assert found.n_contexts == sum(min(2, len(rows)) for rows in plain.values())


def test_rare_words_and_those_not_wanted_are_left_out(nlp):
    source = contextual_source(nlp, owner="test")
    plain = _plain(source, _docs(nlp), -1)
    found = distill(source, _docs(nlp), owner="test", min_count=3)
    assert set(found.words) == {word for word, rows in plain.items() if len(rows) >= 3}
    found = distill(source, _docs(nlp), owner="test", words=["river", "dog", "unseen"])
    assert found.words == ["river", "dog"]
    expected = [np.mean(plain[word], axis=0) for word in found.words]
    np.testing.assert_allclose(found.layers[0], expected, atol=1e-5)
    assert distill(source, _docs(nlp), owner="test", words=["RIVER"], lower=True).words == ["river"]


def test_docs_without_a_wanted_word_are_not_run(nlp, monkeypatch):
    source = contextual_source(nlp, owner="test")
    run, layers_of = [], type(source).layers_of
    monkeypatch.setattr(type(source), "layers_of", lambda self, docs: run.extend(docs) or layers_of(self, docs))
    found = distill(source, _docs(nlp), owner="test", words=["dog"], batch_tokens=1)
    assert [doc.text for doc in run] == [TEXTS[2], TEXTS[3]]
    assert found.n_docs == len(TEXTS)


def test_many_words_make_room(nlp):
    source = contextual_source(nlp, owner="test", name="elmo_embeddings")
    words = [f"w{i}" for i in range(2500)]
    docs = [nlp.make_doc(" ".join(words[i : i + 50])) for i in range(0, len(words), 50)]
    found = distill(source, docs, owner="test", layers=[0], batch_tokens=600)
    assert found.words == words
    np.testing.assert_allclose(found.layers[0, -50:], source.layers_of([docs[-1]])[0].layers[0], atol=1e-5)


def test_the_last_contextual_component_is_taken(nlp):
    assert contextual_source(nlp, owner="test").name == "bert_embeddings"
    assert contextual_source(nlp, owner="test", name="elmo_embeddings").name == "elmo_embeddings"


def test_what_can_not_be_distilled_is_one_error(nlp):
    source = contextual_source(nlp, owner="test")
    with pytest.raises(ValueError, match=r"\[CE086\] test: --component = 'static_embeddings' is static.*Fix: "):
        contextual_source(nlp, owner="test", name="static_embeddings")
    with pytest.raises(ValueError, match=r"\[CE001\] test.*'sources' is 'nothing'"):
        contextual_source(nlp, owner="test", name="nothing")
    for layer in (3, -4):
        with pytest.raises(ValueError, match=rf"\[CE086\] test: --layer = {layer} .*Accepted: -3 to 2"):
            distill(source, _docs(nlp), owner="test", layers=[layer])
    for options in ({"min_count": 99}, {"words": ["unseen"]}):
        with pytest.raises(ValueError, match=r"\[CE086\] test: --min-count"):
            distill(source, _docs(nlp), owner="test", **options)
    assert [layer_number(source, layer, owner="test") for layer in (0, 2, -1, -3)] == [0, 2, 2, 0]
    assert find_sources(nlp, owner="test")[0].n_layers == 1
