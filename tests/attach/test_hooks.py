"""attach/hooks.py: spaCy's own .vector and .similarity."""

from __future__ import annotations

import numpy as np
import pytest
from spacy.tokens import Doc

from spacy_ctx_embed import restore_hooks
from spacy_ctx_embed.errors import MissingEmbeddingsError


def test_spacys_own_attributes_are_served(make_nlp):
    doc = make_nlp("static")("the river bank Zzyzx")
    for owner in (doc[2], doc[1:3], doc):
        assert (owner.vector == owner._.vector).all()
        assert owner.has_vector is True
        assert owner.vector_norm == pytest.approx(owner._.vector_norm)
        assert owner.similarity(doc[2]) == pytest.approx(owner._.similarity(doc[2]))
    assert doc[3].has_vector is False


def test_the_last_component_with_set_hooks_serves_them(make_nlp, tiny_static):
    nlp = make_nlp("bert")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
    nlp.add_pipe("static_embeddings", config={"model": model, "set_hooks": False})
    doc = nlp("the bank")
    assert doc[1].vector.shape == (16,)
    assert doc[1]._.vector.shape == (8,)


def test_without_set_hooks_spacy_answers_as_before(make_nlp):
    doc = make_nlp("static", set_hooks=False)("the bank")
    assert doc[1].has_vector is False
    assert doc[1]._.has_vector is True


def test_similarity_to_a_lexeme_uses_the_lexemes_own_vector(make_nlp):
    nlp = make_nlp("static")
    doc = nlp("the bank")
    nlp.vocab.set_vector("bank", doc[1]._.vector)
    assert doc[1].similarity(nlp.vocab["bank"]) == pytest.approx(1)


def test_hooks_are_put_back_after_serialisation(make_nlp):
    nlp = make_nlp("static")
    doc = nlp("the bank")
    copy = Doc(nlp.vocab).from_bytes(doc.to_bytes(exclude=["user_hooks"]))
    assert copy[1].has_vector is False
    assert np.array_equal(restore_hooks(copy)[1].vector, doc[1].vector)


def test_there_is_nothing_to_restore_on_a_bare_doc(make_nlp):
    with pytest.raises(MissingEmbeddingsError, match="No embedding component ran"):
        restore_hooks(Doc(make_nlp("static").vocab, words=["a"]))
