"""Which tokens of a Doc are read together: its sentences, or the whole Doc; long ones in windows.

Enters: sentence starts and the tokens to leave out. Leaves: arrays of token indices.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Ints1d


def sentence_segments(
    keep: NDArray[np.bool_], starts: Optional[NDArray[np.bool_]] = None, window: Optional[int] = None
) -> List[Ints1d]:
    """Cut tokens into segments: sentences without what is left out, and long sentences into consecutive windows.

    A sentence of more than ``window`` tokens becomes as few windows as possible, of equal length within one token:
    a short rest would be read with almost no context.

    :param keep: ``(n_tokens,)`` false where a token is left out.
    :param starts: ``(n_tokens,)`` true where a sentence starts; one sentence if not given.
    :param window: the longest segment, in tokens kept; no limit if not given.
    :return: per segment the ``(n_kept,)`` rising indices of its tokens, in the order of the text, none empty.
    """
    kept = np.flatnonzero(keep).astype(np.int64)
    if not kept.size:
        return []
    sentences = [kept]
    if starts is not None:
        numbers = np.cumsum(starts)[kept]  # (n_kept,) which sentence each kept token is in
        sentences = np.split(kept, np.flatnonzero(np.diff(numbers)) + 1)
    if window is None:
        return sentences
    segments: List[Ints1d] = []
    for tokens in sentences:
        segments.extend(np.array_split(tokens, -(-len(tokens) // window)))
    return segments
