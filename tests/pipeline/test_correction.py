"""pipeline/correction.py: what is read on a Doc is corrected, what learns is not. Here too: pipeline/files.py."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam

from spacy_ctx_embed import restore_hooks
from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.rows.correction import KINDS
from spacy_ctx_embed.tok2vec.listener import find_link
from tests.conftest import WORDS
from tests.rows.test_correction import reference
from tests.writers.sentence import dense, write_sentence_model

NAME = "bert_embeddings"
TEXT = "we sat on the \n river bank 😀"
pytestmark = pytest.mark.filterwarnings("ignore:.CW005")  # the tiny models know no emoji


def texts(n=30):
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS[:24], 12)) for _ in range(n)]


def examples(nlp, n=30):
    return [Example.from_dict(nlp.make_doc(text), {}) for text in texts(n)]


def fit(nlp, n=30):
    nlp.initialize(lambda: examples(nlp, n))
    return nlp


def rows(doc, name=NAME):
    return doc._.embeddings[name]


def stacked_rows(nlp, name=NAME):
    docs = [nlp(text) for text in texts()]
    return np.concatenate([doc._.embeddings[name][[token._.has_vector for token in doc]] for doc in docs])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["bert", "static"])
def test_rows_on_the_doc_are_those_of_numpy(make_nlp, kind, source):
    name = f"{source}_embeddings"
    plain, corrected = make_nlp(source), fit(make_nlp(source, correction=kind))
    before, after = plain(TEXT), corrected(TEXT)
    has = np.array([token._.has_vector for token in after])
    expected = reference(kind, stacked_rows(plain, name), rows(before, name)[has])
    np.testing.assert_allclose(rows(after, name)[has], expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert [token._.vector_status for token in after] == [token._.vector_status for token in before]
    for token in after:
        assert np.array_equal(token._.vector, rows(after, name)[token.i]) and np.array_equal(
            token.vector, token._.vector
        )
        assert token._.has_vector or token._.vector_status == "unknown" or not token._.vector.any()
    for part in (after, after[2:6]):
        own = [token._.vector for token in part if token._.has_vector]
        np.testing.assert_allclose(part._.vector, np.mean(own, axis=0), atol=1e-5 * np.abs(expected).max())
    assert corrected("")._.vector.shape == before._.vector.shape and not corrected(" \n ")._.vector.any()


def test_it_is_off_by_default_and_then_stores_rows_once(make_nlp):
    nlp = make_nlp("bert")
    assert nlp.get_pipe_config(NAME)["correction"] is None
    assert "uncorrected" not in nlp(TEXT).user_data[storage.KEY][NAME]


def test_what_was_not_fitted_is_an_error_that_says_how(make_nlp, tmp_path):
    nlp = make_nlp("bert", correction="abtt")
    message = r"\[CE026\] bert_embeddings: correction = 'abtt' has not been fitted.*Fix: .*fit-correction"
    for prepare in (lambda: None, nlp.initialize, lambda: fit(nlp, 1)):  # spaCy's own sample is one Doc
        prepare()
        with pytest.raises(ValueError, match=message):
            nlp("the river")
    nlp.to_disk(tmp_path / "nlp")
    with pytest.raises(ValueError, match=message):
        spacy.load(tmp_path / "nlp")("the river")
    config = {"components": {NAME: {"correction": None}}}
    assert np.array_equal(rows(spacy.load(tmp_path / "nlp", config=config)(TEXT)), rows(make_nlp("bert")(TEXT)))


def test_what_was_fitted_otherwise_is_refused(make_nlp, tmp_path):
    nlp = fit(make_nlp("bert", correction="center"))
    nlp.to_disk(tmp_path / "nlp")
    other = spacy.load(tmp_path / "nlp", config={"components": {NAME: {"correction": "whiten"}}})
    with pytest.raises(ValueError, match=r"CE026.*'whiten' has not been fitted, but 'center' has"):
        other("the river")
    static = fit(make_nlp("static", correction="center"))
    static.get_pipe("static_embeddings").fitted_correction = nlp.get_pipe(NAME).fitted_correction
    with pytest.raises(ValueError, match="CE026.*rows of 16 columns, and these have 8"):
        static("the river")
    with pytest.raises(ValueError, match=r"CE001.*'correction' is 'pca'. Accepted: None, 'center', .*Fix: "):
        make_nlp("bert", correction="pca")


def test_too_few_docs_leave_what_was_fitted(make_nlp):
    nlp = fit(make_nlp("bert", correction="center"))
    before = rows(nlp(TEXT))
    fit(nlp, 1)
    assert np.array_equal(rows(nlp(TEXT)), before)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_workers_give_the_same_rows(make_nlp, tmp_path, kind):
    nlp = fit(make_nlp("bert", correction=kind))
    doc = nlp(TEXT)
    nlp.to_disk(tmp_path / "nlp")
    copies = [
        spacy.load(tmp_path / "nlp"),
        make_nlp("bert", correction=kind).from_bytes(nlp.to_bytes()),
        pickle.loads(pickle.dumps(nlp)),
        copy.deepcopy(nlp),
    ]
    for again in copies:
        assert np.array_equal(rows(again(TEXT)), rows(doc))
        assert again.config.to_str() == nlp.config.to_str()
    found = list(nlp.pipe([TEXT, ""] * 3, n_process=2, batch_size=2))
    assert len(found) == 6
    # Workers have a thread each: other threads, other rounding, which whitening magnifies.
    np.testing.assert_allclose(rows(restore_hooks(found[0])), rows(doc), atol=1e-3)
    store = DocBin(store_user_data=True)
    store.add(found[0])
    (again,) = DocBin().from_bytes(store.to_bytes()).get_docs(nlp.vocab)
    assert np.array_equal(rows(again), rows(found[0]))
    assert np.array_equal(storage.read(again, NAME).uncorrected, storage.read(found[0], NAME).uncorrected)


def test_half_precision_is_of_the_corrected_rows(make_nlp):
    full, half = fit(make_nlp("bert", correction="whiten")), fit(make_nlp("bert", correction="whiten", dtype="float16"))
    assert rows(half(TEXT)).dtype == np.float16
    np.testing.assert_allclose(rows(half(TEXT)), rows(full(TEXT)), atol=1e-2, rtol=1e-2)


def test_retokenised_docs_carry_both(make_nlp):
    doc = fit(make_nlp("bert", correction="standardize"))("we sat on the river bank")
    before, plain = np.array(rows(doc)), np.array(storage.read(doc, NAME).uncorrected)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:6])
    np.testing.assert_allclose(rows(doc)[4], before[4:6].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(storage.read(doc, NAME).uncorrected[4], plain[4:6].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "model"])
def test_vectors_that_the_model_makes_of_texts_stay(tiny_bert, tmp_path, pooling):
    modules = [{"type": "Pooling", "pooling_mode": "mean"}, dense(16, 5), {"type": "Normalize"}]
    model = {"name": str(write_sentence_model(tmp_path / "model", tiny_bert, modules))}
    plain, corrected = spacy.blank("xx"), spacy.blank("xx")
    plain.add_pipe(NAME, config={"doc_pooling": pooling, "model": model})
    corrected.add_pipe(NAME, config={"doc_pooling": pooling, "model": model, "correction": "center"})
    fit(corrected)
    before, after = plain(TEXT), corrected(TEXT)
    assert np.array_equal(before._.vector, after._.vector)
    assert np.array_equal(before[2:5]._.vector, after[2:5]._.vector)
    assert not np.allclose(rows(before), rows(after))


@pytest.mark.parametrize("pooling", ["sum", "max", "first", "sif"])
def test_other_poolings_are_of_corrected_rows(make_nlp, pooling):
    nlp = fit(make_nlp("static", doc_pooling=pooling, correction="center"))
    doc = nlp("the river bank")
    own = rows(doc, "static_embeddings")
    by_hand = {"sum": own.sum(axis=0), "max": own.max(axis=0), "first": own[0]}
    if pooling == "sif":
        sif = nlp.get_pipe("static_embeddings").sif
        weighted = sif.frequencies.weights(doc.to_array(["LOWER"]).ravel()) @ own / 3
        by_hand["sif"] = weighted - sif.common * (sif.common @ weighted)
        vectors = np.stack([nlp(text)._.vector for text in texts()])
        assert np.abs(vectors @ sif.common).max() < 1e-4  # the direction is that of corrected vectors
    np.testing.assert_allclose(doc._.vector, by_hand[pooling], atol=1e-5)


def test_a_stack_is_made_of_uncorrected_rows_and_has_its_own(make_nlp):
    plain = make_nlp("static", "bert", "stacked")
    sources = fit(make_nlp("static", "bert", correction="whiten"))
    sources.add_pipe("stacked_embeddings")
    assert np.array_equal(rows(sources(TEXT), "stacked_embeddings"), rows(plain(TEXT), "stacked_embeddings"))
    own = fit(make_nlp("static", "bert", "stacked", correction="standardize"))
    seen = stacked_rows(plain, "stacked_embeddings")
    doc = own(TEXT)
    has = np.array([token._.has_vector for token in doc])
    expected = reference("standardize", seen, rows(plain(TEXT), "stacked_embeddings")[has])
    np.testing.assert_allclose(rows(doc, "stacked_embeddings")[has], expected, atol=1e-4)


def ner_pipeline(tiny_bert, correction, *, frozen):
    nlp = spacy.blank("xx")
    model = {"name": str(tiny_bert), "layer_mix": "last" if frozen else "scalar_mix"}
    nlp.add_pipe(NAME, config={"model": model, "correction": correction})
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": NAME}
    architecture = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 8,
        "maxout_pieces": 2,
        "use_upper": True,
        "nO": None,
        "tok2vec": listener,
    }
    nlp.add_pipe("ner", config={"model": architecture})
    return nlp


def ner_examples(nlp):
    found = []
    for text in texts(8):
        doc = nlp.make_doc(text)
        reference_doc = nlp.make_doc(text)
        reference_doc.set_ents([Span(reference_doc, i, i + 1, "R") for i, t in enumerate(doc) if t.text == "river"])
        found.append(Example(doc, reference_doc))
    return found


@pytest.mark.parametrize("frozen", [True, False])
def test_ner_learns_and_predicts_the_same_with_and_without_it(tiny_bert, frozen, tmp_path):
    found = []
    for correction in (None, "whiten"):
        spacy.util.fix_random_seed(0)
        nlp = ner_pipeline(tiny_bert, correction, frozen=frozen)
        batch = ner_examples(nlp)
        nlp.initialize(lambda batch=batch: batch)
        optimizer, losses = Adam(0.01), {}
        for _ in range(10):
            if frozen:  # a frozen upstream annotates, and the listener reads the Docs
                nlp.update(batch, sgd=optimizer, losses=losses, annotates=[NAME], exclude=[NAME])
            else:
                nlp.update(batch, sgd=optimizer, losses=losses)
        nlp.to_disk(tmp_path / str(correction))
        nlp = spacy.load(tmp_path / str(correction))
        docs = list(nlp.pipe(texts(12)))
        listener = next(node for node in nlp.get_pipe("ner").model.walk() if find_link(node) is not None)
        encoder = nlp.get_pipe(NAME).model
        learnt = {name: encoder.get_param(name) for name in encoder.param_names if encoder.has_param(name)}
        found.append((losses, [[(e.start, e.end) for e in d.ents] for d in docs], listener.predict(docs), learnt, docs))
    without, corrected = found
    assert without[0] == corrected[0] and without[1] == corrected[1] and without[0]["ner"] > 0
    for one, other in zip(without[2], corrected[2]):
        assert np.array_equal(one, other)
    assert without[3].keys() == corrected[3].keys() and bool(without[3]) != frozen
    for name, weights in without[3].items():
        assert np.array_equal(weights, corrected[3][name])
    assert any(not np.allclose(rows(one), rows(other)) for one, other in zip(without[4], corrected[4]))


def test_docs_of_other_processes_need_no_pipeline(make_nlp):
    doc = fit(make_nlp("bert", correction="abtt", set_hooks=False))(TEXT)
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert np.array_equal(rows(again), rows(doc)) and np.array_equal(again._.vector, doc._.vector)
