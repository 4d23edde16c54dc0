"""Words of spaCy's vocab in a table: by id, lower-cased where that is wanted, or by n-grams.

Enters: ids as spaCy gives them. Leaves: row numbers and rows, for :mod:`.vocab_table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union

import numpy as np
from numpy.typing import NDArray
from spacy.strings import get_string_id

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.models.static.tables.index import Ids1d, RecentWords, Rows1d
from spacy_ctx_embed.models.static.tables.table import VectorTable

Key = Union[int, str]
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

    def places(self, ids: Ids1d, strings: Any) -> Rows1d:
        """Find rows.

        :param ids: ``(n,)`` word ids.
        :param strings: the StringStore that has the words.
        :return: ``(n,)`` row numbers; -1 for what has no vector, -2 for what may have one of its n-grams.
        """
        places, new = self._recent.get(ids)
        if not new.size:
            return places
        words, which = np.unique(ids[new], return_inverse=True)
        found = self.table.word_index.find(words)
        missing = np.flatnonzero(found < 0)
        if missing.size:
            texts = [strings[key] if key in strings else "" for key in words[missing].tolist()]  # noqa: SIM401
            if self._lowers:
                lowered = np.array([get_string_id(text.lower()) for text in texts], dtype=np.uint64)
                found[missing] = self.table.word_index.find(lowered)
            if self._has_parts:
                spelled = np.array([bool(text.strip()) for text in texts], dtype=bool)
                found[missing[(found[missing] < 0) & spelled]] = -2
        places[new] = found[which]
        self._recent.put(words, found)
        return places

    def rows(self, ids: Ids1d, strings: Any) -> Floats2d:
        """Copy rows.

        :param ids: ``(n,)`` word ids.
        :param strings: the StringStore that has the words.
        :return: ``(n, width)`` float32; zeros for words without a vector.
        """
        places = self.places(ids, strings)
        rows = self.table.take(places)
        for i in np.flatnonzero(places < 0).tolist():
            made = self.from_subwords(strings[int(ids[i])]) if places[i] < -1 else None
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
        ids = ids_of([key])
        place = int(self.places(ids, strings)[0])
        row: Optional[NDArray[np.float32]] = None
        if place >= 0:
            row = self.table.take(np.array([place]))[0]
        elif place < -1:
            row = self.from_subwords(strings[int(ids[0])])
        if row is not None:
            row.flags.writeable = False
        if len(self._rows) >= _REMEMBERED:
            self._rows.clear()
        self._rows[key] = row
        return row

    def from_subwords(self, word: str) -> Optional[NDArray[np.float32]]:
        """Make a row from a word's n-grams.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32; ``None`` where it has none.
        """
        return None if self.table.subwords is None else self.table.subwords.row(word)


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


def ids_of(keys: Iterable[Key]) -> Ids1d:
    """Give the ids of words.

    :param keys: ``n`` words or ids, as a list, or an array of ids in NumPy or CuPy.
    :return: ``(n,)`` uint64.
    """
    if hasattr(keys, "get") and hasattr(keys, "dtype"):  # CuPy's
        keys = keys.get()
    if isinstance(keys, np.ndarray):
        return keys.astype(np.uint64, copy=False).reshape(-1)
    listed: List[int] = [int(get_string_id(key)) for key in keys]
    return np.array(listed, dtype=np.uint64)
