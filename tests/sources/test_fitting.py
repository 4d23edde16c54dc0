"""sources/fitting.py: corrections of a pipeline that is there, fitted on Docs."""

from __future__ import annotations

import numpy as np
import pytest
import spacy

from spacy_ctx_embed.sources.fitting import Fitted, fit_correction, set_corrections
from tests.pipeline.test_correction import fit, rows, texts

TEXT = "we sat on the river bank"


def docs_of(nlp, n=30):
    return lambda: map(nlp.make_doc, texts(n))


def test_it_is_what_initialize_fits(make_nlp):
    nlp, expected = make_nlp("static", "bert", "stacked"), fit(make_nlp("static", "bert", "stacked", correction="abtt"))
    found = fit_correction(nlp, docs_of(nlp), "abtt")
    assert found == [
        Fitted("static_embeddings", "abtt", found[0].n_rows, 8),
        Fitted("bert_embeddings", "abtt", found[1].n_rows, 16),
        Fitted("stacked_embeddings", "abtt", found[2].n_rows, 24),
    ]
    assert all(0 < row.n_rows <= 30 * 12 for row in found)
    for name in nlp.pipe_names:
        assert np.array_equal(rows(nlp(TEXT), name), rows(expected(TEXT), name))
    assert nlp.config["components"] == expected.config["components"]
    assert set_corrections(nlp) == dict.fromkeys(nlp.pipe_names, "abtt")


def test_some_components_or_those_that_have_the_setting(make_nlp, tmp_path):
    nlp = make_nlp("static", "bert")
    fit_correction(nlp, docs_of(nlp), "center", components=["bert_embeddings"])
    assert set_corrections(nlp) == {"bert_embeddings": "center"}
    assert np.array_equal(rows(nlp(TEXT), "static_embeddings"), rows(make_nlp("static")(TEXT), "static_embeddings"))
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert np.array_equal(rows(again(TEXT)), rows(nlp(TEXT)))
    (found,) = fit_correction(again, docs_of(nlp, 5))  # as the config says
    assert found.component == "bert_embeddings" and found.correction == "center"
    assert not np.array_equal(rows(again(TEXT)), rows(nlp(TEXT)))


def test_sif_is_fitted_anew_on_the_corrected_rows(make_nlp):
    nlp, expected = make_nlp("static", doc_pooling="sif"), make_nlp("static", doc_pooling="sif", correction="center")
    fit(nlp), fit(expected)
    fit_correction(nlp, docs_of(nlp), "center")
    assert np.array_equal(nlp(TEXT)._.vector, expected(TEXT)._.vector)


def test_what_can_not_be_fitted_is_said(make_nlp):
    nlp = make_nlp("bert")
    with pytest.raises(ValueError, match=r"CE001.*'component' is 'elmo'. Accepted: 'bert_embeddings'"):
        fit_correction(nlp, docs_of(nlp), "center", components=["elmo"])
    with pytest.raises(ValueError, match="CE001.*'correction' is 'pca'"):
        fit_correction(nlp, docs_of(nlp), "pca")
    for names in (None, ["bert_embeddings"]):
        with pytest.raises(ValueError, match="CE001.*'correction' is None. Accepted: one of 'center'"):
            fit_correction(nlp, docs_of(nlp), components=names)
    with pytest.raises(ValueError, match="CE001.*'pipeline' is .*Accepted: a pipeline with an embedding component"):
        fit_correction(spacy.blank("xx"), docs_of(nlp), "center")
    with pytest.raises(ValueError, match=r"CE086.*component = 'bert_embeddings' gives vectors to fewer than two Docs"):
        fit_correction(nlp, docs_of(nlp, 1), "center")
    assert set_corrections(nlp) == {} and nlp(TEXT)._.has_vector
