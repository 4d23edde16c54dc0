"""The table behind a static source, for what shows which words are near.

Enters: a source. Leaves: words and their cosine to a row; nothing where rows do not come from a table of words.
"""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
from spacy.vocab import Vocab
from thinc.backends import get_array_ops

from spacy_ctx_embed.encoders.network import Network
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.encoders.static.vocab_table import table_of_vocab
from spacy_ctx_embed.encoders.static.word_vectors import TableVectors, VocabVectors
from spacy_ctx_embed.sources.layers import Source

_BLOCK = 16384  # rows compared at a time


def network_of(source: Source) -> Network:
    """Give the loaded network of a source.

    :param source: any source.
    :return: the network, opened where that has not happened.
    """
    return encoder_shims(source.model)[0].network()


def near_words(source: Source, row: np.ndarray, n: int, *, leave_out: str = "") -> List[Tuple[str, float]]:
    """Find the words of a static table whose rows are nearest to a row.

    :param source: any source.
    :param row: ``(width,)`` float32.
    :param n: words at most.
    :param leave_out: a word that is not to be among them, however it is capitalized.
    :return: words and cosines, the nearest first; none where the source has no table of words, as floret vectors, whose
        rows belong to n-grams.
    """
    network = network_of(source)
    if not np.any(row):
        return []
    wanted = 4 * n + 8  # some are the word itself
    table = network.table if isinstance(network, TableVectors) else None
    if isinstance(network, VocabVectors) and source.vocab is not None:
        table = table_of_vocab(source.vocab)
    if table is not None and table.word_parts is not None:
        return []
    if table is not None:
        found = _cosines(table.vectors, row)
        found = found if table.shared is None else found[table.shared]
        words = [(table.words[place], float(found[place])) for place in _highest(found, wanted)]
    elif isinstance(network, VocabVectors) and source.vocab is not None and source.vocab.vectors.mode != "floret":
        words = _near_in_vocab(source.vocab, row, wanted)
    else:
        return []
    return [(word, cosine) for word, cosine in words if word.lower() != leave_out.lower()][:n]


def _near_in_vocab(vocab: Vocab, row: np.ndarray, wanted: int) -> List[Tuple[str, float]]:
    # Several words may have one row, and a row no word: pruned tables have both.
    owners = {key: place for key, place in vocab.vectors.key2row.items() if place >= 0 and key in vocab.strings}
    found = _cosines(vocab.vectors.data, row)
    empty = np.ones(len(found), dtype=bool)
    empty[list(owners.values())] = False
    found[empty] = -np.inf
    best = {place: rank for rank, place in enumerate(_highest(found, wanted)) if not empty[place]}
    keys = sorted((key for key, place in owners.items() if place in best), key=lambda key: best[owners[key]])
    return [(vocab.strings[key], float(found[owners[key]])) for key in keys]


def _cosines(vectors: Any, row: np.ndarray) -> np.ndarray:
    # (n_rows,) float32; the vectors may be CuPy's.
    ops = get_array_ops(vectors)
    found = np.empty(len(vectors), dtype=np.float32)
    length = float(np.linalg.norm(row))
    for start in range(0, len(found), _BLOCK):
        block = ops.to_numpy(vectors[start : start + _BLOCK]).astype(np.float32, copy=False)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        found[start : start + _BLOCK] = block @ row / np.where(lengths > 0, lengths * length, 1)
    return found


def _highest(values: np.ndarray, n: int) -> List[int]:
    count = min(n, len(values))
    best = np.argpartition(-values, count - 1)[:count]
    return best[np.lexsort((best, -values[best]))].tolist()
