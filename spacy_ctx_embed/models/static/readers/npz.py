"""NumPy's ``.npz``: a matrix and its words as two arrays of one file.

Enters: a file. Leaves: a :class:`VectorTable`. The arrays are told apart by shape and type, whatever their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.static.readers.word_bytes import WordDecoder
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

_ACCEPTED = "an .npz file with one array of numbers (n_words, width) and one of strings (n_words,)"
_FIX = "save it again, as by: numpy.savez(file, words=numpy.array(words), vectors=matrix)"


def read_npz(path: Path, plain: Path, *, limit: Optional[int], allow_pickle: bool) -> VectorTable:
    """Read a table. Words in an array of Python objects are a pickle, read only where pickles are allowed.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to keep, from the first on; null for all.
    :param allow_pickle: whether an array of Python objects may be loaded.
    :return: the table.
    :raises ModelFormatError: if it is damaged, or does not have one array of each kind.
    """
    arrays = _load(path, plain, allow_pickle)
    matrices = [array for array in arrays.values() if array.ndim == 2 and array.dtype.kind in "fiu"]
    lists = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind in "USO"]
    if len(matrices) == 1:  # of several lists, those as long as the matrix
        lists = [array for array in lists if len(array) == len(matrices[0])] or lists
    if len(matrices) != 1 or len(lists) != 1:
        shown = ", ".join(f"{name} ({array.dtype}, {array.shape})" for name, array in arrays.items())
        reason = f"it has {len(matrices)} matrices of numbers and {len(lists)} lists of words: {shown or 'no arrays'}"
        raise unreadable(path, reason, accepted=_ACCEPTED, fix=_FIX)
    return make_table(path, _words(path, lists[0]), matrices[0], limit=limit)


def _load(path: Path, plain: Path, allow_pickle: bool) -> Dict[str, NDArray[Any]]:
    try:
        with plain.open("rb") as stream, np.load(stream, allow_pickle=allow_pickle) as archive:
            return {name: _member(path, archive, name, allow_pickle) for name in archive.files}
    except ModelFormatError:
        raise
    except Exception as error:  # what a damaged head or archive makes NumPy raise has no type in common
        raise unreadable(path, error, accepted=_ACCEPTED, fix=_FIX) from error


def _member(path: Path, archive: Any, name: str, allow_pickle: bool) -> NDArray[Any]:
    try:
        return np.asarray(archive[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        reason = f"its array {name!r} holds Python objects"
        raise ModelFormatError(Errors.E014.format(file=path, reason=reason, key="allow_pickle")) from error
    except Exception as error:
        if not allow_pickle:
            raise
        raise unreadable(path, error, accepted=_ACCEPTED, fix=_FIX) from error  # unpickling raises anything


def _words(path: Path, words: NDArray[Any]) -> List[str]:
    if words.dtype.kind != "S":
        return list(words.tolist())
    decoder = WordDecoder(path)
    decoder.add(words.tolist())
    decoder.warn()
    return decoder.words
