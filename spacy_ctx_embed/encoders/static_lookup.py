"""From the tokens of a Doc to rows of a static table, and what happens to a token that the table does not have.

Words are looked up a batch at a time by their spaCy ids, in a handful of NumPy calls; only tokens without a vector
are looked at further. The policies, in the order in which they apply:

1. whitespace: a zero row, ``space``;
2. the word, or its lower-cased form as ``lowercase`` says, is in the table: its row, ``ok`` or ``fallback``;
3. ``oov``: a zero row, ``oov``; or the table's mean or the mean of the word's n-grams, ``fallback``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Protocol, Sequence, cast

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LOWER
from spacy.tokens import Doc, Token
from thinc.backends import get_array_ops

from spacy_ctx_embed.data import Floats2d, Status, Statuses1d, TokenRows
from spacy_ctx_embed.models.word_index import Ids1d, Rows1d

Row = NDArray[np.float32]
LOWERCASE = ("fallback", "always", "never")
OOV = ("zero", "mean", "subword")
_TINY, _HUGE = 1e-20, 1e30  # squared lengths between which float32 loses nothing
_FEW = 4  # below one token in so many, asking each is faster than Doc.to_array


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


class Source(Protocol):
    """Where rows come from. ``has_blanks`` is true where whitespace may have a row, which is then not used."""

    has_blanks: bool

    def find(self, ids: Ids1d) -> Rows1d:
        """Give the row numbers of spaCy ids, -1 for words that are not there."""

    def rows_of(self, places: Rows1d) -> Floats2d:
        """Copy rows, ``(n_tokens, width)``; a negative place gives any row."""

    def mean(self) -> Row:
        """Give the mean of all rows, ``(width,)``."""

    def from_subwords(self, word: str) -> Optional[Row]:
        """Make a row ``(width,)`` from a word's n-grams; ``None`` where it has none."""


def lookup(docs: Sequence[Doc], source: Source, policy: Policy, attr: int) -> List[TokenRows]:
    """Look the words of a batch up, all at once.

    :param docs: ``n_docs`` Docs.
    :param source: the table.
    :param policy: the config's policies.
    :param attr: spaCy's attribute that the table is keyed by, ORTH or LOWER.
    :return: rows and statuses of each Doc: slices of two arrays that the whole batch shares.
    """
    first = LOWER if policy.lowercase == "always" else attr
    second = LOWER if policy.lowercase == "fallback" else first
    ids = _ids(docs, first) if first == second else _ids(docs, first, second)  # (n_tokens, 1 or 2)
    places = source.find(ids[:, 0])
    rows = source.rows_of(places)
    status = np.zeros(len(rows), np.uint8)
    missing = np.flatnonzero(places < 0)
    if missing.size and first != second:
        places = source.find(ids[missing, 1])
        rows[missing] = source.rows_of(places)
        status[missing] = Status.FALLBACK
        missing = missing[places < 0]
    if missing.size:
        _fill_missing(docs, source, policy, rows, status, missing)
    if source.has_blanks:
        blank = _is_space(docs, np.arange(len(rows)))
        rows[blank], status[blank] = 0, Status.SPACE
    return _by_doc(docs, rows, status, policy)


def floret_rows(docs: Sequence[Doc], vectors: Any, policy: Policy) -> List[TokenRows]:
    """Make the rows of a batch from floret vectors, where every word has one, of its n-grams.

    :param docs: ``n_docs`` Docs of one vocab.
    :param vectors: its vectors, in the floret mode.
    :param policy: the config's policies; ``oov`` has nothing to do.
    :return: rows and statuses of each Doc.
    """
    ids = _ids(docs, LOWER if policy.lowercase == "always" else vectors.attr)[:, 0]
    blank = _is_space(docs, np.arange(len(ids)))
    status = np.where(blank, Status.SPACE, Status.OK).astype(np.uint8)
    rows = np.zeros((len(ids), vectors.shape[1]), np.float32)
    if not blank.all():
        rows[~blank] = get_array_ops(vectors.data).to_numpy(vectors.get_batch(ids[~blank].tolist()))
    return _by_doc(docs, rows, status, policy)


def unit_length(rows: Floats2d) -> Floats2d:
    """Scale rows to length 1; a zero row stays zero.

    :param rows: ``(n_tokens, width)`` float32.
    :return: a new array of that shape.
    """
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    extreme = np.flatnonzero(~((squares > _TINY) & (squares < _HUGE)))
    norms = np.sqrt(squares)
    if extreme.size:  # float64, in which also the squares of the smallest and largest float32 numbers are numbers
        wide = rows[extreme].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        norms[extreme] = 1
        scaled = rows / norms[:, None]
        scaled[extreme] = wide / np.where(lengths > 0, lengths, 1)[:, None]
        return scaled
    return rows / norms[:, None]


def _fill_missing(
    docs: Sequence[Doc], source: Source, policy: Policy, rows: Floats2d, status: Statuses1d, missing: Rows1d
) -> None:
    # Writes into the arrays of lookup, which has just made them, the rows of tokens that the table does not have.
    rows[missing] = 0
    blank = _is_space(docs, missing)
    status[missing] = np.where(blank, Status.SPACE, Status.OOV)
    missing = missing[~blank]
    if policy.oov == "mean" and missing.size:
        rows[missing], status[missing] = source.mean(), Status.FALLBACK
    if policy.oov == "subword":
        made: Dict[str, Optional[Row]] = {}  # each distinct word is computed once
        for place, token in zip(missing.tolist(), _tokens(docs, missing)):
            word = token.lower_ or token.text.lower() if policy.lowercase == "always" else token.text
            if word not in made:
                made[word] = source.from_subwords(word)
            row = made[word]
            if row is not None:
                rows[place], status[place] = row, Status.FALLBACK


def _by_doc(docs: Sequence[Doc], rows: Floats2d, status: Statuses1d, policy: Policy) -> List[TokenRows]:
    if policy.normalize:
        rows = unit_length(rows)
    if len(docs) == 1:
        return [TokenRows(rows, status)]
    ends = np.cumsum([len(doc) for doc in docs]).tolist()
    return [TokenRows(rows[end - len(doc) : end], status[end - len(doc) : end]) for doc, end in zip(docs, ends)]


def _ids(docs: Sequence[Doc], *attrs: int) -> Ids1d:
    # (n_tokens, n_attrs) spaCy ids of the whole batch.
    columns = [cast(Ids1d, doc.to_array(list(attrs))).reshape(len(doc), len(attrs)) for doc in docs]
    ids = columns[0] if len(columns) == 1 else np.concatenate(columns)
    if LOWER in attrs and not _has_getter(docs[0], LOWER):
        words = [token.text.lower() for doc in docs for token in doc]
        ids[:, attrs.index(LOWER)] = [docs[0].vocab.strings.add(word) for word in words]
    return ids


def _is_space(docs: Sequence[Doc], tokens: Rows1d) -> NDArray[np.bool_]:
    # tokens: numbers of tokens in the batch.
    if not _has_getter(docs[0], IS_SPACE):
        return np.array([token.text.isspace() for token in _tokens(docs, tokens)], dtype=bool)
    if len(tokens) * _FEW < sum(map(len, docs)):
        return np.array([token.is_space for token in _tokens(docs, tokens)], dtype=bool)
    return np.concatenate([doc.to_array(IS_SPACE) for doc in docs])[tokens].astype(bool)


def _tokens(docs: Sequence[Doc], tokens: Rows1d) -> List[Token]:
    if len(docs) == 1:
        return [docs[0][token] for token in tokens.tolist()]
    starts = np.cumsum([0, *map(len, docs)])
    owners = np.searchsorted(starts, tokens, side="right") - 1
    return [docs[owner][token] for owner, token in zip(owners.tolist(), (tokens - starts[owners]).tolist())]


def _has_getter(doc: Doc, attr: int) -> bool:
    # A bare Vocab() computes no attributes: its lexemes say 0 for LOWER and IS_SPACE.
    return attr in (getattr(doc.vocab, "lex_attr_getters", None) or {})
