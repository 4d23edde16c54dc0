"""gensim's own files, which are pickles, through gensim; or without it where they are too old for it.

Enters: a file that the config allows to be loaded. Leaves: a :class:`VectorTable`. gensim 4 loads what gensim 1 to 4
saved, but no model of 0.12 and 0.13, no older Doc2Vec, and no FastText from before 3.8. Of these words and their rows
are taken; n-grams are not, as they were hashed in a way that no other version knows.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import numpy as np

from spacy_ctx_embed.errors import ModelFormatError, unreadable
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_ACCEPTED, _FIX = "a complete file of word vectors", "fetch or save it again"

# What the pickles of old models need; all else in them becomes an object without behaviour.
_PLAIN = {
    "builtins": (
        "object",
        "set",
        "frozenset",
        "list",
        "dict",
        "tuple",
        "int",
        "float",
        "complex",
        "str",
        "bytes",
        "range",
    ),
    "__builtin__": ("object", "set", "frozenset", "list", "dict", "tuple", "int", "float", "complex", "long"),
    "collections": ("OrderedDict", "defaultdict"),
    "copyreg": ("_reconstructor",),
    "copy_reg": ("_reconstructor",),
    "_codecs": ("encode",),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
}

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
        old = _read_old(path)
        if old is not None:
            return make_table(path, *old, limit=limit)
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


class _Kept:
    # An object of a class that is not there any more: its attributes, and nothing that it did.

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        return type(name, (_Kept,), {})


def _read_old(path: Path) -> Optional[Tuple[List[str], Any]]:
    # Words and rows of a model that gensim can't load; None where there are none to be found.
    from gensim.utils import open as open_any

    try:
        with warnings.catch_warnings(), open_any(str(path), "rb") as file:
            warnings.simplefilter("ignore")  # old names in NumPy
            model: Any = _Unpickler(file, encoding="latin1").load()
        owner, name = (model.wv, f"{path}.wv") if hasattr(model, "wv") else (model, str(path))
        apart = [key for key in ("vectors", "syn0") if key in getattr(owner, "__numpys", ())]
        found = np.load(f"{name}.{apart[0]}.npy") if apart else getattr(owner, "vectors", getattr(owner, "syn0", None))
        words = getattr(owner, "index2word", None) or getattr(owner, "index_to_key", None)
    except Exception:  # unpickling raises anything; the error of gensim's is the one to show
        return None
    return (list(words), found) if isinstance(found, np.ndarray) and isinstance(words, list) and words else None
