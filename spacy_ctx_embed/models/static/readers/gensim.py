"""gensim's own files, which are pickles, through gensim.

Enters: a file that the config allows to be loaded. Leaves: a :class:`VectorTable`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from spacy_ctx_embed.errors import ModelFormatError, unreadable
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_ACCEPTED, _FIX = "a complete file of word vectors", "fetch or save it again"

if TYPE_CHECKING:
    from gensim.models import KeyedVectors


def read_pickle(path: Path, *, limit: Optional[int], subwords: bool) -> VectorTable:
    """Load gensim's own format, which runs whatever code is in the file: only where the config allows it.

    :param path: the file, compressed or not; the arrays that gensim keeps beside it are found by its name.
    :param limit: how many words to keep, from the first on; null for all.
    :param subwords: whether to keep fastText's n-grams.
    :return: the table.
    :raises ModelFormatError: if it is damaged, or holds something else.
    """
    from gensim.models import KeyedVectors
    from gensim.utils import SaveLoad

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of older versions: deprecated NumPy names, renamed attributes
            loaded: Any = SaveLoad.load(str(path))
    except Exception as error:  # unpickling raises anything
        if isinstance(error, AttributeError) and error.name == "_load_specials":  # what gensim calls on its objects
            raise _foreign(path, error.obj) from error
        raise unreadable(path, error, accepted=_ACCEPTED, fix=_FIX) from error
    vectors = getattr(loaded, "wv", loaded)
    if not isinstance(vectors, KeyedVectors):
        raise _foreign(path, loaded)
    return _from_gensim(path, vectors, limit, subwords)


def _from_gensim(path: Path, vectors: KeyedVectors, limit: Optional[int], subwords: bool) -> VectorTable:
    from gensim.models.fasttext import FastTextKeyedVectors

    parts = None
    if subwords and isinstance(vectors, FastTextKeyedVectors) and vectors.bucket > 0 and vectors.max_n > 0:
        ngrams = np.ascontiguousarray(vectors.vectors_ngrams, dtype=np.float32)
        parts = SubWords(ngrams, int(vectors.min_n), int(vectors.max_n))
    words = list(vectors.index_to_key)
    while words and words[-1] is None:  # gensim 4 leaves room where it dropped a repeated word
        words.pop()
    return make_table(path, words, vectors.vectors[: len(words)], parts, limit)


def _foreign(path: Path, loaded: object) -> ModelFormatError:
    reason = f"it holds a {type(loaded).__name__}, not word vectors"
    return unreadable(path, reason, accepted=_ACCEPTED, fix=_FIX)
