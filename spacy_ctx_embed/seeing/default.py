"""The pipeline of the commands that compare, where none is named: all three kinds of vectors by the default models."""

from __future__ import annotations

from spacy.language import Language


def default_pipeline() -> Language:
    """Make it. Models are opened at first use.

    :return: a blank English pipeline with sentences and the three kinds of vectors.
    """
    import spacy

    nlp = spacy.blank("en")
    for name in ("sentencizer", "static_embeddings", "elmo_embeddings", "bert_embeddings"):
        nlp.add_pipe(name)
    return nlp
