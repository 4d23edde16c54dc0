"""encoders/static/parts.py: tables without words, as a component and as the vocab's vectors."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.vectors import Vectors

from spacy_ctx_embed.encoders.static.vocab_vectors import create_table_vectors_v1

FLORET = np.random.default_rng(1).normal(size=(40, 5)).astype("f")
WORDS = ["river", "bank", "🙂", "NOUN"]


@pytest.fixture
def folder(tmp_path):
    nlp = spacy.blank("xx")
    how = {"minn": 2, "maxn": 3, "hash_count": 2, "hash_seed": 7}
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, mode="floret", data=FLORET, **how)
    nlp.to_disk(tmp_path / "floret")
    return tmp_path / "floret"


def test_the_vocabs_vectors_are_spacys(folder):
    theirs, ours = spacy.load(folder), spacy.blank("xx")
    ours.vocab.vectors = create_table_vectors_v1(name=str(folder))(ours.vocab)
    doc, expected = Doc(ours.vocab, [*WORDS, " "]), Doc(theirs.vocab, [*WORDS, " "])
    for token, other in zip(doc[:4], expected[:4]):
        assert token.has_vector and other.has_vector
        np.testing.assert_allclose(token.vector, other.vector, rtol=1e-5, atol=1e-6)
    assert not doc[4].has_vector
    batch = ours.vocab.vectors.get_batch([token.orth for token in doc])
    np.testing.assert_allclose(batch[:4], [token.vector for token in doc[:4]])
    assert not batch[4].any()
    assert ours.vocab.vectors.shape == (40, 5) and ours.vocab.vectors.n_keys == 0
    assert np.abs(doc[:4].vector).max() > 0
    with pytest.raises(ValueError, match="CE001.*at most 0"):
        ours.vocab.vectors.most_similar(batch[:1])


def test_words_need_no_string_store(folder):
    nlp, expected = spacy.blank("xx"), spacy.load(folder).vocab.vectors.get_batch(WORDS)
    nlp.vocab.vectors = create_table_vectors_v1(name=str(folder))(nlp.vocab)
    np.testing.assert_allclose(nlp.vocab.vectors.get_batch(WORDS), expected, rtol=1e-5, atol=1e-6)
    assert "river" in nlp.vocab.vectors and "" not in nlp.vocab.vectors


def test_a_component_gives_no_row_to_whitespace_and_any_other_word_one(folder):
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder), "oov": "mean"}})
    doc = nlp(Doc(nlp.vocab, [*WORDS, " "]))
    assert [token._.vector_status for token in doc] == ["ok"] * 4 + ["space"]
    expected = spacy.load(folder).vocab.vectors.get_batch(WORDS)
    np.testing.assert_allclose([token._.vector for token in doc[:4]], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_process", [1, 2])
def test_processes_give_the_same_rows(folder, n_process):
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder)}})
    expected = spacy.load(folder).vocab.vectors.get_batch(["river", "bank"])
    for doc in nlp.pipe(["river bank"] * 6, n_process=n_process, batch_size=2):
        np.testing.assert_allclose([token._.vector for token in doc], expected, rtol=1e-5, atol=1e-6)
