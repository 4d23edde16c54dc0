"""Where the tokens of a Doc stand: character offsets and string ids, read in one call."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from spacy.attrs import IDX, LENGTH, ORTH
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, Layout


def layout_of(doc: Doc) -> Layout:
    """Read where the tokens of a Doc stand.

    :param doc: any Doc.
    :return: its layout.
    """
    if len(doc) == 0:
        return Layout(np.zeros(0, np.int64), np.zeros(0, np.uint64), 0)
    orths, starts = np.ascontiguousarray(doc.to_array([ORTH, IDX]).T)  # both uint64
    last = doc[-1]
    return Layout(starts.view(np.int64), orths, last.idx + len(last))


def character_ranges(doc: Doc) -> Tuple[Ints1d, Ints1d]:
    """Read the characters of each token.

    :param doc: any Doc.
    :return: ``(n_tokens,)`` starts and ends, half-open; a token's trailing space is not in its range.
    """
    columns = doc.to_array([IDX, LENGTH]).reshape(-1, 2).astype(np.int64)
    return columns[:, 0], columns.sum(axis=1)
