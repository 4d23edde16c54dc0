"""Which rows of a Doc are exported: its tokens, sentences, entities, spans, chunks, or itself; or words of a table.

Enters: a Doc that went through the pipeline. Leaves: where each row begins and ends, in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, List, Optional, Tuple

import numpy as np
from spacy.parts_of_speech import IDS
from spacy.tokens import Doc, Span

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.errors import refused

OWNER = "embed export"
ROWS = ("doc", "sentence", "entity", "span-group", "token", "chunk", "word")


@dataclass(frozen=True)
class Rows:
    """What a row of the dataset stands for.

    :param kind: one of ``ROWS``; of "word", the Docs are lists of a static table's words.
    :param span_group: of "span-group", its key in ``doc.spans``.
    :param chunk_size: of "chunk", tokens of a chunk.
    :param chunk_overlap: of "chunk", tokens that a chunk shares with the next one.
    :param words: of "token", the words that are kept, lower-cased; all if ``None``.
    :param pos: of "token", the coarse parts of speech (``token.pos_``) that are kept; all if ``None``.
    """

    kind: str = "token"
    span_group: Optional[str] = None
    chunk_size: int = 128
    chunk_overlap: int = 32
    words: Optional[FrozenSet[str]] = None
    pos: Optional[FrozenSet[str]] = None

    def __post_init__(self) -> None:
        """Check that they go together.

        :raises ValueError: if they do not, or a value is not accepted.
        """
        if self.kind not in ROWS:
            raise refused(OWNER, "--rows", self.kind, "is no kind of row", ", ".join(ROWS), "choose one of those")
        if (self.kind == "span-group") != (self.span_group is not None):
            told = "belongs to --rows span-group" if self.span_group else "is not given"
            raise refused(
                OWNER,
                "--span-group",
                self.span_group,
                told,
                "the key of a group in doc.spans",
                "give both, or none of them",
            )
        if self.chunk_size < 1 or not 0 <= self.chunk_overlap < self.chunk_size:
            told = f"does not go with --chunk-size {self.chunk_size}"
            raise refused(
                OWNER, "--chunk-overlap", self.chunk_overlap, told, "0 to one less than it", "change one of the two"
            )
        for tag in sorted(self.pos or ()):
            if tag not in IDS:
                accepted = " ".join(filter(None, IDS))
                raise refused(OWNER, "--pos", tag, "is no coarse part of speech", accepted, "name some of those")
        if self.kind != "token":
            for key, value in (("--words", self.words), ("--pos", self.pos)):
                if value is not None:
                    told = f"belongs to --rows token, not to {self.kind}"
                    raise refused(OWNER, key, sorted(value)[:5], told, "it with rows of tokens", f"leave {key} out")


def find_rows(doc: Doc, rows: Rows) -> Tuple[Ints1d, Ints1d, List[str]]:
    """Find the rows of a Doc.

    :param doc: a Doc that went through the pipeline.
    :param rows: which.
    :return: ``(n_rows,)`` first token of each row, ``(n_rows,)`` the token behind its last one, and of entities and
        spans of a group their labels.
    :raises ValueError: if the pipeline did not set what they are taken from.
    """
    if rows.kind in ("token", "word"):
        kept = np.arange(len(doc))
        if rows.words is not None:
            kept = kept[[token.lower_ in rows.words for token in doc]]
        if rows.pos is not None:
            if len(doc) and not doc.has_annotation("POS"):
                _not_set("--pos", sorted(rows.pos), "parts of speech", "a tagger or a morphologizer")
            kept = kept[[doc[int(i)].pos_ in rows.pos for i in kept]]
        return kept, kept + 1, []
    if rows.kind == "doc":
        return np.zeros(1, dtype=np.int64), np.full(1, len(doc)), []
    if rows.kind == "chunk":
        step = rows.chunk_size - rows.chunk_overlap
        starts = np.arange(0, max(len(doc) - rows.chunk_overlap, min(len(doc), 1)), step)
        return starts, np.minimum(starts + rows.chunk_size, len(doc)), []
    if rows.kind == "sentence":
        if len(doc) and not doc.has_annotation("SENT_START"):
            _not_set("--rows", "sentence", "sentence boundaries", "a sentencizer, senter or parser")
        spans = list(doc.sents) if len(doc) else []
        return (*_bounds(spans), [])
    if rows.kind == "entity":
        if len(doc) and not doc.has_annotation("ENT_IOB"):
            _not_set("--rows", "entity", "entities", "an ner or entity_ruler")
        spans = list(doc.ents)
    else:
        if rows.span_group not in doc.spans:
            _not_set("--span-group", rows.span_group, "spans under this key", "a spancat or span_ruler")
        spans = list(doc.spans[rows.span_group])
    return (*_bounds(spans), [span.label_ for span in spans])


def _bounds(spans: List[Span]) -> Tuple[Ints1d, Ints1d]:
    starts = np.array([span.start for span in spans], dtype=np.int64)
    return starts, np.array([span.end for span in spans], dtype=np.int64)


def _not_set(key: str, value: object, what: str, component: str) -> None:
    reason = f"needs {what}, which this pipeline does not set"
    raise refused(OWNER, key, value, reason, f"a pipeline with {component}", f"add {component} to the pipeline")
