"""Which tokens are whitespace: the one place that decides it, for every encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE
from spacy.tokens import Doc


def whitespace(doc: Doc) -> NDArray[np.bool_]:
    """Tell which tokens are whitespace; they never have a vector.

    :param doc: any Doc.
    :return: ``(n_tokens,)`` booleans. The vocabulary's flag; where the vocabulary sets no flags (a bare ``Vocab()``),
        the text of the tokens.
    """
    if IS_SPACE in getattr(doc.vocab, "lex_attr_getters", {}):
        return doc.to_array([IS_SPACE]).reshape(-1).astype(bool)
    return np.array([token.text.isspace() for token in doc], dtype=bool)
