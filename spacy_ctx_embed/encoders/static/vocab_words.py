"""Words of spaCy's vocab in a table: by id, lower-cased where that is wanted, or by n-grams.

Enters: words, or ids as spaCy gives them. Leaves: row numbers and rows, for :mod:`.vocab_table`. An id of which the
StringStore has no string is looked up as it is; that it was not found is not remembered, as the string may come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union, cast

import numpy as np
from numpy.typing import NDArray
from spacy.strings import get_string_id

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.tables.index import Ids1d, RecentWords, Rows1d
from spacy_ctx_embed.models.static.tables.table import VectorTable

Key = Union[int, str]
Keys = Union[List[Key], Ids1d]
_REMEMBERED = 1 << 14  # rows


class VocabLookup:
    """Looks words up.

    :param table: the table.
    :param lowercase: "fallback" or "never".
    :param oov: "zero" or "subword".
    """

    def __init__(self, table: VectorTable, lowercase: str, oov: str) -> None:
        self.table = table
        self._lowers = lowercase == "fallback"
        self._has_parts = oov == "subword" or table.word_parts is not None
        self._recent = RecentWords()
        self._rows: Dict[Key, Optional[NDArray[np.float32]]] = {}

    def places(self, keys: Keys, strings: Any) -> Rows1d:
        """Find rows.

        :param keys: ``n`` words or their ids, as :func:`listed` gives them.
        :param strings: the StringStore that has the words.
        :return: ``(n,)`` row numbers; -1 for what has no vector, -2 for what may have one of its n-grams.
        """
        ids = _ids(keys)
        places, new = self._recent.get(ids)
        if not new.size:
            return places
        words, which = np.unique(ids[new], return_inverse=True)
        found = self.table.word_index.find(words)
        missing = np.flatnonzero(found < 0)
        settled = np.ones(len(words), dtype=bool)
        if missing.size:
            texts = _texts(words[missing], keys, strings)
            settled[missing] = [text is not None for text in texts]
            if self._lowers:
                lowered = np.array([get_string_id((text or "").lower()) for text in texts], dtype=np.uint64)
                found[missing] = self.table.word_index.find(lowered)
            if self._has_parts:
                spelled = np.array([bool((text or "").strip()) for text in texts], dtype=bool)
                found[missing[(found[missing] < 0) & spelled]] = -2
        places[new] = found[which]
        self._recent.put(words[settled], found[settled])
        return places

    def rows(self, keys: Keys, strings: Any) -> Floats2d:
        """Copy rows.

        :param keys: ``n`` words or their ids, as :func:`listed` gives them.
        :param strings: the StringStore that has the words.
        :return: ``(n, width)`` float32; zeros for words without a vector.
        """
        places = self.places(keys, strings)
        rows = self.table.take(places)
        for i in np.flatnonzero(places < 0).tolist():
            made = self._from_parts(keys[i], strings) if places[i] < -1 else None
            rows[i] = 0 if made is None else made
        return rows

    def row(self, key: Key, strings: Any) -> Optional[NDArray[np.float32]]:
        """Give the row of one word. spaCy asks for a word at a time, so that the last ones are remembered.

        :param key: the word or its id.
        :param strings: the StringStore that has the words.
        :return: ``(width,)`` float32, read-only; ``None`` where the word has no vector.
        """
        if key in self._rows:
            return self._rows[key]
        place = int(self.places([key], strings)[0])
        row: Optional[NDArray[np.float32]] = None
        if place >= 0:
            row = self.table.take(np.array([place]))[0]
        elif place < -1:
            row = self._from_parts(key, strings)
        if row is not None:
            row.flags.writeable = False
        elif _text(key, strings) is None:
            return None
        if len(self._rows) >= _REMEMBERED:
            self._rows.clear()
        self._rows[key] = row
        return row

    def _from_parts(self, key: Key, strings: Any) -> Optional[NDArray[np.float32]]:
        # (width,) float32 from the n-grams of a word that the table does not have; None where it has none.
        word = _text(key, strings)
        return None if word is None or self.table.subwords is None else self.table.subwords.row(word)


class KeyToRow(Mapping):
    """Word id -> row number, over the index of a table.

    :param table: the table.
    """

    def __init__(self, table: VectorTable) -> None:
        self._index = table.word_index

    def __getitem__(self, key: int) -> int:
        row = int(self._index.find(np.array([key], dtype=np.uint64))[0])
        if row < 0:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[int]:
        return iter(self._index.ids[:-1].tolist())

    def __len__(self) -> int:
        return len(self._index.ids) - 1


def listed(keys: Iterable[Key]) -> Keys:
    """Make of words or ids what can be read twice.

    :param keys: ``n`` words or ids, or an array of ids in NumPy or CuPy.
    :return: a list, or ``(n,)`` uint64.
    """
    if hasattr(keys, "get") and hasattr(keys, "dtype"):  # CuPy's
        keys = keys.get()
    return keys.astype(np.uint64, copy=False).reshape(-1) if isinstance(keys, np.ndarray) else list(keys)


def _ids(keys: Keys) -> Ids1d:
    if isinstance(keys, np.ndarray):
        return keys
    ids: List[int] = [int(get_string_id(key)) for key in keys]
    return np.array(ids, dtype=np.uint64)


def _texts(ids: Ids1d, keys: Keys, strings: Any) -> List[Optional[str]]:
    # The words of some of the keys' ids; None where neither the keys nor the StringStore have one.
    words = () if isinstance(keys, np.ndarray) else [key for key in keys if isinstance(key, str)]
    spelled = {int(get_string_id(word)): word for word in words}
    return [spelled.get(key, _text(key, strings)) for key in ids.tolist()]


def _text(key: Key, strings: Any) -> Optional[str]:
    if isinstance(key, str):
        return key
    return cast(str, strings[int(key)]) if int(key) in strings else None
