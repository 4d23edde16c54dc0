"""Rows in ``doc.user_data``: one record per component, plain data that spaCy serialises by itself.

Enters: :class:`TokenRows` from a component. Leaves: :class:`Record`, whose arrays fit the tokens of today. All
records stand under one key, in the order in which the components ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, cast

import numpy as np
from spacy.tokens import Doc, Token

from spacy_ctx_embed.attach.retokenize import UnmatchedError, carry_rows, match_tokens
from spacy_ctx_embed.data import Floats2d, Layout, Statuses1d, TokenRows
from spacy_ctx_embed.errors import Errors, MissingEmbeddingsError
from spacy_ctx_embed.segments.layout import layout_of

KEY = "spacy_ctx_embed"
FORMAT = 1  # of the record; a reader refuses others


@dataclass(frozen=True)
class Record:
    """What one component left on a Doc.

    :param name: the component.
    :param rows: ``(n_tokens, width)``, float32 or float16, contiguous, read-only, on the CPU.
    :param uncorrected: the rows as the encoder gave them, for what learns from rows: those of ``rows`` themselves
        where the component has no ``correction``.
    :param status: ``(n_tokens,)`` :class:`Status` values.
    :param pooling: how Span and Doc vectors come from the rows.
    :param hooks: whether the component serves spaCy's own ``.vector`` too.
    :param layout: the tokens that the rows are for.
    :param text: ``(text_width,)`` vector of the whole text, read-only; ``None`` where it comes from the rows.
    :param extra: what the pooling needs besides rows: "head" (what comes after it), or "weights" ``(n_tokens,)`` and
        "common" ``(width,)``, the direction that it takes out.
    """

    name: str
    rows: Floats2d
    uncorrected: Floats2d
    status: Statuses1d
    pooling: str
    hooks: bool
    layout: Layout
    text: Optional[np.ndarray]
    extra: Dict[str, Any]


def write(
    doc: Doc,
    name: str,
    rows: TokenRows,
    *,
    pooling: str,
    hooks: bool,
    dtype: str,
    extra: Optional[Dict[str, Any]] = None,
    corrected: Optional[Floats2d] = None,
) -> None:
    """Put the rows of a component on a Doc; the component becomes the last that ran.

    :param doc: the Doc.
    :param name: the component.
    :param rows: one row and status per token.
    :param pooling: how Span and Doc vectors come from the rows.
    :param hooks: whether the component serves spaCy's own ``.vector`` too.
    :param dtype: "float32" or "float16".
    :param extra: what the pooling needs besides rows, as in :class:`Record`.
    :param corrected: ``(n_tokens, width)`` what is read instead of the rows, which are then kept beside it.
    """
    components = doc.user_data.setdefault(KEY, {})
    components.pop(name, None)
    components[name] = {
        "format": FORMAT,
        "rows": _own(rows.rows if corrected is None else corrected, dtype),
        "status": _own(rows.status, "uint8"),
        "pooling": pooling,
        "hooks": hooks,
        **_columns(rows.layout or layout_of(doc)),
        **({} if rows.text is None else {"text": _own(rows.text, dtype)}),
        **({"extra": extra} if extra else {}),
        **({} if corrected is None else {"uncorrected": _own(rows.rows, dtype)}),
    }


def names(doc: Doc) -> List[str]:
    """List the components that ran on a Doc.

    :param doc: any Doc.
    :return: their names, the last that ran at the end.
    """
    return list(doc.user_data.get(KEY, ()))


def last_name(doc: Doc, key: str) -> str:
    """Name the component that ran last.

    :param doc: any Doc.
    :param key: the attribute that asks, for the message.
    :return: its name.
    :raises MissingEmbeddingsError: if none ran.
    """
    components = doc.user_data.get(KEY)
    if not components:
        raise MissingEmbeddingsError(Errors.E021.format(key=key))
    return str(next(reversed(components)))


def hook_name(doc: Doc) -> str:
    """Name the component that serves spaCy's own ``.vector``: the last that ran with ``set_hooks``.

    :param doc: any Doc.
    :return: its name.
    :raises MissingEmbeddingsError: if none ran with ``set_hooks``.
    """
    components = doc.user_data.get(KEY, {})
    for name in reversed(components):
        if components[name]["hooks"]:
            return str(name)
    raise MissingEmbeddingsError(Errors.E021.format(key="vector"))


def read(doc: Doc, name: str) -> Record:
    """Read what a component left on a Doc, following merges and splits of tokens since.

    :param doc: the Doc.
    :param name: the component.
    :return: its record, one row for each token of today.
    :raises MissingEmbeddingsError: if the component did not run on this Doc.
    :raises ValueError: if the rows can't be matched to the tokens of today.
    """
    raw = _raw(doc, name)
    today = layout_of(doc)
    if not _layout(raw).same(today):
        raw = _follow(doc, name, raw, today)
    return _record(name, raw)


def read_token(token: Token, name: str) -> Tuple[np.ndarray, int]:
    """Read the row and status of one token, checking no other one.

    :param token: the token.
    :param name: the component.
    :return: ``(width,)`` row, read-only, and :class:`Status` value.
    :raises MissingEmbeddingsError: if the component did not run on this Doc.
    :raises ValueError: if the rows can't be matched to the tokens of today.
    """
    raw = _raw(token.doc, name)
    i = token.i
    if not _is_of_today(raw, token, i):
        record = read(token.doc, name)
        return record.rows[i], int(record.status[i])
    row = raw["rows"][i]
    row.flags.writeable = False
    return row, int(raw["status"][i])


def last_row(token: Token) -> np.ndarray:
    """Read the row of one token by the component that ran last: what is read most, and so by the shortest way.

    :param token: the token.
    :return: ``(width,)`` row, read-only.
    :raises MissingEmbeddingsError: if no component ran on this Doc.
    :raises ValueError: if the rows can't be matched to the tokens of today.
    """
    components = token.doc.user_data.get(KEY)
    if components:
        raw = components[next(reversed(components))]
        i = token.i
        if raw["format"] == FORMAT and _is_of_today(raw, token, i):
            row: np.ndarray = raw["rows"][i]
            row.flags.writeable = False
            return row
    return read_token(token, last_name(token.doc, "vector"))[0]


def _is_of_today(raw: Dict[str, Any], token: Token, i: int) -> bool:
    # Whether what is stored under a token's number is still that token's.
    starts = raw["starts"]
    return bool(len(starts) == len(token.doc) and starts.item(i) == token.idx and raw["orths"].item(i) == token.orth)


def _own(array: np.ndarray, dtype: str) -> np.ndarray:
    # An array of its own: a slice would keep the arrays of its whole batch alive.
    if array.base is None and array.dtype == dtype and array.flags.c_contiguous:
        return array
    return np.array(array, dtype=dtype, order="C")


def _raw(doc: Doc, name: str) -> Dict[str, Any]:
    components = doc.user_data.get(KEY, {})
    raw = components.get(name)
    if raw is None:
        if not components:
            raise MissingEmbeddingsError(Errors.E021.format(key=name))
        present = ", ".join(repr(n) for n in components)
        raise MissingEmbeddingsError(Errors.E020.format(name=name, present=present, example=_factory_of(name)))
    if raw["format"] != FORMAT:
        reason = f"they are stored in format {raw['format']}, this version reads {FORMAT}"
        raise ValueError(Errors.E022.format(name=name, reason=reason))
    return cast(Dict[str, Any], raw)


def _factory_of(name: str) -> str:
    known = ("static_embeddings", "elmo_embeddings", "bert_embeddings", "stacked_embeddings")
    return next((factory for factory in known if factory.split("_")[0] in name), "bert_embeddings")


def _layout(raw: Dict[str, Any]) -> Layout:
    return Layout(raw["starts"], raw["orths"], raw["end"])


def _columns(layout: Layout) -> Dict[str, Any]:
    return {"starts": layout.starts, "orths": layout.orths, "end": layout.end}


def _record(name: str, raw: Dict[str, Any]) -> Record:
    rows = _read_only(raw["rows"])
    uncorrected = _read_only(raw["uncorrected"]) if "uncorrected" in raw else rows
    text = None if raw.get("text") is None else _read_only(raw["text"])
    layout, extra = _layout(raw), raw.get("extra", {})
    return Record(name, rows, uncorrected, raw["status"], raw["pooling"], raw["hooks"], layout, text, extra)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _follow(doc: Doc, name: str, raw: Dict[str, Any], today: Layout) -> Dict[str, Any]:
    # The tokens changed since: carry the rows over, once, and keep the result in a record of its own, because
    # Span.as_doc(copy_user_data=True) shares the old one between two Docs.
    then = _layout(raw)
    try:
        first, last = match_tokens(then, today)
        _check_texts(doc, then, first, last, today)
    except UnmatchedError as error:
        raise ValueError(Errors.E022.format(name=name, reason=error)) from None
    rows, status = carry_rows(raw["rows"], raw["status"], first, last)
    followed = {**raw, "rows": rows, "status": status, **_columns(today)}  # the text, and its vector, is the same
    if "uncorrected" in raw:
        followed["uncorrected"], _ = carry_rows(raw["uncorrected"], raw["status"], first, last)
    extra = raw.get("extra", {})
    if "weights" in extra:
        weights, _ = carry_rows(extra["weights"][:, None], raw["status"], first, last)
        followed["extra"] = {**extra, "weights": weights[:, 0]}
    doc.user_data[KEY] = {**doc.user_data[KEY], name: followed}
    return followed


def _check_texts(doc: Doc, then: Layout, first: np.ndarray, last: np.ndarray, today: Layout) -> None:
    # Offsets fit; where the vocabulary still knows the former words, their characters must fit too.
    text = doc.text
    changed = np.flatnonzero((last - first > 1) | (then.orths[first] != today.orths))
    for old in {int(k) for i in changed for k in range(first[i], last[i])}:
        try:
            word = doc.vocab.strings[int(then.orths[old])]
        except KeyError:  # a Doc that was sent between processes brings only the words that it has today
            continue
        if not text.startswith(word, int(then.starts[old])):
            raise UnmatchedError("its text is not the text that the rows were computed for")
