"""The table behind a static source, for what shows which words are near.

Enters: a source. Leaves: words and their cosine to a row; nothing where rows do not come from a table of words.
"""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.encoders.static.word_vectors import TableVectors
from spacy_ctx_embed.sources.layers import Source

_BLOCK = 16384  # rows compared at a time


def near_words(source: Source, row: np.ndarray, n: int, *, leave_out: str = "") -> List[Tuple[str, float]]:
    """Find the words of a static table whose rows are nearest to a row.

    :param source: any source.
    :param row: ``(width,)`` float32.
    :param n: words at most.
    :param leave_out: a word that is not to be among them, however it is capitalized.
    :return: words and cosines, the nearest first; none where the source has no table of words, as the vocab's vectors.
    """
    network = encoder_shims(source.model)[0].network()
    length = float(np.linalg.norm(row))
    if not isinstance(network, TableVectors) or not length:
        return []
    table = network.table
    found = np.empty(len(table.words), dtype=np.float32)
    for start in range(0, len(found), _BLOCK):
        block = table.vectors[start : start + _BLOCK]
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        found[start : start + _BLOCK] = block @ row / np.where(lengths > 0, lengths * length, 1)
    wanted = min(len(found), 4 * n + 8)  # some are the word itself
    best = np.argpartition(-found, wanted - 1)[:wanted]
    best = best[np.lexsort((best, -found[best]))]
    words = [(table.words[place], float(found[place])) for place in best.tolist()]
    return [(word, cosine) for word, cosine in words if word.lower() != leave_out.lower()][:n]
