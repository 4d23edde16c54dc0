"""Questions to a table: the nearest words, analogies, and which of some words does not belong to the others.

Enters: a table and words. Leaves: words and numbers, exact, with products of a block of rows at a time, so that a table
that is mapped from a file is read through once and never copied. The definitions are those of gensim's methods of the
same names; 3CosAdd is Mikolov et al. (2013), 3CosMul Levy and Goldberg (2014), equations 3 and 4 there.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.static.tables.index import Rows1d, word_ids
from spacy_ctx_embed.models.static.tables.table import VectorTable

METHODS = ("add", "mul")
_EPSILON = 1e-6  # of 3CosMul, as in its paper's equation 4: what is divided by is never 0
_SHOWN = 5  # words named in an error

Answers = List[Tuple[str, float]]


def most_similar(
    table: VectorTable, positive: Sequence[str], negative: Sequence[str] = (), n: int = 10, *, method: str = "add"
) -> Answers:
    """Find the words that are most like some and least like others: king - man + woman.

    :param table: the table.
    :param positive: words that the answers are to be like. A word is looked up as written, else lower-cased.
    :param negative: words that they are not to be like.
    :param n: answers at most.
    :param method: "add": by cosine with the sum of unit vectors (3CosAdd); "mul": by the product of shifted cosines
        with ``positive`` over that with ``negative`` (3CosMul), in which no single cosine outweighs the others.
    :return: words and scores, the highest first; the words that were asked with are none of them.
    :raises ValueError: if there is no word, the table lacks one, or there is no such method.
    """
    check_one_of("most_similar", "method", method, METHODS)
    places = find_words(table, [*positive, *negative])
    asked = _unit(table.take(places))
    n_positive = len(positive)
    if method == "add":
        signs = np.ones(len(asked), np.float32)
        signs[n_positive:] = -1
        scores = _cosines(table, _unit((signs @ asked)[None]))[:, 0]
    else:
        shifted = (1 + _cosines(table, asked)) / 2
        scores = shifted[:, :n_positive].prod(axis=1) / (shifted[:, n_positive:].prod(axis=1) + _EPSILON)
    scores[places] = -np.inf
    best = _highest(scores, min(n, len(scores) - len(set(places.tolist()))))
    return [(table.words[place], float(scores[place])) for place in best.tolist()]


def nearest(table: VectorTable, vectors: Floats2d, n: int) -> Tuple[Rows1d, NDArray[np.float32]]:
    """Find the rows with the largest cosines to vectors.

    :param table: the table.
    :param vectors: ``(n_vectors, width)`` float32.
    :param n: rows for each, at most as many as there are.
    :return: row numbers and cosines, ``(n_vectors, n)``, the largest first.
    """
    cosines = _cosines(table, _unit(vectors))
    best = np.stack([_highest(column, n) for column in cosines.T]) if len(vectors) else np.zeros((0, n), np.int64)
    return best, np.take_along_axis(cosines.T, best, axis=1)


def doesnt_match(table: VectorTable, words: Sequence[str]) -> Answers:
    """Tell which word belongs least to the others: the one with the lowest cosine to the mean of all unit vectors.

    :param table: the table.
    :param words: two words or more.
    :return: the words with their cosines, the lowest first.
    :raises ValueError: if there are fewer, or the table lacks one.
    """
    if len(words) < 2:
        raise ValueError(
            Errors.E001.format(owner="doesnt_match", key="words", value=list(words), accepted="two words or more")
        )
    rows = _unit(table.take(find_words(table, words)))
    cosines = rows @ _unit(rows.mean(axis=0, keepdims=True))[0]
    return [(words[i], float(cosines[i])) for i in np.argsort(cosines, kind="stable").tolist()]


def find_words(table: VectorTable, words: Sequence[str]) -> Rows1d:
    """Find words as written, else lower-cased.

    :param table: the table.
    :param words: ``n`` words.
    :return: ``(n,)`` row numbers.
    :raises ValueError: if there are none, or the table lacks one.
    """
    if not words:
        raise ValueError(Errors.E001.format(owner="the table", key="words", value=[], accepted="a word or more"))
    index = table.word_index
    places = index.find(word_ids(words))
    places = np.where(places < 0, index.find(word_ids([word.lower() for word in words])), places)
    if (places < 0).any():
        lacking = [words[i] for i in np.flatnonzero(places < 0).tolist()][:_SHOWN]
        first = ", ".join(map(repr, table.words[:_SHOWN]))
        accepted = f"words of the table, which has {len(table.words):,} of them ({first} …)"
        if table.word_parts is not None:
            accepted = (
                "a table of words; in this one the row of every word is made of parts, and it has no list of words"
            )
        value = ", ".join(lacking)
        raise ValueError(Errors.E001.format(owner="the table", key="words", value=value, accepted=accepted))
    return places


def _cosines(table: VectorTable, units: Floats2d) -> NDArray[np.float32]:
    # (n_words, n) cosines of every row with each of n unit vectors; 0 for a zero row.
    found = np.empty((len(table.words), len(units)), np.float32)
    for start, block in table.blocks():
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        found[start : start + len(block)] = block @ units.T / np.where(lengths > 0, lengths, 1)[:, None]
    return found


def _highest(scores: NDArray[np.float32], n: int) -> Rows1d:
    # (n,) places of the highest scores, the highest first; of equal ones the first.
    best = np.argpartition(-scores, max(n - 1, 0))[:n]
    return best[np.lexsort((best, -scores[best]))]


def _unit(rows: Floats2d) -> Floats2d:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)
