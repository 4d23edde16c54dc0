"""Rows on a Doc to the vector of one of its Spans, or of all of it, as the component's ``doc_pooling`` says.

Enters: a record. Leaves: one vector. A Doc whose component gives whole texts a vector of their own ("cls", "model") has
it in its record; a Span is pooled from its rows here, which were read in the context of the Doc.
"""

from __future__ import annotations

import numpy as np

from spacy_ctx_embed.attach import heads
from spacy_ctx_embed.attach.storage import Record
from spacy_ctx_embed.data import covered
from spacy_ctx_embed.rows.head import pool_part
from spacy_ctx_embed.rows.pool import OWN_POOLINGS, pool_tokens
from spacy_ctx_embed.rows.sif import sif_vector


def pool_record(record: Record, part: slice) -> np.ndarray:
    """Pool the rows of some tokens; those without a vector do not count.

    :param record: what a component left on a Doc.
    :param part: which tokens.
    :return: ``(width,)`` of the dtype that is stored; zeros where no token has a vector.
    """
    counts = covered(record.status[part])
    own = record.pooling in OWN_POOLINGS  # the model's vectors, and those of its texts' parts: never corrected
    rows = (record.uncorrected if own else record.rows)[part][counts]
    if record.pooling == "sif":
        return sif_vector(rows, record.extra["weights"][part][counts], record.extra["common"])
    if record.pooling == "model":
        return pool_part(heads.restore(record.name, record.extra["head"]), rows).astype(rows.dtype)
    return pool_tokens(rows, "mean" if record.pooling == "cls" else record.pooling)
