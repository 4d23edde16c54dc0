"""Serves spaCy's own ``.vector``, ``.has_vector``, ``.vector_norm`` and ``.similarity`` from the same getters.

User hooks are functions on the Doc and do not survive its serialisation (spaCy's warning W109); the record in
``user_data`` says that they were there, and :func:`restore_hooks` puts them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.attach import attributes, storage


def install(doc: Doc) -> None:
    """Put the hooks on a Doc.

    :param doc: the Doc; the hooks read the last component that ran on it with ``set_hooks``.
    """
    for hooks in (doc.user_hooks, doc.user_span_hooks, doc.user_token_hooks):
        hooks["vector"] = _vector
        hooks["has_vector"] = _has_vector
        hooks["similarity"] = _similarity
    # Span.vector_norm calls the span's "vector" hook where a "vector_norm" hook is set (spaCy 3.8); without one it
    # computes the norm from the hooked vector.
    doc.user_hooks["vector_norm"] = doc.user_token_hooks["vector_norm"] = _vector_norm


def restore_hooks(doc: Doc) -> Doc:
    """Put the hooks back on a Doc that was serialised or came from an ``nlp.pipe(n_process=…)`` worker.

    Also installs the extension attributes, for a process in which no pipeline was loaded.

    :param doc: a Doc on which an embedding component with ``set_hooks`` ran.
    :return: the same Doc.
    :raises MissingEmbeddingsError: if none ran on it.
    """
    attributes.install()
    storage.hook_name(doc)
    install(doc)
    return doc


def _vector(owner: attributes.Owner) -> np.ndarray:
    return attributes.vector_of(owner, storage.hook_name(attributes.doc_of(owner)))


def _has_vector(owner: attributes.Owner) -> bool:
    return attributes.has_vector_of(owner, storage.hook_name(attributes.doc_of(owner)))


def _vector_norm(owner: attributes.Owner) -> float:
    return attributes.norm_of(owner, storage.hook_name(attributes.doc_of(owner)))


def _similarity(owner: attributes.Owner, other: Any) -> float:
    return attributes.similarity_of(owner, other, storage.hook_name(attributes.doc_of(owner)))
