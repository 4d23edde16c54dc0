"""Rows of an encoder that is not ours: any ``Model[List[Doc], List[Floats2d]]``, such as spaCy's own ``tok2vec``."""

from __future__ import annotations

from typing import Any

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import Status, TokenRows
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.segments.spaces import whitespace


def foreign_rows(owner: str, doc: Doc, array: Any) -> TokenRows:
    """Take a foreign encoder's rows of a Doc: one for every token. Whitespace has none here, as in our own encoders.

    :param owner: the component, for the message.
    :param doc: the Doc.
    :param array: ``(n_tokens, width)`` on the CPU.
    :return: rows and statuses.
    :raises ValueError: if it is of another shape.
    """
    rows = np.asarray(array)
    if rows.ndim != 2 or len(rows) != len(doc):
        raise ValueError(Errors.E023.format(owner=owner, found=f"an array of shape {rows.shape}", expected=len(doc)))
    blank = whitespace(doc)
    status = np.where(blank, Status.SPACE, Status.OK).astype(np.uint8)
    return TokenRows(np.where(blank[:, None], np.float32(0), rows), status)
