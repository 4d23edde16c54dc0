"""attach/storage.py: rows survive what a Doc goes through."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin


@pytest.fixture
def nlp(make_nlp):
    return make_nlp("static", "bert", set_hooks=False)


@pytest.fixture
def doc(nlp):
    return nlp("The river bank Zzyzx \n of money")


def _same(left: Doc, right: Doc) -> None:
    assert list(left._.embeddings) == list(right._.embeddings)
    for name, rows in left._.embeddings.items():
        assert np.array_equal(rows, right._.embeddings[name])
        assert not right._.embeddings[name].flags.writeable
    assert [t._.vector_status for t in left] == [t._.vector_status for t in right]
    assert np.array_equal(left._.vector, right._.vector)


def test_to_bytes(doc):
    _same(doc, Doc(spacy.blank("xx").vocab).from_bytes(doc.to_bytes()))


def test_doc_bin(doc):
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (loaded,) = DocBin().from_bytes(data).get_docs(spacy.blank("xx").vocab)
    _same(doc, loaded)


def test_pickle(doc):
    _same(doc, pickle.loads(pickle.dumps(doc)))


def test_copy(doc):
    _same(doc, doc.copy())
    _same(doc, copy.copy(doc))


def test_a_copy_does_not_change_with_its_original(doc):
    other = doc.copy()
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    assert doc._.embeddings["static_embeddings"].shape[0] == len(other) - 1
    assert other._.embeddings["static_embeddings"].shape[0] == len(other)


def test_rows_are_numpy_arrays_of_their_own(nlp):
    docs = list(nlp.pipe(["the bank", "the river"]))
    for doc in docs:
        rows = doc.user_data["spacy_ctx_embed"]["bert_embeddings"]["rows"]
        assert type(rows) is np.ndarray
        assert rows.base is None
        assert rows.flags.c_contiguous


def test_a_prefix_that_became_a_doc_never_gets_wrong_rows(doc):
    part = doc[1:3].as_doc(copy_user_data=True)
    with pytest.raises(ValueError, match=r"can't be matched.*Fix: run the component"):
        part._.embeddings["static_embeddings"]
    assert doc._.embeddings["static_embeddings"].shape[0] == len(doc)


def test_rows_of_another_text_are_refused(nlp):
    one, other = nlp("the river bank"), nlp.make_doc("the money bank")
    other.user_data = one.user_data
    with pytest.raises(ValueError, match="not the text that the rows were computed for"):
        other[1]._.vectors["static_embeddings"]


def test_a_format_of_the_future_is_refused(doc):
    doc.user_data["spacy_ctx_embed"]["bert_embeddings"]["format"] = 99
    with pytest.raises(ValueError, match="format 99"):
        doc._.vector  # noqa: B018
