"""fastText's own ``.bin``: words with the n-grams that they are made of.

Enters: a file. Leaves: a :class:`VectorTable` with fastText's own values:
a word's vector is the mean of its own row and those of its n-grams, and ``</s>``, which has none, is its own row.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import IO, List, Optional

import numpy as np

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.readers.fasttext_layout import FastTextLayout, read_layout
from spacy_ctx_embed.models.static.readers.word_bytes import WordDecoder
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_END_OF_SENTENCE = b"</s>"
_BLOCK = 1024  # words put together at a time


def read_fasttext(path: Path, plain: Path, *, limit: Optional[int], subwords: bool) -> VectorTable:
    """Read a model that is not a classifier.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to keep, from the first on; null for all.
    :param subwords: whether to keep the n-grams.
    :return: the table.
    """
    layout = read_layout(path, plain)
    raw, rows = layout.words[:limit], layout.rows[:limit]
    n_own = rows[-1] + 1
    with plain.open("rb") as file:
        vectors = _read_rows(file, layout, 0, n_own)
        if len(rows) < n_own:  # labels between the words
            vectors = vectors[rows]
        parts = None
        if layout.n_buckets and layout.max_n > 0:
            ngrams = _read_rows(file, layout, layout.n_rows - layout.n_buckets, layout.n_buckets)
            _add_ngrams(raw, vectors, ngrams, layout)
            parts = SubWords(ngrams, layout.min_n, layout.max_n) if subwords else None
    words = WordDecoder(path)
    words.add(raw)
    words.warn()
    return make_table(path, words.words, vectors, parts)


def _read_rows(file: IO[bytes], layout: FastTextLayout, start: int, n_rows: int) -> Floats2d:
    file.seek(layout.offset + 4 * start * layout.width)
    numbers = np.fromfile(file, np.dtype("<f4"), n_rows * layout.width).reshape(n_rows, layout.width)
    return numbers.astype(np.float32, copy=False)


def _add_ngrams(words: List[bytes], vectors: Floats2d, ngrams: Floats2d, layout: FastTextLayout) -> None:
    # Makes rows of words, (n_words, width), the means of these and their n-grams.
    from gensim.models.fasttext import ft_hash_bytes, ft_ngram_hashes

    def rows_of(word: bytes) -> List[int]:
        if word == _END_OF_SENTENCE:
            return []
        try:
            return ft_ngram_hashes(word.decode("utf8"), layout.min_n, layout.max_n, layout.n_buckets)
        except UnicodeDecodeError:
            found = _byte_ngrams(b"<" + word + b">", layout.min_n, layout.max_n)
            return [ft_hash_bytes(ngram) % layout.n_buckets for ngram in found]

    for start in range(0, len(words), _BLOCK):
        block = vectors[start : start + _BLOCK]
        places = list(map(rows_of, words[start : start + _BLOCK]))
        counts = np.fromiter(map(len, places), np.int64, len(places))
        joined = np.fromiter(chain.from_iterable(places), np.int64)
        begins = np.cumsum(counts) - counts
        # one n-gram of each word at a time, in their order: float32 sums equal those of fastText and gensim
        for nth in range(counts.max()):
            having = np.flatnonzero(counts > nth)
            block[having] += ngrams[joined[begins[having] + nth]]
        block /= (counts + 1)[:, None].astype(np.float32)


def _byte_ngrams(word: bytes, min_n: int, max_n: int) -> List[bytes]:
    # fastText's Dictionary::computeSubwords, for which a character is a byte and the continuation bytes after it.
    begins = [place for place, byte in enumerate(word) if byte & 0xC0 != 0x80] + [len(word)]
    found = []
    for first in range(len(begins) - 1):
        for n in range(max(min_n, 1), min(max_n, len(begins) - 1 - first) + 1):
            if n == 1 and (begins[first] == 0 or begins[first + n] == len(word)):
                continue
            found.append(word[begins[first] : begins[first + n]])
    return found
