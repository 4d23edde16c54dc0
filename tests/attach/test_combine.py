"""attach/combine.py: rows of several components combined, through the factory."""

from __future__ import annotations

import numpy as np
import pytest
import spacy


@pytest.fixture
def make_stack(tiny_static):
    def make(**settings):
        nlp = spacy.blank("xx")
        for name, lowercase in (("one", "fallback"), ("two", "never")):
            model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
            model["lowercase"] = lowercase
            nlp.add_pipe("static_embeddings", name=name, config={"model": model})
        nlp.add_pipe("stacked_embeddings", config=settings)
        return nlp

    return make


TEXT = "The bank Zzyzx \n"  # "The" is known to "one" only


def _rows(doc, name="stacked_embeddings"):
    return doc._.embeddings[name]


def test_concat_puts_the_sources_side_by_side_in_order(make_stack):
    doc = make_stack()(TEXT)
    assert np.array_equal(_rows(doc), np.concatenate([_rows(doc, "one"), _rows(doc, "two")], axis=1))
    doc = make_stack(sources=["two", "one"])(TEXT)
    assert np.array_equal(_rows(doc), np.concatenate([_rows(doc, "two"), _rows(doc, "one")], axis=1))


def test_the_default_sources_are_all_components_before(make_nlp):
    doc = make_nlp("static", "bert", "stacked")(TEXT)
    assert _rows(doc).shape == (len(doc), 8 + 16)


def test_sum_adds_and_mean_leaves_out_who_has_no_vector(make_stack):
    doc = make_stack(combine="sum")(TEXT)
    np.testing.assert_allclose(_rows(doc), _rows(doc, "one") + _rows(doc, "two"), atol=1e-6)
    doc = make_stack(combine="mean")(TEXT)
    np.testing.assert_allclose(_rows(doc)[0], _rows(doc, "one")[0], atol=1e-6)
    np.testing.assert_allclose(_rows(doc)[1], (_rows(doc, "one") + _rows(doc, "two"))[1] / 2, atol=1e-6)


def test_weights_scale_the_sources(make_stack):
    doc = make_stack(combine="mean", weights=[3, 1])(TEXT)
    expected = (3 * _rows(doc, "one")[1] + _rows(doc, "two")[1]) / 4
    np.testing.assert_allclose(_rows(doc)[1], expected, atol=1e-6)
    doc = make_stack(weights=[3, 1])(TEXT)
    np.testing.assert_allclose(_rows(doc)[1, :8], 3 * _rows(doc, "one")[1], atol=1e-6)


def test_normalize_gives_each_source_length_one(make_stack):
    doc = make_stack(normalize=True)(TEXT)
    np.testing.assert_allclose(np.linalg.norm(_rows(doc)[1, :8]), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(_rows(doc)[1, 8:]), 1, atol=1e-6)
    assert not _rows(doc)[2].any()


def test_a_token_is_ok_where_all_sources_are(make_stack):
    doc = make_stack()(TEXT)
    assert [token._.vector_status for token in doc] == ["fallback", "ok", "oov", "space"]


UNKNOWN_TEXT = "bank \u9f49 Zzyzx"  # the second is unknown to the tiny BERT, the last to the table only


def test_an_unknown_word_keeps_its_row_in_a_concatenation(make_nlp):
    doc = make_nlp("static", "bert", "stacked")(UNKNOWN_TEXT)
    assert [token._.vector_status for token in doc] == ["ok", "unknown", "fallback"]
    assert [token._.has_vector for token in doc] == [True, False, True]
    assert np.array_equal(_rows(doc)[:, 8:], _rows(doc, "bert_embeddings")) and _rows(doc)[1].any()


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_an_unknown_words_row_counts_only_where_no_source_has_a_vector(make_nlp, tiny_bert, tiny_roberta, combine):
    nlp = make_nlp("bert")
    for name, folder in (("second", tiny_bert), ("bytes", tiny_roberta)):
        model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "overlap": 8, "layers": [1]}
        nlp.add_pipe("bert_embeddings", name=name, config={"model": model})
    both, known = ["bert_embeddings", "second"], ["bert_embeddings", "bytes"]
    nlp.add_pipe("stacked_embeddings", name="both", config={"sources": both, "combine": combine})
    nlp.add_pipe("stacked_embeddings", name="known", config={"sources": known, "combine": combine})
    doc = nlp(UNKNOWN_TEXT)
    total = sum(_rows(doc, name)[1] for name in both) / (2 if combine == "mean" else 1)
    np.testing.assert_allclose(_rows(doc, "both")[1], total, atol=1e-6)
    np.testing.assert_allclose(_rows(doc, "known")[1], _rows(doc, "bytes")[1], atol=1e-6)
    assert doc[1]._.vector_status == "fallback"  # that of "known", which ran last
    assert not doc[1]._.similarity(doc[1], "both") and doc[1]._.similarity(doc[1], "known") > 0.99


def test_an_empty_doc_is_empty(make_stack):
    assert _rows(make_stack()("")).shape == (0, 16)


def test_sources_of_different_widths_can_only_be_concatenated(make_nlp):
    nlp = make_nlp("static", "bert")
    nlp.add_pipe("stacked_embeddings", config={"combine": "sum"})
    with pytest.raises(ValueError, match="can't sum.*'static_embeddings': 8, 'bert_embeddings': 16.*concat"):
        nlp("the bank")


def test_a_source_that_did_not_run_is_named(make_stack):
    with pytest.raises(ValueError, match="'three'.*Fix: "):
        make_stack(sources=["one", "three"])(TEXT)


def test_without_any_source_there_is_a_clear_error():
    nlp = spacy.blank("xx")
    nlp.add_pipe("stacked_embeddings")
    with pytest.raises(ValueError, match="No embedding component ran"):
        nlp("the bank")


@pytest.mark.parametrize(
    ("key", "value"),
    [("combine", "max"), ("sources", []), ("sources", ["stacked_embeddings"]), ("weights", [])],
)
def test_a_bad_setting_is_refused_when_built(key, value, make_stack):
    with pytest.raises(ValueError, match=f"'{key}' is "):
        make_stack(**{key: value})


def test_the_number_of_weights_must_be_that_of_the_sources(make_stack):
    with pytest.raises(ValueError, match="one number for each of the 2 sources"):
        make_stack(weights=[1, 2, 3])(TEXT)
