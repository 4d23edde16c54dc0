"""From the tokens of a Doc to rows of a static table, and what happens to a token that the table does not have.

Words are looked up a batch at a time by their spaCy ids, in a handful of NumPy calls; only tokens without a vector
are looked at further. The policies, in the order in which they apply:

1. whitespace: a zero row, ``space``;
2. the word, or its lower-cased form as ``lowercase`` says, is in the table: its row, ``ok`` or ``fallback``;
3. another spelling that ``fallbacks`` names is, or parts of the word are: that row, or the mean of theirs, and a status
   that says which;
4. ``oov``: a zero row, ``oov``; or the table's mean or the mean of the word's n-grams, ``fallback``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Protocol, Sequence, cast

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import LOWER, ORTH
from spacy.tokens import Doc, Token
from thinc.backends import get_array_ops

from spacy_ctx_embed.data import Floats2d, Layout, Status, Statuses1d, TokenRows
from spacy_ctx_embed.encoders.static.fallbacks import PARTS, parts_of, spellings
from spacy_ctx_embed.encoders.static.settings import StaticSettings
from spacy_ctx_embed.models.static.tables.index import Ids1d, RecentWords, Rows1d, word_ids
from spacy_ctx_embed.segments.layout import layout_of
from spacy_ctx_embed.segments.spaces import whitespace

Row = NDArray[np.float32]
_TINY, _HUGE = 1e-20, 1e30  # squared lengths between which float32 loses nothing
STATUS_BITS, STATUS_MASK = 4, 15  # of a code: the row number is above
_SPACE, _OOV = int(Status.SPACE), int(Status.OOV)  # plain numbers: an enum member is slow in array arithmetic


class Source(Protocol):
    """Where rows come from. ``has_blanks`` is true where whitespace may have a row, which is then not used.

    ``recent`` remembers what was found for words, or is ``None`` where the table may change.
    """

    has_blanks: bool
    recent: Optional[RecentWords]

    def find(self, ids: Ids1d) -> Rows1d:
        """Give the row numbers of spaCy ids, -1 for words that are not there."""

    def rows_of(self, places: Rows1d) -> Floats2d:
        """Copy rows, ``(n_tokens, width)``; a negative place gives any row."""

    def mean(self) -> Row:
        """Give the mean of all rows, ``(width,)``."""

    def from_subwords(self, word: str) -> Optional[Row]:
        """Make a row ``(width,)`` from a word's n-grams; ``None`` where it has none."""


def lookup(docs: Sequence[Doc], source: Source, policy: StaticSettings, attr: int) -> List[TokenRows]:
    """Look the words of a batch up, all at once.

    :param docs: ``n_docs`` Docs.
    :param source: the table.
    :param policy: the config's policies.
    :param attr: spaCy's attribute that the table is keyed by, ORTH or LOWER.
    :return: rows and statuses of each Doc: slices of two arrays that the whole batch shares.
    """
    layouts = [layout_of(doc) for doc in docs]
    if policy.lowercase == "always":
        attr = LOWER
    ids = _join([layout.orths for layout in layouts]) if attr == ORTH else token_ids(docs, attr)
    codes = _codes(docs, source, policy, ids)
    rows = source.rows_of(codes >> STATUS_BITS)
    status = (codes & STATUS_MASK).astype(np.uint8)
    missing = (codes < 0).nonzero()[0]
    if missing.size:
        rows[missing] = 0
        unknown = missing[status[missing] == _OOV]
        if PARTS in policy.fallbacks and unknown.size:
            _fill_from_parts(docs, source, policy, rows, status, unknown)
            unknown = unknown[status[unknown] == _OOV]
        if policy.oov != "zero" and unknown.size:
            _fill_unknown(docs, source, policy, rows, status, unknown)
    if source.has_blanks:
        blank = np.concatenate([whitespace(doc) for doc in docs])
        rows[blank], status[blank] = 0, Status.SPACE
    return by_doc(layouts, rows, status, policy)


def floret_rows(docs: Sequence[Doc], vectors: Any, policy: StaticSettings) -> List[TokenRows]:
    """Make the rows of a batch from floret vectors, where every word has one, of its n-grams.

    :param docs: ``n_docs`` Docs of one vocab.
    :param vectors: its vectors, in the floret mode.
    :param policy: the config's policies; ``oov`` has nothing to do.
    :return: rows and statuses of each Doc.
    """
    layouts = [layout_of(doc) for doc in docs]
    ids = token_ids(docs, LOWER if policy.lowercase == "always" else vectors.attr)
    blank = np.concatenate([whitespace(doc) for doc in docs])
    status = np.where(blank, Status.SPACE, Status.OK).astype(np.uint8)
    rows = np.zeros((len(ids), vectors.shape[1]), np.float32)
    if not blank.all():
        rows[~blank] = get_array_ops(vectors.data).to_numpy(vectors.get_batch(ids[~blank].tolist()))
    return by_doc(layouts, rows, status, policy)


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


def _codes(docs: Sequence[Doc], source: Source, policy: StaticSettings, ids: Ids1d) -> Rows1d:
    # (n_tokens,) for each token its row number, negative for none, and below it, in STATUS_BITS bits, its status.
    recent = source.recent
    codes, new = recent.get(ids) if recent is not None else (np.empty(len(ids), np.int64), np.arange(len(ids)))
    if new.size:
        words, where, which = np.unique(ids[new], return_index=True, return_inverse=True)
        found = _resolve(docs, source, policy, words, new[where])
        codes[new] = found[which]
        if recent is not None:
            recent.put(words, found)
    return codes


def _resolve(docs: Sequence[Doc], source: Source, policy: StaticSettings, ids: Ids1d, where: Rows1d) -> Rows1d:
    # The codes of distinct words; word i stands at token where[i] of the batch.
    places = source.find(ids)
    status = np.zeros(len(ids), np.int64)
    missing = np.flatnonzero(places < 0)
    tokens = tokens_at(docs, where[missing])
    status[missing] = [Status.SPACE if token.text.isspace() else Status.OOV for token in tokens]
    if policy.lowercase == "fallback" and missing.size:
        places[missing] = source.find(word_ids([lower(token) for token in tokens]))
        places[status == _SPACE] = -1
        status[missing[places[missing] >= 0]] = Status.FALLBACK
    if policy.fallbacks and missing.size:
        words = [lower(token) if policy.lowercase == "always" else token.text for token in tokens]
        _respell(source, policy, missing, words, places, status)
    return cast(Rows1d, (places << STATUS_BITS) | status)


def _respell(
    source: Source, policy: StaticSettings, missing: Rows1d, words: List[str], places: Rows1d, status: Rows1d
) -> None:
    # Writes into the arrays of _resolve what other spellings give for the words that are still not found.
    for found_by, spelled in spellings(words, policy.fallbacks, policy.lowercase != "never"):
        still = np.flatnonzero(status[missing] == _OOV)
        if not still.size:
            return
        found = source.find(word_ids([spelled[i] for i in still.tolist()]))
        hit = missing[still[found >= 0]]
        places[hit], status[hit] = found[found >= 0], found_by


def _fill_from_parts(
    docs: Sequence[Doc], source: Source, policy: StaticSettings, rows: Floats2d, status: Statuses1d, unknown: Rows1d
) -> None:
    # Writes into the arrays of lookup, which has just made them, the means of the parts of hyphenated words.
    for place, token in zip(unknown.tolist(), tokens_at(docs, unknown)):
        parts = parts_of(token.text)
        if not parts:
            continue
        lowered = [part.lower() for part in parts]
        found = source.find(word_ids(lowered if policy.lowercase == "always" else parts))
        if policy.lowercase == "fallback":
            found = np.where(found < 0, source.find(word_ids(lowered)), found)
        if (found >= 0).any():
            rows[place] = source.rows_of(found[found >= 0]).mean(axis=0)
            status[place] = Status.PARTS


def _fill_unknown(
    docs: Sequence[Doc], source: Source, policy: StaticSettings, rows: Floats2d, status: Statuses1d, unknown: Rows1d
) -> None:
    # Writes into the arrays of lookup, which has just made them, what ``oov`` gives for unknown words.
    if policy.oov == "mean":
        rows[unknown], status[unknown] = source.mean(), Status.FALLBACK
        return
    made: Dict[str, Optional[Row]] = {}  # each distinct word is computed once
    for place, token in zip(unknown.tolist(), tokens_at(docs, unknown)):
        word = lower(token) if policy.lowercase == "always" else token.text
        if word not in made:
            made[word] = source.from_subwords(word)
        row = made[word]
        if row is not None:
            rows[place], status[place] = row, Status.FALLBACK


def by_doc(layouts: Sequence[Layout], rows: Floats2d, status: Statuses1d, policy: StaticSettings) -> List[TokenRows]:
    """Give each Doc its part of a batch.

    :param layouts: the layout of each Doc.
    :param rows: ``(n_tokens, width)`` float32 of all.
    :param status: ``(n_tokens,)`` statuses of all.
    :param policy: the config's policies, of which ``normalize`` is applied here.
    :return: rows and statuses of each Doc.
    """
    if policy.normalize:
        rows = unit_length(rows)
    if len(layouts) == 1:
        return [TokenRows(rows, status, layouts[0])]
    ends = np.cumsum([len(layout) for layout in layouts]).tolist()
    return [
        TokenRows(rows[end - len(layout) : end], status[end - len(layout) : end], layout)
        for layout, end in zip(layouts, ends)
    ]


def token_ids(docs: Sequence[Doc], attr: int) -> Ids1d:
    """Give the spaCy ids of a whole batch.

    :param docs: Docs of one vocab.
    :param attr: spaCy's attribute.
    :return: ``(n_tokens,)`` ids.
    """
    if attr == LOWER and not _has_getter(docs[0], LOWER):
        words = [token.text.lower() for doc in docs for token in doc]
        return np.array([docs[0].vocab.strings.add(word) for word in words], dtype=np.uint64)
    return _join([cast(Ids1d, doc.to_array([attr])).reshape(-1) for doc in docs])


def _join(parts: List[Ids1d]) -> Ids1d:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def lower(token: Token) -> str:
    """Give a token's word in lower case.

    :param token: a token.
    :return: as its lexeme has it.
    """
    return token.lower_ or token.text.lower()  # a bare Vocab() computes no attributes


def tokens_at(docs: Sequence[Doc], tokens: Rows1d) -> List[Token]:
    """Give tokens of a batch.

    :param docs: Docs.
    :param tokens: ``(n,)`` places of tokens in the batch, counted through all Docs.
    :return: the tokens.
    """
    if len(docs) == 1:
        return [docs[0][token] for token in tokens.tolist()]
    starts = np.cumsum([0, *map(len, docs)])
    owners = np.searchsorted(starts, tokens, side="right") - 1
    return [docs[owner][token] for owner, token in zip(owners.tolist(), (tokens - starts[owners]).tolist())]


def _has_getter(doc: Doc, attr: int) -> bool:
    # A bare Vocab() computes no attributes: its lexemes say 0 for LOWER.
    return attr in (getattr(doc.vocab, "lex_attr_getters", None) or {})
