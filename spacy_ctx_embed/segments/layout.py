"""Where the tokens of a Doc stand: character offsets and string ids, read in one call."""

from __future__ import annotations

import numpy as np
from spacy.attrs import LENGTH, ORTH, SPACY
from spacy.tokens import Doc

from spacy_ctx_embed.data import Layout


def layout_of(doc: Doc) -> Layout:
    """Read where the tokens of a Doc stand.

    :param doc: any Doc.
    :return: its layout.
    """
    columns = doc.to_array([ORTH, LENGTH, SPACY])
    lengths = columns[:, 1].astype(np.int64)
    ends = np.cumsum(lengths + columns[:, 2].astype(np.int64)) - columns[:, 2].astype(np.int64)
    return Layout(ends - lengths, ends, columns[:, 0])
