"""Vectors of texts against sentence-transformers itself, where that is installed: the real MiniLM, and small models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pytest
import spacy
from spacy.language import Language

from tests.writers.sentence import dense, write_sentence_model

TEXTS = [
    "We sat on the river bank.",
    "I gave money \n\n to the dog - not to you! 😀",
    "tree",
    "  The unbelievable APPLE\t",
    "the bank of the river, and the bank of New York (1 2 3)",
]
IDENTITY = "linear.Identity"
POOL = {"type": "Pooling", "pooling_mode": "mean"}
NORMALIZE = {"type": "Normalize"}
QUERY = {"prompts": {"query": "i run: ", "odd": "the"}, "default_prompt_name": "query"}
OLD = {"word_embedding_dimension": 16, "pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}

# modules, and other files
MODELS: Dict[str, Dict[str, Any]] = {
    **{
        mode: {"modules": [{"type": "Pooling", "pooling_mode": mode}]}
        for mode in ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
    },
    "several": {"modules": [{"type": "Pooling", "pooling_mode": ["lasttoken", "max", "mean"]}, NORMALIZE]},
    "old": {"modules": [{"type": "Pooling", **OLD}]},
    "dense": {"modules": [POOL, dense(16, 24), NORMALIZE]},
    "two-dense": {
        "modules": [POOL, dense(16, 40, IDENTITY, bias=False), dense(40, 16, IDENTITY, bias=False), NORMALIZE]
    },
    "gelu": {"modules": [POOL, {"type": "Dropout", "dropout": 0.5}, dense(16, 9, "activation.GELU")]},
    "residual": {"modules": [POOL, dense(16, 16, use_residual=True), dense(16, 7, use_residual=True)]},
    "fewer": {"modules": [POOL], "prompts": {"truncate_dim": 5}},
    "prompt": {"modules": [POOL], "prompts": QUERY},
    "prompt-joined": {"modules": [POOL], "prompts": {**QUERY, "default_prompt_name": "odd"}},
    "prompt-empty": {"modules": [POOL], "prompts": {"prompts": {}, "default_prompt_name": "document"}},
    **{
        f"prompt-left-out-{mode}": {
            "modules": [{"type": "Pooling", "pooling_mode": mode, "include_prompt": False}],
            "prompts": QUERY,
        }
        for mode in ("cls", "max", "mean", "weightedmean", "lasttoken")
    },
    "inside": {"modules": [POOL, NORMALIZE], "inputs": {"max_seq_length": 60}, "inside": "0_Transformer"},
}


@pytest.fixture
def reference() -> Callable[[Path], Any]:
    """Open a folder with sentence-transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sentence_transformers = pytest.importorskip(
            "sentence_transformers", reason="sentence-transformers is not installed (extra: models)"
        )

    def open_folder(folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    return open_folder


def _pipeline(folder: Path, prompt_name: Optional[str] = None, **settings: Any) -> Language:
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "prompt_name": prompt_name}
    nlp.add_pipe("bert_embeddings", config={"doc_pooling": "model", "model": model, **settings})
    return nlp


def _vectors(nlp: Language, texts: List[str]) -> np.ndarray:
    return np.stack([doc._.vector for doc in nlp.pipe(texts)])


@pytest.mark.parametrize("kind", MODELS)
def test_the_vector_of_a_doc_is_that_of_encode(kind, tiny_bert, tmp_path, reference):
    folder = write_sentence_model(tmp_path / "model", tiny_bert, **MODELS[kind])
    nlp = _pipeline(folder)
    np.testing.assert_allclose(_vectors(nlp, TEXTS), reference(folder).encode(TEXTS), atol=1e-5)
    plain = spacy.blank("en")
    plain.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert)}})
    for doc, other in zip(nlp.pipe(TEXTS), plain.pipe(TEXTS)):  # rows are those of the text alone
        np.testing.assert_allclose(
            doc._.embeddings["bert_embeddings"], other._.embeddings["bert_embeddings"], atol=1e-5
        )


@pytest.mark.parametrize("name", ["query", "document", "find"])
def test_a_prompt_by_name(name, tiny_bert, tmp_path, reference):
    prompts = {"prompts": {"query": "run: ", "find": "the bank "}, "default_prompt_name": "query"}
    folder = write_sentence_model(tmp_path / "model", tiny_bert, [{"type": "Pooling"}], prompts=prompts)
    nlp = _pipeline(folder, prompt_name=name)
    np.testing.assert_allclose(_vectors(nlp, TEXTS), reference(folder).encode(TEXTS, prompt_name=name), atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "prompt-left-out-mean"])
def test_other_tokenizers(kind, tiny_roberta, tmp_path, reference):
    folder = write_sentence_model(tmp_path / "model", tiny_roberta, **MODELS[kind])
    texts = [text[:40] for text in TEXTS]
    np.testing.assert_allclose(_vectors(_pipeline(folder), texts), reference(folder).encode(texts), atol=1e-5)


def test_a_model_that_lower_cases_first(tiny_roberta, tmp_path, reference):
    folder = write_sentence_model(tmp_path / "model", tiny_roberta, inputs={"do_lower_case": True})
    np.testing.assert_allclose(_vectors(_pipeline(folder), ["A Tree"]), reference(folder).encode(["A Tree"]), atol=1e-5)
    np.testing.assert_allclose(_vectors(_pipeline(folder), ["A Tree"]), reference(folder).encode(["a tree"]), atol=1e-5)


def test_a_folder_without_modules_is_pooled_by_the_mean(tiny_bert, reference):
    np.testing.assert_allclose(_vectors(_pipeline(tiny_bert), TEXTS), reference(tiny_bert).encode(TEXTS), atol=1e-5)


def test_a_saved_encoder_is_a_model_for_sentence_transformers(tiny_bert, tmp_path, reference):
    folder = write_sentence_model(tmp_path / "model", tiny_bert, [POOL, dense(16, 24)], prompts=QUERY, inside="0_T")
    nlp = _pipeline(folder)
    nlp.to_disk(tmp_path / "saved")
    saved = reference(tmp_path / "saved" / "bert_embeddings" / "model" / "encoder0")
    np.testing.assert_allclose(_vectors(nlp, TEXTS), saved.encode(TEXTS), atol=1e-5)


def test_minilm(minilm, reference):
    model = reference(minilm)
    nlp = _pipeline(minilm)
    nlp.add_pipe("sentencizer")
    long = " ".join(f"Sentence {i} of a document is short." for i in range(25))
    texts = [*TEXTS, "Naïve cafés in 東京 — €5!", long, "[SEP", "x" * 120]
    np.testing.assert_allclose(_vectors(nlp, texts), model.encode(texts), atol=1e-5)
    sentences = list(nlp(long).sents)
    alone = nlp.get_pipe("bert_embeddings").vectors_alone(sentences)
    np.testing.assert_allclose(alone, model.encode([sentence.text for sentence in sentences]), atol=1e-5)
    late = np.stack([sentence._.vector for sentence in sentences])
    assert late.shape == alone.shape and np.abs(late - alone).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(late, axis=1), 1, atol=1e-5)
