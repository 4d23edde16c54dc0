"""What computes static rows: a table of word vectors, or the vectors of the pipeline's own vocab.

Enters: Docs. Leaves: one :class:`TokenRows` per Doc. Words are looked up a Doc at a time by their spaCy ids, in a
handful of NumPy calls; only tokens without a vector are looked at further. Policies, in the order they apply:

1. whitespace: a zero row, ``space``;
2. the word, or its lower-cased form as ``lowercase`` says, is in the table: its row, ``ok`` or ``fallback``;
3. ``oov``: a zero row, ``oov``; or the table's mean or the mean of the word's n-grams, ``fallback``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, cast

import numpy as np
import srsly
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LOWER, ORTH
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.vectors import Mode, Vectors
from spacy.vocab import Vocab
from thinc.api import get_array_ops

from spacy_ctx_embed.data import Floats2d, Status, Statuses1d, TokenRows
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.tables import SubWords, VectorTable
from spacy_ctx_embed.models.word_index import Ids1d, Rows1d, index_words

LOWERCASE = ("fallback", "always", "never")
OOV = ("zero", "mean", "subword")
VOCAB_MARKER = "vocab.json"
_MeanRow = NDArray[np.float32]


@dataclass(frozen=True)
class Policy:
    """What the config says about words that the table does not have as they are written.

    :param lowercase: one of :data:`LOWERCASE`.
    :param oov: one of :data:`OOV`.
    :param normalize: whether rows get unit length.
    """

    lowercase: str
    oov: str
    normalize: bool


class _Source(Protocol):
    # Where rows come from. rows_of gives them for row numbers; negative ones are asked for too, and overwritten.
    def find(self, ids: Ids1d) -> Rows1d: ...
    def rows_of(self, places: Rows1d) -> Floats2d: ...
    def mean(self) -> _MeanRow: ...
    def from_subwords(self, word: str) -> Optional[_MeanRow]: ...


class TableNetwork:
    """Looks words up in a table that it holds.

    :param table: the table.
    :param policy: the config's policies.
    """

    kind = "static"
    module = None

    def __init__(self, table: VectorTable, policy: Policy) -> None:
        self.table = table
        self.policy = policy
        self.width = table.width
        self._index = index_words(table.words)
        self._mean: Optional[_MeanRow] = None

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the words and vectors: also of a matrix with a word list in another file."""
        return self.table.digest()

    def save(self, directory: Path) -> None:
        """Write the table.

        :param directory: an existing, empty folder.
        """
        self.table.save(directory)

    def encode(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Look up a batch.

        :param docs: ``n_docs`` Docs.
        :return: one :class:`TokenRows` per Doc, of arrays that nothing else refers to.
        """
        made: Dict[int, Optional[_MeanRow]] = {}
        return [_lookup(doc, self, self.policy, ORTH, made) for doc in docs]

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
        return self.table.vectors.take(places, axis=0, mode="clip")

    def mean(self) -> _MeanRow:
        """Give the mean of all rows.

        :return: ``(width,)`` float32.
        """
        if self._mean is None:
            self._mean = self.table.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        return self._mean

    def from_subwords(self, word: str) -> Optional[_MeanRow]:
        """Make the row of a word from its n-grams.

        :param word: a word that the table does not have.
        :return: ``(width,)`` float32, or ``None`` where it has no n-gram.
        """
        return cast(SubWords, self.table.subwords).row(word)


class VocabNetwork:
    """Looks words up in ``doc.vocab.vectors``, as they are at that moment; spaCy saves them, this class nothing.

    :param policy: the config's policies.
    :param owner: registered name, for messages.
    """

    kind = "static"
    module = None
    checksum = "0" * 64  # no files

    def __init__(self, policy: Policy, owner: str) -> None:
        self.policy = policy
        self.owner = owner
        self.width = 0

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
                Errors.E011.format(owner=self.owner, value="vocab", reason=reason, accepted=accepted)
            )
        if self.policy.oov == "subword" and vectors.mode != Mode.floret:
            raise no_subwords(self.owner, "the vocab's vectors, whose mode is not floret")
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
        made: Dict[int, Optional[_MeanRow]] = {}
        if vectors.mode == Mode.floret:
            first = LOWER if self.policy.lowercase == "always" else vectors.attr
            return [_floret_rows(doc, vectors, first, self.policy.normalize) for doc in docs]
        source = _VocabRows(vectors)
        return [_lookup(doc, source, self.policy, vectors.attr, made) for doc in docs]


class _VocabRows:
    # A source of rows over spaCy's table of the default mode, for one batch; its data may be CuPy's.
    def __init__(self, vectors: Vectors) -> None:
        self._data = vectors.data
        self._rows = vectors.key2row
        self._ops = get_array_ops(vectors.data)
        self._mean: Optional[_MeanRow] = None

    def find(self, ids: Ids1d) -> Rows1d:
        return np.fromiter(map(self._rows.get, ids.tolist(), repeat(-1)), np.int64, len(ids))

    def rows_of(self, places: Rows1d) -> Floats2d:
        return self._ops.to_numpy(self._data[self._ops.xp.asarray(places)]).astype(np.float32, copy=False)

    def mean(self) -> _MeanRow:
        if self._mean is None:
            self._mean = self._ops.to_numpy(self._data.mean(axis=0, dtype="float64")).astype(np.float32)
        return self._mean

    def from_subwords(self, word: str) -> Optional[_MeanRow]:
        return None


def no_subwords(owner: str, table: str) -> ValueError:
    """Say that ``oov = "subword"`` and the table do not go together.

    :param owner: registered name.
    :param table: what has no n-grams.
    :return: the error to raise.
    """
    accepted = f"'zero' or 'mean' for {table}; 'subword' needs a fastText .bin file, or floret vectors in the vocab"
    return ValueError(Errors.E001.format(owner=owner, key="oov", value="subword", accepted=accepted))


def _lookup(
    doc: Doc, source: _Source, policy: Policy, attr: int, made: Dict[int, Optional[_MeanRow]]
) -> TokenRows:
    # made: rows of this batch's out-of-vocabulary words by id, so that each is computed once.
    lower = policy.lowercase == "always"
    places = source.find(_lower_ids(doc) if lower else doc.to_array(attr))
    rows = source.rows_of(places)
    status = np.zeros(len(doc), np.uint8)
    missing = np.flatnonzero(places < 0)
    if missing.size:
        rows[missing] = 0
        _fill_missing(doc, source, policy, rows, status, missing, made)
    if isinstance(source, _VocabRows):  # our own tables leave whitespace out of their index
        blank = _is_space(doc)
        rows[blank], status[blank] = 0, Status.SPACE
    return TokenRows(_unit_length(rows) if policy.normalize else rows, status)


def _fill_missing(
    doc: Doc,
    source: _Source,
    policy: Policy,
    rows: Floats2d,
    status: Statuses1d,
    missing: Rows1d,
    made: Dict[int, Optional[_MeanRow]],
) -> None:
    # Writes into the arrays of _lookup, which has just made them.
    blank = _is_space(doc)[missing]
    status[missing] = np.where(blank, Status.SPACE, Status.OOV)
    missing = missing[~blank]
    if policy.lowercase == "fallback" and missing.size:
        places = source.find(_lower_ids(doc)[missing])
        found = places >= 0
        rows[missing[found]] = source.rows_of(places[found])
        status[missing[found]] = Status.FALLBACK
        missing = missing[~found]
    if policy.oov == "mean" and missing.size:
        rows[missing], status[missing] = source.mean(), Status.FALLBACK
    elif policy.oov == "subword" and missing.size:
        ids = _lower_ids(doc) if policy.lowercase == "always" else doc.to_array(ORTH)
        for token in missing.tolist():
            key = int(ids[token])
            if key not in made:
                made[key] = source.from_subwords(doc[token].text.lower() if policy.lowercase == "always" else doc[token].text)
            row = made[key]
            if row is not None:
                rows[token], status[token] = row, Status.FALLBACK


def _floret_rows(doc: Doc, vectors: Vectors, attr: int, normalize: bool) -> TokenRows:
    # Every word has a row, made of its n-grams.
    blank = _is_space(doc)
    status = np.where(blank, Status.SPACE, Status.OK).astype(np.uint8)
    rows = np.zeros((len(doc), vectors.shape[1]), np.float32)
    if not blank.all():
        ids = (_lower_ids(doc) if attr == LOWER else doc.to_array(attr))[~blank].tolist()
        rows[~blank] = get_array_ops(vectors.data).to_numpy(vectors.get_batch(ids))
    return TokenRows(_unit_length(rows) if normalize else rows, status)


def _unit_length(rows: Floats2d) -> Floats2d:
    # float64, in which the squares of the largest and smallest float32 numbers still are numbers
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    norms[norms == 0] = 1
    return (rows / norms[:, None]).astype(np.float32)


def _lower_ids(doc: Doc) -> Ids1d:
    # A bare Vocab() knows no attribute getters, and its lexemes have 0 as LOWER.
    ids = doc.to_array(LOWER)
    if LOWER not in doc.vocab.lex_attr_getters:
        ids = np.fromiter((get_string_id(token.text.lower()) for token in doc), np.uint64, len(doc))
    return ids


def _is_space(doc: Doc) -> NDArray[np.bool_]:
    flags: NDArray[Any] = doc.to_array(IS_SPACE)
    if IS_SPACE not in doc.vocab.lex_attr_getters:
        flags = np.fromiter((token.text.isspace() for token in doc), np.bool_, len(doc))
    return flags.astype(bool)
