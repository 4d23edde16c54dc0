"""One row per word and layer, whatever the source: what the tests of words look their words up in.

Enters: a source, and words. Leaves: a :class:`WordTable`: of a static source its own table; of a contextual one each
word as a text of its own ("decontextualized"), or the means of a corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_ctx_embed.measures.distill import Distilled
from spacy_ctx_embed.sources.layers import Source
from spacy_ctx_embed.sources.words import table_words

_BATCH = 512  # words that are run together


@dataclass(frozen=True)
class WordTable:
    """Rows of words.

    :param words: ``n_words`` words, each once; the frequent ones first.
    :param layers: ``(n_layers, n_words, width)`` float32.
    :param n_frequent: how many, from the first on, may be answers of an analogy.
    """

    words: List[str]
    layers: np.ndarray
    n_frequent: int

    def places(self, words: Iterable[str], *, frequent: bool = False) -> np.ndarray:
        """Find words as written, else lower-cased.

        :param words: ``n`` words.
        :param frequent: whether only the frequent ones count.
        :return: ``(n,)`` row numbers, -1 for words that are not there.
        """
        found, end = self._index, self.n_frequent if frequent else len(self.words)
        tried = ([found.get(word, end), found.get(word.lower(), end)] for word in words)
        return np.array([next((place for place in places if place < end), -1) for places in tried], dtype=np.int64)

    @cached_property
    def _index(self) -> Dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


def table_of(
    source: Source, vocab: Vocab, numbers: Sequence[int], words: Sequence[str], candidates: Sequence[str], limit: int
) -> WordTable:
    """Make the table of words that stand alone.

    :param source: a source.
    :param vocab: the pipeline's vocab.
    :param numbers: numbers of the layers wanted.
    :param words: words that are looked for.
    :param candidates: words that may be answers of an analogy. Where there are none: those of a static table, else the
        words that are looked for.
    :param limit: how many of them count, from the first on.
    :return: the table, without the words that have no row.
    """
    frequent = list(candidates[:limit]) or table_words(source, vocab, limit) or list(words)
    n_first = len(dict.fromkeys(frequent))
    both = [word for word in dict.fromkeys([*frequent, *words]) if word.strip()]
    rows, has = rows_alone(source, vocab, both, numbers)
    kept = np.flatnonzero(has)
    return WordTable([both[i] for i in kept.tolist()], rows[:, kept], int(has[:n_first].sum()))


def table_of_means(found: Distilled, candidates: Sequence[str], limit: int) -> WordTable:
    """Make a table of means over contexts.

    :param found: the means.
    :param candidates: words that may be answers of an analogy; the most frequent ones where there are none.
    :param limit: how many of them count, from the first on.
    :return: the table; candidates without a mean are none of it.
    """
    place = {word: i for i, word in enumerate(found.words)}
    first = [place[word] for word in dict.fromkeys(candidates[:limit] or found.words[:limit]) if word in place]
    order = list(dict.fromkeys([*first, *range(len(found.words))]))
    return WordTable([found.words[i] for i in order], found.layers[:, order], len(first))


def rows_alone(
    source: Source, vocab: Vocab, words: Sequence[str], numbers: Sequence[int]
) -> Tuple[np.ndarray, np.ndarray]:
    """Read each word as a Doc of its own.

    :param source: a source.
    :param vocab: the pipeline's vocab.
    :param words: ``n_words`` words, one token each.
    :param numbers: numbers of the layers wanted.
    :return: ``(n_layers, n_words, width)`` float32 and ``(n_words,)`` whether the rows stand for the word.
    """
    rows, has = [], []
    for start in range(0, len(words), _BATCH):
        docs = [Doc(vocab, words=[word], spaces=[False]) for word in words[start : start + _BATCH]]
        for found in source.layers_of(docs):
            rows.append(found.layers[list(numbers), 0])
            has.append(found.has_vector[0])
    return np.stack(rows, axis=1), np.array(has, dtype=bool)
