"""encoders/bert/texts.py: the pieces of a text that are pooled, where not all of its windows are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from tests.writers.sentence import write_sentence_model

BLANKS = "\n" * 200


@pytest.fixture(scope="module")
def nlp(tiny_roberta: Path, tmp_path_factory: pytest.TempPathFactory) -> Language:
    # Its pieces are bytes, and its windows have 62 of them.
    folder = write_sentence_model(tmp_path_factory.mktemp("sentence") / "model", tiny_roberta)
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "overlap": 8}
    nlp.add_pipe("bert_embeddings", config={"model": model, "doc_pooling": "model"})
    return nlp


def test_windows_before_the_first_token_are_not_read(nlp):
    doc = nlp(BLANKS + "Hello world")
    network: Any = nlp.get_pipe("bert_embeddings").model.shims[0].network()
    (segment,) = network.segment([doc])
    (pieces,) = segment.inputs.pieces
    assert segment.inputs.starts[0] > 0  # or this test is of nothing
    ids = torch.tensor([[0, *pieces.tolist(), 2]])
    with torch.no_grad():
        states = network.module.model(ids).last_hidden_state[0]
    np.testing.assert_allclose(doc._.vector, states.mean(dim=0).numpy(), atol=1e-5)


@pytest.mark.parametrize("text", [BLANKS + "Hello", f"Hello{BLANKS}world", f"Hello{BLANKS}", f"{BLANKS}a{BLANKS}b"])
def test_the_vector_of_a_text_does_not_depend_on_what_else_is_in_the_batch(text, nlp):
    alone = nlp(text)._.vector
    assert alone.any()
    others = ["the river", "a long one about the bank of the river and the dog on the other side of it", "so"]
    for texts in ([text, *others], [*others, text]):
        docs = list(nlp.pipe(texts))
        np.testing.assert_allclose(docs[texts.index(text)]._.vector, alone, atol=1e-5)
