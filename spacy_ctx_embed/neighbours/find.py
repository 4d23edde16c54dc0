"""A question to an exported corpus: where else is a word used like this?

Enters: the folder of an export and a word in a sentence, a text, or a row of it. Leaves: the nearest rows with what
stands around them, and the near words of a static table, which knows one use of each word: table 4 of
Peters et al. (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple, Union

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.errors import refused
from spacy_ctx_embed.export.identity import fingerprint
from spacy_ctx_embed.export.pipelines import open_pipeline
from spacy_ctx_embed.neighbours.dataset import OWNER, Dataset, Row
from spacy_ctx_embed.neighbours.index import Index
from spacy_ctx_embed.neighbours.matrix import Matrix
from spacy_ctx_embed.sources.layers import all_sources
from spacy_ctx_embed.sources.table import near_words

INDEXES = ("exact", "usearch")


@dataclass(frozen=True)
class Neighbour:
    """One answer.

    :param similarity: cosine.
    :param row: the row.
    """

    similarity: float
    row: Row


@dataclass(frozen=True)
class Neighbours:
    """What was found.

    :param query: what was asked for.
    :param component: whose vectors were compared.
    :param found: the nearest rows, the nearest first.
    :param words: near words of each static component that has a table, with cosines; for a query of one word.
    """

    query: str
    component: str
    found: List[Neighbour]
    words: List[Tuple[str, List[Tuple[str, float]]]]


def neighbours(
    export: Union[str, Path],
    query: Optional[str] = None,
    *,
    word: Optional[str] = None,
    row: Optional[int] = None,
    k: int = 10,
    component: Optional[str] = None,
    index: str = "exact",
    pipeline: Optional[Union[str, Path]] = None,
    context: int = 40,
    code: Optional[Union[str, Path]] = None,
) -> Neighbours:
    """Find the rows of an export that are nearest to a word in a sentence, a text, or one of its rows.

    :param export: the folder.
    :param query: a text.
    :param word: a word, or several, of the text: its vector there is compared; that of the whole text if not given.
    :param row: number of a row, instead of a text.
    :param k: rows at most.
    :param component: whose vectors; those of the last column if not given.
    :param index: "exact" compares with all rows; "usearch" with those that an index gives.
    :param pipeline: path or name of the pipeline of the export, where it is not where it was.
    :param context: characters of the document on each side of a row.
    :param code: Python file to import first.
    :return: what was found.
    :raises ValueError: if the folder, the query or the pipeline is not what is accepted.
    :raises OSError: if the pipeline is not there.
    """
    check_one_of(OWNER, "--index", index, INDEXES)
    if (query is None) == (row is None):
        told = "is not given" if query is None else "is given, and --row too"
        raise refused(OWNER, "QUERY", query, told, "a text or a row", "give one of the two")
    dataset = Dataset(Path(export), component)
    matrix = Matrix(dataset)
    words: List[Tuple[str, List[Tuple[str, float]]]] = []
    if query is None:
        assert row is not None
        if not 0 <= row < len(dataset):
            raise refused(
                OWNER, "--row", row, "is no row of this export", f"0 to {len(dataset) - 1}", "give such a number"
            )
        vector, asked = matrix.vectors[row].astype(np.float32), dataset.rows([row], 0)[0].text
    else:
        nlp = _open(dataset, pipeline, code)
        doc = nlp(query)
        span = find_span(doc, word, dataset.metadata["rows"])
        part = span[0] if len(span) == 1 and dataset.metadata["rows"] in ("token", "word") else span
        vector, asked = np.array(part._.vectors[dataset.component], dtype=np.float32), span.text
        if not np.any(vector):
            accepted, fix = "words that have a vector there", "ask for another word, or name another --component"
            raise refused(OWNER, "QUERY", asked, f"has no vector in {dataset.component!r}", accepted, fix)
        words = _near_words(nlp, doc, span, k)
    wanted = k + (row is not None)
    if index == "exact":
        best = matrix.nearest(vector, wanted)
    else:
        best = matrix.cosines(vector, Index(dataset, matrix).near(vector, wanted))
    best = [(number, cosine) for number, cosine in best if number != row][:k]
    rows = dataset.rows([number for number, _ in best], context)
    found = [Neighbour(cosine, found) for (_, cosine), found in zip(best, rows)]
    return Neighbours(asked, dataset.component, found, words)


def find_span(doc: Doc, word: Optional[str], rows: str) -> Union[Doc, Span]:
    """Find what of a text is asked for.

    :param doc: the text, through the pipeline.
    :param word: a word or several of it.
    :param rows: what a row of the dataset stands for.
    :return: the tokens of the word, or the whole text.
    :raises ValueError: if the word is not in the text, or none is named where rows are tokens.
    """
    if word is None:
        if rows == "token" and len(doc) != 1:
            accepted = "one word, or a text with one of its words named by --word"
            raise refused(OWNER, "QUERY", doc.text, "has several words, and rows are tokens", accepted, "add --word")
        return doc if rows == "doc" else doc[:]
    for text, searched in ((doc.text, word), (doc.text.lower(), word.lower())):
        start = text.find(searched)
        while start >= 0:
            span = doc.char_span(start, start + len(searched))
            if span is not None:
                return span
            start = text.find(searched, start + 1)
    raise refused(
        OWNER, "--word", word, "is no word of the query", ", ".join(t.text for t in doc), "name one of its words"
    )


def _open(dataset: Dataset, pipeline: Optional[Union[str, Path]], code: Optional[Union[str, Path]]) -> Language:
    description = dataset.metadata["description"]
    name = str(pipeline or description["pipeline"])
    nlp = open_pipeline(name, None if code is None else str(code))
    if fingerprint(nlp) != description["fingerprint"]:
        told = "is another pipeline than that of the export, or has changed since"
        raise refused(
            OWNER, "--pipeline", name, told, "the pipeline that the corpus was exported with", "name that one"
        )
    return nlp


def _near_words(nlp: Language, doc: Doc, span: Union[Doc, Span], n: int) -> List[Tuple[str, List[Tuple[str, float]]]]:
    if len(span) != 1:
        return []
    found = []
    for source in all_sources(nlp):
        if source.kind == "static":
            row = storage.read(doc, source.name).uncorrected[span[0].i]  # as the table has it
            words = near_words(source, row.astype(np.float32), n, leave_out=span.text)
            if words:
                found.append((source.name, words))
    return found
