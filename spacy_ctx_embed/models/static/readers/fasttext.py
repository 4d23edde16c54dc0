"""fastText's own ``.bin`` and ``.ftz``: words with the n-grams that they are made of.

Enters: a file. Leaves: a :class:`VectorTable` with fastText's own values:
a word's vector is the mean of its own row and those of its n-grams, and ``</s>``, which has none, is its own row. Of
a classifier these are the vectors that it reads words with. Quantising may prune n-grams: those that are left count.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import IO, Callable, List, Optional

import numpy as np

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.readers.fasttext_layout import FastTextLayout, read_layout
from spacy_ctx_embed.models.static.readers.quantised import Quantised
from spacy_ctx_embed.models.static.readers.word_bytes import WordDecoder
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_END_OF_SENTENCE = b"</s>"
_BLOCK = 1024  # words put together at a time


def read_fasttext(path: Path, plain: Path, *, limit: Optional[int], subwords: bool) -> VectorTable:
    """Read a model.

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
        read = _reader(path, file, layout)
        vectors = read(0, n_own)
        if len(rows) < n_own:  # labels between the words
            vectors = vectors[rows]
        parts = None
        n_ngrams = layout.n_buckets if layout.pruned is None else len(layout.pruned)
        if n_ngrams and layout.max_n > 0:
            ngrams = read(layout.n_rows - n_ngrams, n_ngrams)
            buckets = None
            if layout.pruned is not None:
                order = np.argsort(layout.pruned[:, 0])
                ngrams, buckets = ngrams[layout.pruned[order, 1]], layout.pruned[order, 0].astype(np.int64)
            parts = SubWords(ngrams, layout.min_n, layout.max_n, buckets=buckets, n_buckets=layout.n_buckets)
            _add_ngrams(raw, vectors, parts)
    words = WordDecoder(path)
    words.add(raw)
    words.warn()
    return make_table(path, words.words, vectors, parts if subwords else None)


def _reader(path: Path, file: IO[bytes], layout: FastTextLayout) -> Callable[[int, int], Floats2d]:
    # What gives so many rows from one on.
    if layout.quantised:
        return Quantised(path, file, layout.offset, layout.width).rows

    def read(start: int, n_rows: int) -> Floats2d:
        file.seek(layout.offset + 4 * start * layout.width)
        numbers = np.fromfile(file, np.dtype("<f4"), n_rows * layout.width).reshape(n_rows, layout.width)
        return numbers.astype(np.float32, copy=False)

    return read


def _add_ngrams(words: List[bytes], vectors: Floats2d, parts: SubWords) -> None:
    # Makes rows of words, (n_words, width), the means of these and their n-grams.
    from gensim.models.fasttext import ft_hash_bytes, ft_ngram_hashes

    known = None if parts.buckets is None else dict(zip(parts.buckets.tolist(), range(len(parts.buckets))))

    def rows_of(word: bytes) -> List[int]:
        if word == _END_OF_SENTENCE:
            return []
        try:
            hashes = ft_ngram_hashes(word.decode("utf8"), parts.min_n, parts.max_n, parts.n_buckets)
        except UnicodeDecodeError:
            found = _byte_ngrams(b"<" + word + b">", parts.min_n, parts.max_n)
            hashes = [ft_hash_bytes(ngram) % parts.n_buckets for ngram in found]
        return hashes if known is None else [known[place] for place in hashes if place in known]

    for start in range(0, len(words), _BLOCK):
        block = vectors[start : start + _BLOCK]
        places = list(map(rows_of, words[start : start + _BLOCK]))
        counts = np.fromiter(map(len, places), np.int64, len(places))
        joined = np.fromiter(chain.from_iterable(places), np.int64)
        begins = np.cumsum(counts) - counts
        # one n-gram of each word at a time, in their order: float32 sums equal those of fastText and gensim
        for nth in range(counts.max(initial=0)):
            having = np.flatnonzero(counts > nth)
            block[having] += parts.ngrams[joined[begins[having] + nth]]
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
