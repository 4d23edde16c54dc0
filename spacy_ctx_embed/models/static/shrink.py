"""A smaller table: fewer words, fewer columns, shorter numbers.

Enters: a table. Leaves: a table. In this order: words, principal components, type of the numbers; fastText's n-grams go
through the last two, so that unknown words stay comparable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Collection, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.tables.index import word_ids
from spacy_ctx_embed.models.static.tables.numbers import Factors1d, blocks, round_rows
from spacy_ctx_embed.models.static.tables.table import VectorTable


def keep_words(table: VectorTable, words: Collection[str]) -> VectorTable:
    """Keep some words.

    :param table: the table.
    :param words: those, as the table writes them; one that it lacks stands for its lower-cased form.
    :return: the table of those that are there, in the order of the table; without any it has no rows.
    """
    wanted = list(words)
    places = table.word_index.find(word_ids(wanted))
    lowered = table.word_index.find(word_ids([word.lower() for word in wanted]))
    kept = np.unique(np.where(places < 0, lowered, places))
    kept = kept[kept >= 0]
    words_kept, shared = [table.words[row] for row in kept.tolist()], None
    if table.shared is not None:
        kept, places = np.unique(table.shared[kept], return_inverse=True)
        shared = places.astype(np.int32) if len(kept) < len(words_kept) else None
        kept = kept if shared is not None else kept[places]
    scales = None if table.scales is None else table.scales[kept]
    return VectorTable(words_kept, table.vectors[kept], table.subwords, scales, shared=shared)


def reduce_width(table: VectorTable, width: int) -> VectorTable:
    """Project rows, less their mean, onto the directions in which they differ most (principal components).

    :param table: the table.
    :param width: how many, not more than the rows have numbers.
    :return: the table with float32 rows of that width; fastText's n-grams are projected with them. Of a table without
        words the parts are, that words are made of.
    """
    mean = table.mean().astype(np.float64)
    scatter = np.zeros((table.width, table.width))
    for _, block in table.blocks():
        centred = block - mean
        scatter += centred.T @ centred
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :width]
    # of a direction and its opposite the same one on every machine
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
    projected = _project(table.vectors, table.scales, mean, directions)
    parts = table.subwords
    if parts is not None:
        # a row is a mean of n-grams: what is subtracted from each is subtracted from their mean
        parts = parts.with_rows(_project(parts.ngrams, parts.scales, mean, directions), None)
    return VectorTable(table.words, projected, parts, index=table.word_index, shared=table.shared)


def change_dtype(table: VectorTable, dtype: str) -> VectorTable:
    """Write numbers in another type.

    :param table: the table.
    :param dtype: "float32", "float16" or "int8"; the last with a factor per row.
    :return: the table.
    """
    values, scales = round_rows(table.vectors, table.scales, dtype)
    parts = table.subwords
    if parts is not None:
        parts = parts.with_rows(*round_rows(parts.ngrams, parts.scales, dtype))
    return replace(table, vectors=values, scales=scales, subwords=parts, index=table.word_index, known_digest=None)


def shrink(
    table: VectorTable,
    *,
    words: Optional[Collection[str]] = None,
    width: Optional[int] = None,
    dtype: str = "float32",
) -> VectorTable:
    """Make a table smaller in each way that is asked for.

    :param table: the table.
    :param words: keep these words; null for all.
    :param width: keep so many principal components; null for rows as they are.
    :param dtype: type of the numbers.
    :return: the table.
    """
    if words is not None:
        table = keep_words(table, words)
    if width is not None:
        table = reduce_width(table, width)
    return table if str(table.vectors.dtype) == dtype else change_dtype(table, dtype)


def _project(
    values: NDArray[Any], scales: Optional[Factors1d], mean: NDArray[np.float64], directions: NDArray[np.float64]
) -> Floats2d:
    projected = np.empty((len(values), directions.shape[1]), np.float32)
    for start, block in blocks(values, scales):
        projected[start : start + len(block)] = (block - mean) @ directions
    return projected
