"""Pipelines with an upstream of either package, made anew or once for all tests that train nothing."""

from __future__ import annotations

import numpy as np
import pytest
import spacy

from tests.tok2vec.transformer_output.upstreams import HAS_CURATED, add_curated, add_transformers, initialize_upstream


@pytest.fixture(autouse=True)
def trainable_with_numpy_2_4(monkeypatch):
    # spacy-curated-transformers 0.3.1 calls float() on an array of one axis, which NumPy 2.4 refuses.
    if HAS_CURATED:
        from spacy_curated_transformers.pipeline import transformer

        monkeypatch.setattr(transformer, "float", lambda array: np.asarray(array).item(), raising=False)


@pytest.fixture(scope="session")
def make_upstream(tiny_bert):
    def make(kind, window=48, all_layers=False):
        nlp = spacy.blank("xx")
        if kind == "curated":
            add_curated(nlp, window, all_layers)
        else:
            add_transformers(nlp, tiny_bert, window, all_layers)
        return nlp

    return make


@pytest.fixture(scope="session")
def initialized(make_upstream):
    # Pipelines for the tests that train nothing, so that each is made once.
    found = {}

    def find(kind, all_layers=False):
        if (kind, all_layers) not in found:
            found[kind, all_layers] = initialize_upstream(make_upstream(kind, all_layers=all_layers))
        return found[kind, all_layers]

    return find
