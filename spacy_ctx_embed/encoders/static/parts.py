"""Rows of tokens from a table without words, in which the row of every word is made of parts: floret, model2vec.

Making a row costs more than looking one up, and words repeat: those that were made lately are remembered.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import LOWER, ORTH
from spacy.tokens import Doc

from spacy_ctx_embed.data import Floats2d, Status, Statuses1d, TokenRows
from spacy_ctx_embed.encoders.static.lookup import STATUS_BITS, STATUS_MASK, by_doc, lower, token_ids, tokens_at
from spacy_ctx_embed.encoders.static.settings import StaticSettings
from spacy_ctx_embed.models.static.tables.index import Ids1d, RecentWords, Rows1d
from spacy_ctx_embed.models.static.tables.subwords import Row
from spacy_ctx_embed.models.static.tables.table import VectorTable
from spacy_ctx_embed.segments.layout import layout_of

_LOCK = threading.Lock()  # of the module, because a lock can't be pickled
_BITS = 15  # of the memory of words
_MOST_BYTES = 1 << 25  # of rows that are remembered


class PartRows:
    """Makes rows of words, and remembers them.

    :param table: a table without words.
    :param policy: the config's policies. Of other spellings only the lower-cased word is tried, where no part of the
        word as written is known.
    """

    def __init__(self, table: VectorTable, policy: StaticSettings) -> None:
        self._table = table
        self._policy = policy
        self._mean: Optional[Row] = None
        self._forget()

    def __getstate__(self) -> Dict[str, Any]:
        return {"_table": self._table, "_policy": self._policy}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(state["_table"], state["_policy"])  # type: ignore[misc]

    def encode(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Make the rows of a batch.

        :param docs: ``n_docs`` Docs.
        :return: rows and statuses of each Doc.
        """
        layouts = [layout_of(doc) for doc in docs]
        ids = token_ids(docs, LOWER if self._policy.lowercase == "always" else ORTH)
        with _LOCK:
            codes, new = self._recent.get(ids)
            rows = self._rows.take(codes >> STATUS_BITS, axis=0, mode="clip")
        status = (codes & STATUS_MASK).astype(np.uint8)
        if new.size:
            words, where, which = np.unique(ids[new], return_index=True, return_inverse=True)
            made, found = self._make(docs, new[where])
            rows[new], status[new] = made[which], found[which]
            self._remember(words, made, found)
        if self._policy.oov == "mean":
            unknown = np.flatnonzero(status == Status.OOV)
            if unknown.size:
                self._mean = self._table.mean() if self._mean is None else self._mean
                rows[unknown], status[unknown] = self._mean, Status.FALLBACK
        return by_doc(layouts, rows, status, self._policy)

    def _make(self, docs: Sequence[Doc], where: Rows1d) -> Tuple[Floats2d, Statuses1d]:
        tokens = tokens_at(docs, where)
        words = [lower(token) if self._policy.lowercase == "always" else token.text for token in tokens]
        rows = np.zeros((len(words), self._table.width), np.float32)
        status = np.array([Status.SPACE if word.isspace() else Status.OOV for word in words], np.uint8)
        self._fill(rows, status, words, Status.OK)
        if self._policy.lowercase == "fallback":
            self._fill(rows, status, list(map(lower, tokens)), Status.FALLBACK)
        return rows, status

    def _fill(self, rows: Floats2d, status: Statuses1d, words: List[str], found_by: Status) -> None:
        # Writes rows of the words that have none yet, where parts of them are known.
        missing = np.flatnonzero(status == Status.OOV)
        parts = self._table.word_parts
        if missing.size and parts is not None:
            made, known = parts.rows([words[i] for i in missing.tolist()])
            rows[missing[known]], status[missing[known]] = made[known], found_by

    def _forget(self) -> None:
        self._recent = RecentWords(_BITS)
        n_rows = max(1, min(1 << (_BITS + 1), _MOST_BYTES // (4 * self._table.width)))
        self._rows: NDArray[np.float32] = np.zeros((n_rows, self._table.width), np.float32)
        self._n_rows = 0

    def _remember(self, ids: Ids1d, rows: Floats2d, status: Statuses1d) -> None:
        with _LOCK:
            if self._n_rows + len(ids) > len(self._rows):
                self._forget()
            start, end = self._n_rows, min(self._n_rows + len(ids), len(self._rows))
            self._rows[start:end] = rows[: end - start]
            codes = (np.arange(start, end) << STATUS_BITS) | status[: end - start]
            self._recent.put(ids[: end - start], codes)
            self._n_rows = end
