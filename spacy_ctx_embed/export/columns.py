"""Docs to columns: which there are, of which Arrow types, and their values, with vectors as one block of memory.

Enters: Docs that went through the pipeline. Leaves: an Arrow table, one row per token, sentence, entity, span, chunk or
Doc. Vectors never become Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.attach.pooled import pool_record
from spacy_ctx_embed.attach.storage import Record
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.data import Ints1d, Status
from spacy_ctx_embed.export.selection import OWNER, Rows, find_rows
from spacy_ctx_embed.models.static.tables.numbers import round_rows
from spacy_ctx_embed.segments.layout import character_ranges

if TYPE_CHECKING:
    import pyarrow as pa

DTYPES = ("float32", "float16", "int8")
# Columns on request -> attribute of a token, or for longer rows of their Span.
EXTRA = ("lemma", "tag", "pos", "label")
_STATUSES = [status.label for status in sorted(Status)]


@dataclass(frozen=True)
class Embedded:
    """A document that went through the pipeline.

    :param name: its id.
    :param doc: its Doc.
    :param records: what each component left on it.
    """

    name: str
    doc: Doc
    records: Dict[str, Record]


@dataclass(frozen=True)
class Columns:
    """What the dataset has columns for.

    :param rows: what a row stands for.
    :param components: the embedding components, each with a column of its name.
    :param widths: width of each.
    :param dtype: "float32", "float16", or "int8" with a scale per row in the column ``NAME_scale``.
    :param extra: some of ``EXTRA``.
    """

    rows: Rows
    components: Tuple[str, ...]
    widths: Tuple[int, ...]
    dtype: str = "float32"
    extra: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        check_one_of(OWNER, "--dtype", self.dtype, DTYPES)
        for name in self.extra:
            check_one_of(OWNER, "--column", name, EXTRA if self.rows.kind == "token" else ("lemma",))
        if self.rows.kind == "word" and self.extra:
            check_one_of(OWNER, "--column", self.extra[0], ("none, with --rows word",))

    @property
    def statuses(self) -> Dict[str, str]:
        """Of token rows, the columns of statuses: column -> component. ``status`` is of the last component."""
        if self.rows.kind != "token":
            return {}
        last = {"status": self.components[-1]}
        others = self.components[:-1]
        return {**last, **{f"{name}_status": name for name in others}}

    @property
    def has_labels(self) -> bool:
        """Whether rows bring a label of their own."""
        return self.rows.kind in ("entity", "span-group")

    def schema(self) -> "pa.Schema":
        """Give names and types of the columns.

        :return: the Arrow schema, without metadata.
        """
        import pyarrow as pa

        word = pa.string()
        fields = [pa.field("doc", word), pa.field("start", pa.int32()), pa.field("end", pa.int32())]
        fields += [pa.field(name, word) for name in ("text", *self.statuses, *self._labels())]
        number = pa.type_for_alias({"float16": "halffloat"}.get(self.dtype, self.dtype))
        for name, width in zip(self.components, self.widths):
            fields.append(pa.field(name, pa.list_(pa.field("element", number, nullable=False), width)))
            if self.dtype == "int8":
                fields.append(pa.field(f"{name}_scale", pa.float32()))
        return pa.schema([field.with_nullable(False) for field in fields])

    def table(self, docs: Sequence[Embedded], schema: "pa.Schema") -> "pa.Table":
        """Make the rows of some documents.

        :param docs: the documents.
        :param schema: of :meth:`schema`, with metadata or without.
        :return: the table.
        :raises ValueError: if the pipeline did not set what rows are taken from.
        """
        import pyarrow as pa

        found = [find_rows(one.doc, self.rows) for one in docs]
        counts = [len(starts) for starts, _, _ in found]
        parts: Dict[str, Any] = {}
        parts["doc"] = _repeated(np.repeat(np.arange(len(docs)), counts), [one.name for one in docs])
        places = _of_words if self.rows.kind == "word" else _characters
        characters = [places(one, starts, ends) for one, (starts, ends, _) in zip(docs, found)]
        for key, side in (("start", 0), ("end", 1)):
            offsets = [pair[side] for pair in characters]
            parts[key] = pa.array(np.concatenate(offsets).astype(np.int32), pa.int32())
        parts["text"] = pa.array(self._texts(docs, characters), pa.string())
        for key, name in self.statuses.items():
            codes = [one.records[name].status[starts] for one, (starts, _, _) in zip(docs, found)]
            parts[key] = _repeated(np.concatenate(codes), _STATUSES)
        for key in self._labels():
            parts[key] = pa.array(self._words(key, docs, found), pa.string())
        for name, width in zip(self.components, self.widths):
            rows = self._vectors(name, width, docs, found)
            if self.dtype == "int8":
                rows, scales = quantize(rows)
                parts[f"{name}_scale"] = pa.array(scales)
            parts[name] = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=schema.field(name).type)
        return pa.Table.from_arrays([parts[name] for name in schema.names], schema=schema)

    def _labels(self) -> Tuple[str, ...]:
        return (*self.extra, *(("label",) if self.has_labels else ()))

    def _texts(self, docs: Sequence[Embedded], characters: List[Any]) -> List[str]:
        texts: List[str] = []
        for one, (first, last) in zip(docs, characters):
            if self.rows.kind == "word":
                texts += [token.text for token in one.doc]
            else:
                whole = valid(one.doc.text)
                texts += [whole[start:end] for start, end in zip(first.tolist(), last.tolist())]
        return texts

    def _words(self, key: str, docs: Sequence[Embedded], found: List[Any]) -> List[str]:
        if key == "label" and self.has_labels:
            return [label for _, _, labels in found for label in labels]
        words: List[str] = []
        for doc, (starts, ends, _) in zip((one.doc for one in docs), found):
            if self.rows.kind != "token":
                words += [doc[start:end].lemma_ for start, end in zip(starts.tolist(), ends.tolist())]
            else:
                attribute = {"label": "ent_type_"}.get(key, f"{key}_")
                words += [getattr(doc[i], attribute) for i in starts.tolist()]
        return words

    def _vectors(self, name: str, width: int, docs: Sequence[Embedded], found: List[Any]) -> np.ndarray:
        rows = np.empty((sum(len(starts) for starts, _, _ in found), width), self._numbers())
        at = 0
        for one, (starts, ends, _) in zip(docs, found):
            record, here = one.records[name], rows[at : at + len(starts)]
            at += len(starts)
            if self.rows.kind in ("token", "word"):
                here[:] = record.rows if len(starts) == len(record.rows) else record.rows[starts]
            else:
                for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist())):
                    here[i] = vector_of(record, self.rows.kind, slice(start, end))
        return rows

    def _numbers(self) -> str:
        return "float16" if self.dtype == "float16" else "float32"


def vector_of(record: Record, kind: str, part: slice) -> np.ndarray:
    """Give the vector of a row.

    :param record: what a component left on a Doc.
    :param kind: what a row stands for.
    :param part: its tokens.
    :return: ``(width,)``; texts and their parts may have another width than tokens.
    """
    if kind in ("token", "word"):
        row: np.ndarray = record.rows[part.start]
        return row
    if kind == "doc" and record.text is not None:
        return record.text
    return pool_record(record, part)


def quantize(rows: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Round rows to 8 bits, each by its own largest number.

    :param rows: ``(n_rows, width)`` float32.
    :return: ``(n_rows, width)`` int8, -127 to 127, and ``(n_rows,)`` float32 scales that they are to be multiplied by;
        0 for a row of zeros.
    """
    numbers, scales = round_rows(rows, None, "int8")
    scales[~rows.any(axis=1)] = 0
    return numbers, scales


def _characters(one: Embedded, starts: Ints1d, ends: Ints1d) -> Tuple[np.ndarray, np.ndarray]:
    # Offsets of the first character of each row and behind its last one.
    if not len(one.doc):
        return np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    first, behind = character_ranges(one.doc)
    return first[starts], behind[np.maximum(ends, 1) - 1]


def _of_words(one: Embedded, starts: Ints1d, ends: Ints1d) -> Tuple[np.ndarray, np.ndarray]:
    # Each word of a table is a text of its own.
    first, behind = character_ranges(one.doc)
    return np.zeros_like(first), behind - first


def _repeated(codes: np.ndarray, values: List[str]) -> "pa.StringArray":
    import pyarrow as pa

    return pa.array([valid(value) for value in values], pa.string()).take(pa.array(codes.astype(np.int32)))


def valid(text: str) -> str:
    """Replace what can't be written as UTF-8: halves of surrogate pairs.

    :param text: any text.
    :return: a text as long.
    """
    return text if text.isascii() else text.encode("utf8", "replace").decode("utf8")
