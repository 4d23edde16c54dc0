"""Pipelines with every encoder, on the CPU or on the GPU, and how far their rows are apart."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc

TEXTS = [
    "We sat on the river bank. The bank was closed in spring, and nobody had told us.",
    "",
    "I gave money \n\n to the dog 😀 e\u0301",
    "\n",
    "Unbelievably, dogs running in NY can't stop!",
    "the bank " * 300,
]
MIXES = ("last", "mean", "sum", "concat", "scalar_mix")
NAME = "rows"


def model(family: str, **settings: Any) -> Dict[str, Any]:
    """The config of an encoder: static, elmo or bert with its default model."""
    architecture = {"static": "StaticVectors", "elmo": "Elmo", "bert": "Bert"}[family]
    names = {"elmo": "elmo-mini", "bert": "all-minilm-l6-v2"}
    return {
        "@architectures": f"spacy_ctx_embed.{architecture}.v1",
        **({"name": names[family]} if family in names else {}),
        **settings,
    }


def pipeline(family: str, *, config: Any = None, **settings: Any) -> Language:
    """A pipeline on the device that is active."""
    nlp = spacy.blank("en")
    nlp.add_pipe(f"{family}_embeddings", name=NAME, config={"model": model(family, **settings), **(config or {})})
    return nlp


def on_cpu(family: str, **settings: Any) -> Language:
    """The same on the CPU."""
    spacy.require_cpu()
    try:
        nlp = pipeline(family, **settings)
        nlp.get_pipe(NAME).find_width()  # which opens the model, and leaves no state behind
        return nlp
    finally:
        spacy.require_gpu()


def rows(docs: Any) -> List[np.ndarray]:
    return [doc._.embeddings[NAME] for doc in docs]


def farthest(found: List[np.ndarray], expected: List[np.ndarray]) -> float:
    """Largest distance of two numbers."""
    assert [part.shape for part in found] == [part.shape for part in expected]
    return max(float(np.abs(a.astype("f") - b.astype("f")).max()) for a, b in zip(found, expected) if a.size)


def worst_cosine(found: List[np.ndarray], expected: List[np.ndarray]) -> float:
    a, b = (np.concatenate(parts).astype(np.float64) for parts in (found, expected))
    keep = np.linalg.norm(b, axis=1) > 0
    a, b = a[keep], b[keep]
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def assert_on_cpu(doc: Doc) -> None:
    """What is on a Doc is NumPy's, whatever computed it."""
    assert all(type(value) is np.ndarray for value in doc._.embeddings.values())
    for token in doc:
        assert type(token._.vector) is np.ndarray and type(token.vector) is np.ndarray
    assert type(doc._.vector) is np.ndarray
    Doc(doc.vocab).from_bytes(doc.to_bytes(exclude=["user_hooks"]))
