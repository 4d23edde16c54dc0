"""attach/attributes.py: what a reader of Token, Span and Doc sees."""

from __future__ import annotations

import numpy as np
import pytest
from spacy.tokens import Doc, Token

from spacy_ctx_embed.attach import attributes
from spacy_ctx_embed.errors import MissingEmbeddingsError


@pytest.fixture
def doc(make_nlp):
    return make_nlp("static", "bert")("The river bank , Zzyzx \n of money")


def test_embeddings_are_one_read_only_array_per_component(doc):
    assert list(doc._.embeddings) == ["static_embeddings", "bert_embeddings"]
    rows = doc._.embeddings["static_embeddings"]
    assert rows.shape == (len(doc), 8)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1


def test_a_tokens_vectors_are_the_rows_of_each_component(doc):
    for name, rows in doc._.embeddings.items():
        for token in doc:
            assert (token._.vectors[name] == rows[token.i]).all()


def test_vector_is_that_of_the_last_component_that_ran(doc):
    assert (doc[1]._.vector == doc[1]._.vectors["bert_embeddings"]).all()
    assert (doc[1:3]._.vector == doc[1:3]._.vectors["bert_embeddings"]).all()
    assert (doc._.vector == doc._.vectors["bert_embeddings"]).all()


def test_running_a_component_again_makes_it_the_last(make_nlp):
    nlp = make_nlp("static", "bert")
    doc = nlp("the bank")
    doc = nlp.get_pipe("static_embeddings")(doc)
    assert doc[1]._.vector.shape == (8,)
    assert list(doc._.vectors) == ["bert_embeddings", "static_embeddings"]


@pytest.mark.parametrize(
    ("pooling", "function"),
    [
        ("mean", lambda x: x.mean(0)),
        ("max", lambda x: x.max(0)),
        ("sum", lambda x: x.sum(0)),
        ("first", lambda x: x[0]),
    ],
)
def test_span_and_doc_vectors_pool_the_rows_that_have_a_vector(pooling, function, make_nlp):
    doc = make_nlp("static", doc_pooling=pooling)("Zzyzx the river Qqqq bank")
    rows = doc._.embeddings["static_embeddings"]
    np.testing.assert_allclose(doc._.vector, function(rows[[1, 2, 4]]), atol=1e-6)
    np.testing.assert_allclose(doc[2:5]._.vector, function(rows[[2, 4]]), atol=1e-6)


def test_statuses_say_why_a_token_has_its_row(make_nlp):
    doc = make_nlp("static")("The bank Zzyzx \n")
    assert [token._.vector_status for token in doc] == ["fallback", "ok", "oov", "space"]
    assert [token._.has_vector for token in doc] == [True, True, False, False]
    assert not doc[2]._.vector.any()


def test_an_unknown_word_has_a_row_and_no_vector(make_nlp):
    doc = make_nlp("bert")("the \u9f49 bank \u9750 river")
    rows = doc._.embeddings["bert_embeddings"]
    assert [token._.vector_status for token in doc] == ["ok", "unknown", "ok", "unknown", "ok"]
    for token in (doc[1], doc[3]):
        assert not token._.has_vector and not token.has_vector
        assert np.array_equal(token._.vector, rows[token.i]) and token._.vector.any()
        assert np.array_equal(token.vector, rows[token.i])
    assert doc[1]._.similarity(doc[3]) == doc[1].similarity(doc[3]) == doc[1]._.similarity(doc[1]) == 0.0
    np.testing.assert_allclose(doc._.vector, rows[[0, 2, 4]].mean(0), atol=1e-6)
    assert not doc[1:2]._.has_vector and not doc[1:2]._.vector.any()
    assert doc[0:2]._.has_vector and np.array_equal(doc[0:2]._.vector, rows[0])


def test_norm_is_the_length_of_the_vector(doc):
    for owner in (doc[1], doc[0:3], doc):
        assert owner._.vector_norm == pytest.approx(float(np.linalg.norm(owner._.vector)))


def test_similarity_is_the_cosine(doc):
    a, b = doc[1]._.vector, doc[2]._.vector
    expected = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert doc[1]._.similarity(doc[2]) == pytest.approx(expected, abs=1e-6)
    assert doc[1]._.similarity(doc[1]) == pytest.approx(1)


def test_similarity_works_between_tokens_spans_and_docs_of_a_named_component(doc):
    assert doc._.similarity(doc[0 : len(doc)], name="static_embeddings") == pytest.approx(1)
    assert doc[1:2]._.similarity(doc[1], name="static_embeddings") == pytest.approx(1)


def test_similarity_without_a_vector_is_zero(doc):
    name = "static_embeddings"
    zzyzx = next(token for token in doc if token.text == "Zzyzx")
    assert zzyzx._.similarity(doc[1], name=name) == 0.0
    assert doc[1]._.similarity(zzyzx, name=name) == 0.0


def test_vectors_of_different_widths_have_no_similarity(make_nlp):
    left, right = make_nlp("static")("the bank"), make_nlp("static")("the bank")
    right.user_data["spacy_ctx_embed"]["static_embeddings"]["rows"] = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="widths 8 and 3"):
        left._.similarity(right)


def test_an_empty_doc_has_empty_rows_and_zero_vectors(make_nlp):
    doc = make_nlp("static", "bert")("")
    assert doc._.embeddings["static_embeddings"].shape == (0, 8)
    assert doc._.embeddings["bert_embeddings"].shape == (0, 16)
    assert doc._.vectors["static_embeddings"].tolist() == [0] * 8
    assert doc._.vector.tolist() == [0] * 16
    assert doc._.has_vector is False
    assert doc._.vector_norm == 0.0


def test_a_component_that_did_not_run_is_named_with_the_way_to_add_it(doc):
    with pytest.raises(ValueError, match=r"'elmo_embeddings'.*nlp\.add_pipe\('elmo_embeddings'"):
        doc[0]._.vectors["elmo_embeddings"]
    with pytest.raises(MissingEmbeddingsError, match="'elmo_embeddings'"):
        doc[0]._.similarity(doc[1], name="elmo_embeddings")


def test_membership_and_get_behave_as_on_a_mapping(doc):
    assert "elmo_embeddings" not in doc._.embeddings
    assert doc._.embeddings.get("elmo_embeddings") is None
    assert len(doc._.vectors) == 2


@pytest.mark.parametrize("key", ["vector", "has_vector", "vector_norm", "vector_status"])
def test_a_doc_without_any_component_says_so(key, make_nlp):
    bare = Doc(make_nlp("static").vocab, words=["the"])
    with pytest.raises(ValueError, match=rf"'{key}'.*nlp\.add_pipe"):
        getattr(bare[0]._, key)


def test_a_name_that_another_package_took_is_an_error():
    before = Token.get_extension("vector_status")
    Token.remove_extension("vector_status")
    Token.set_extension("vector_status", default=None)
    try:
        with pytest.raises(ValueError, match=r"Token\._\.vector_status.*remove_extension"):
            attributes.install()
    finally:
        Token.remove_extension("vector_status")
        Token.set_extension("vector_status", getter=before[2])


def test_installing_twice_changes_nothing():
    attributes.install()
    before = Token.get_extension("vector")
    attributes.install()
    assert Token.get_extension("vector") == before


def test_half_precision_halves_what_is_stored(make_nlp):
    doc = make_nlp("static", dtype="float16")("the bank")
    assert doc._.embeddings["static_embeddings"].dtype == np.float16
    assert doc[0]._.similarity(doc[0]) == pytest.approx(1, abs=1e-3)
