"""What computes static rows: a table of word vectors, or the vectors of the pipeline's own vocab.

Enters: Docs. Leaves: one :class:`TokenRows` per Doc, by the policies of :mod:`.lookup`.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import repeat
from pathlib import Path
from typing import Any, List, Optional, Sequence, cast

import numpy as np
import srsly
from spacy.attrs import ORTH
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.backends import get_array_ops

from spacy_ctx_embed.data import Floats2d, TokenRows
from spacy_ctx_embed.encoders.network import Network
from spacy_ctx_embed.encoders.static.lookup import Row, floret_rows, lookup
from spacy_ctx_embed.encoders.static.parts import PartRows
from spacy_ctx_embed.encoders.static.settings import StaticSettings
from spacy_ctx_embed.encoders.static.vocab_table import table_of_vocab
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.static.tables.folder import write_table
from spacy_ctx_embed.models.static.tables.index import Ids1d, RecentWords, Rows1d
from spacy_ctx_embed.models.static.tables.subwords import WordParts
from spacy_ctx_embed.models.static.tables.table import VectorTable

VOCAB_MARKER = "vocab.json"


class WordVectors(Network):
    """What looks words up."""

    kind = "static"

    @abstractmethod
    def encode(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Look up a batch.

        :param docs: ``n_docs`` Docs.
        :return: one :class:`TokenRows` per Doc, on the CPU.
        """

    def bind(self, vocab: Vocab) -> None:
        """Learn what depends on the vocab of the Docs.

        :param vocab: the pipeline's vocab.
        """


class TableVectors(WordVectors):
    """Looks words up in a table that it holds.

    :param table: the table.
    :param policy: the config's policies.
    """

    has_blanks = False

    def __init__(self, table: VectorTable, policy: StaticSettings) -> None:
        self.table = table
        self.policy = policy
        self.width = table.width
        self.recent: Optional[RecentWords] = RecentWords()
        self._index = table.word_index
        self._mean: Optional[Row] = None
        self._made = None if table.word_parts is None else PartRows(table, policy)

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the words and vectors: also of a matrix with a word list in another file."""
        return self.table.digest()

    def save(self, directory: Path) -> None:
        """Write the table.

        :param directory: an existing, empty folder.
        """
        write_table(directory, self.table)

    def encode(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Look up a batch.

        :param docs: ``n_docs`` Docs.
        :return: one :class:`TokenRows` per Doc.
        """
        if not docs:
            return []
        return lookup(docs, self, self.policy, ORTH) if self._made is None else self._made.encode(docs)

    def find(self, ids: Ids1d) -> Rows1d:
        """Find words.

        :param ids: ``(n_tokens,)`` spaCy ids.
        :return: ``(n_tokens,)`` row numbers, -1 for words not in the table.
        """
        return self._index.find(ids)

    def rows_of(self, places: Rows1d) -> Floats2d:
        """Copy rows.

        :param places: ``(n_tokens,)`` row numbers; a negative one gives any row.
        :return: ``(n_tokens, width)`` float32.
        """
        return self.table.take(places)

    def mean(self) -> Row:
        """Give the mean of all rows.

        :return: ``(width,)`` float32.
        """
        if self._mean is None:
            self._mean = self.table.mean()
        return self._mean

    def from_subwords(self, word: str) -> Optional[Row]:
        """Make the row of a word from its n-grams.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32, or ``None`` where it has no n-gram.
        """
        return cast(WordParts, self.table.subwords).row(word)


class VocabVectors(WordVectors):
    """Looks words up in ``doc.vocab.vectors``, as they are at that moment; spaCy saves them, this class nothing.

    :param policy: the config's policies.
    """

    def __init__(self, policy: StaticSettings) -> None:
        self.policy = policy
        self.width = 0
        self._table: Optional[TableVectors] = None  # where the vocab's vectors are such a table

    @property
    def checksum(self) -> str:
        """Zeros: there are no files."""
        return "0" * 64

    def bind(self, vocab: Vocab) -> None:
        """Take the width from a vocab.

        :param vocab: the pipeline's vocab.
        :raises ValueError: if it has no vectors, or none that ``oov = "subword"`` can work with.
        """
        vectors = vocab.vectors
        if not vectors.size:
            accepted = (
                "a pipeline with vectors: 'spacy init vectors' makes one, [initialize] vectors = … in the config "
                "loads them, or another 'name', such as 'glove-6b-50d'"
            )
            reason = "for the vectors of the pipeline's own vocab, which has none"
            raise ValueError(
                Errors.E011.format(owner=self.policy.owner, value="vocab", reason=reason, accepted=accepted)
            )
        table = table_of_vocab(vocab)
        has_parts = vectors.mode == "floret" or (table is not None and table.subwords is not None)
        if self.policy.oov == "subword" and not has_parts:
            raise no_subwords(self.policy.owner, "the vocab's vectors, whose mode is not floret")
        self.width = int(vectors.shape[1])

    def save(self, directory: Path) -> None:
        """Write a file that says where the vectors are.

        :param directory: an existing, empty folder.
        """
        srsly.write_json(directory / VOCAB_MARKER, {"name": "vocab"})

    def encode(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Look up a batch.

        :param docs: ``n_docs`` Docs of one vocab.
        :return: one :class:`TokenRows` per Doc, on the CPU.
        """
        if not docs:
            return []
        vectors = docs[0].vocab.vectors
        self.bind(docs[0].vocab)
        table = table_of_vocab(docs[0].vocab)
        if table is not None:
            if self._table is None or self._table.table is not table:
                self._table = TableVectors(table, self.policy)
            return self._table.encode(docs)
        if vectors.mode == "floret":
            return floret_rows(docs, vectors, self.policy)
        return lookup(docs, _VocabRows(vectors), self.policy, vectors.attr)


class _VocabRows:
    # A source of rows over spaCy's table of the default mode, for one batch; its data may be CuPy's.
    has_blanks = True
    recent: Optional[RecentWords] = None

    def __init__(self, vectors: Any) -> None:
        self._data = vectors.data
        self._rows = vectors.key2row
        self._ops = get_array_ops(vectors.data)
        self._mean: Optional[Row] = None

    def find(self, ids: Ids1d) -> Rows1d:
        return np.fromiter(map(self._rows.get, ids.tolist(), repeat(-1)), np.int64, len(ids))

    def rows_of(self, places: Rows1d) -> Floats2d:
        return self._ops.to_numpy(self._data[self._ops.xp.asarray(places)]).astype(np.float32, copy=False)

    def mean(self) -> Row:
        if self._mean is None:
            self._mean = self._ops.to_numpy(self._data.mean(axis=0, dtype="float64")).astype(np.float32)
        return self._mean

    def from_subwords(self, word: str) -> Optional[Row]:
        return None


def no_subwords(owner: str, table: str) -> ValueError:
    """Say that ``oov = "subword"`` and the table do not go together.

    :param owner: registered name.
    :param table: what has no n-grams.
    :return: the error to raise.
    """
    accepted = f"'zero' or 'mean' for {table}; 'subword' needs a fastText .bin file, or floret vectors in the vocab"
    return ValueError(Errors.E001.format(owner=owner, key="oov", value="subword", accepted=accepted))
