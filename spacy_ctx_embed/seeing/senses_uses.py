"""Uses of words in a corpus, and their rows in every layer of every source.

Enters: a corpus, read line after line. Leaves: for each word its uses with context, sense label and rows. Encoders run
only on Docs that have one of the words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Token

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.sources.docs import read_docs
from spacy_ctx_embed.sources.layers import LayerRows, Source

DEFAULT_CORPUS = Path(__file__).parent / "data" / "senses.tsv"
CONTEXT = 160  # characters shown on each side of a word
_BLANKS = re.compile(r"\s+")
_BATCH = 8192  # tokens of the Docs that encoders read at a time, a Doc more or less
_HEADS = {("sense", "sentence"), ("word", "sense", "sentence")}
_COLUMNS = "UTF-8 lines with the columns sense<TAB>sentence, or word<TAB>sense<TAB>sentence, on all lines alike"


@dataclass(frozen=True)
class Line:
    """One Doc of the corpus.

    :param doc: the Doc.
    :param sense: the sense that its line gives, if any.
    :param word: the word, lower-cased, that the sense is of; of any where the line names none.
    """

    doc: Doc
    sense: Optional[str] = None
    word: Optional[str] = None


@dataclass(frozen=True)
class Use:
    """One use of a word.

    :param left: text before it, cut to :data:`CONTEXT` characters.
    :param text: the word as written.
    :param right: text after it, cut likewise.
    :param sense: its label, if any.
    """

    left: str
    text: str
    right: str
    sense: Optional[str]


@dataclass
class WordUses:
    """The uses of one word.

    :param word: lower-cased.
    :param uses: in the order of the corpus.
    :param rows: per source and use ``(n_layers, width)`` float32, or ``None`` where the source has no vector for it.
    :param corrected: names of the sources whose rows are corrected, so that a table of words has none like them.
    """

    word: str
    uses: List[Use] = field(default_factory=list)
    rows: Dict[str, List[Optional[np.ndarray]]] = field(default_factory=dict)
    corrected: Set[str] = field(default_factory=set)


def read_lines(nlp: Language, corpus: Path, *, owner: str, words: Sequence[str] = ()) -> Iterator[Line]:
    """Read a corpus, with the senses that a ``.tsv`` file gives.

    :param nlp: the pipeline, whose tokenizer is used.
    :param corpus: a text file with a Doc a line, a ``.spacy`` file, or a ``.tsv`` file.
    :param owner: the command, for messages.
    :param words: words that are looked for: lines of a text file without any need not come; all come if empty.
    :yields: the lines, none empty.
    :raises ValueError: if there are none, or the file can't be read as what its name says.
    """
    if corpus.suffix != ".tsv":
        for doc in read_docs(nlp, corpus, owner=owner, having=words):
            yield Line(doc)
        return
    for word, sense, text in _rows_of(corpus):
        yield Line(nlp.make_doc(text), sense or None, word)


def words_of(corpus: Path) -> List[str]:
    """List the words that a ``.tsv`` file gives senses of.

    :param corpus: any corpus.
    :return: the words, lower-cased, each once; none of another kind of file.
    :raises ValueError: if the file can't be read.
    """
    return list(dict.fromkeys(word for word, _, _ in _rows_of(corpus) if word)) if corpus.suffix == ".tsv" else []


def collect(
    lines: Iterator[Line],
    words: Sequence[str],
    sources: Sequence[Source],
    *,
    limit: int,
    see: Optional[Callable[[Source, LayerRows], None]] = None,
    cut: Optional[Callable[[Doc], object]] = None,
) -> Dict[str, WordUses]:
    """Collect uses of words and their rows, until each word has enough.

    Without ``see`` encoders read of a Doc what they read together with a use: its window, or, where sentences are read
    by themselves, its sentence. The rows are the same.

    :param lines: the corpus.
    :param words: what to look for: tokens as written or, where Docs have lemmas, by lemma; capitals don't count.
    :param sources: whose rows to keep.
    :param limit: uses of each word at most.
    :param see: is given the rows of all tokens of each Doc that has a use.
    :param cut: sets sentence starts of a Doc that has a use and no sentence starts.
    :return: uses by lower-cased word, some perhaps without any.
    """
    found = {word.lower(): WordUses(word.lower(), rows={s.name: [] for s in sources}) for word in words}
    n_found = dict.fromkeys(found, 0)
    batch: List[Tuple[Line, List[Tuple[str, int]]]] = []
    size = 0
    for line in lines:
        hits = []
        lemmas = line.doc.has_annotation("LEMMA")
        for token in line.doc:
            for word in sorted(_names(token, lemmas) & found.keys()):
                if n_found[word] < limit and line.word in (None, word):
                    n_found[word] += 1
                    hits.append((word, token.i))
        if hits:
            if cut is not None and not line.doc.has_annotation("SENT_START"):
                cut(line.doc)
            batch.append((line, hits))
            size += len(line.doc)
        if size >= _BATCH:
            _add(batch, sources, found, see)
            batch, size = [], 0
        if all(n >= limit for n in n_found.values()):
            break
    if batch:
        _add(batch, sources, found, see)
    return found


def _add(
    batch: Sequence[Tuple[Line, List[Tuple[str, int]]]],
    sources: Sequence[Source],
    found: Dict[str, WordUses],
    see: Optional[Callable[[Source, LayerRows], None]],
) -> None:
    for line, hits in batch:
        for word, place in hits:
            found[word].uses.append(_use(line.doc[place], line.sense))
    docs = [line.doc for line, _ in batch]
    wanted = [[place for _, place in hits] for _, hits in batch] if see is None else None
    for source in sources:
        for (_, hits), rows in zip(batch, source.layers_of(docs, wanted)):
            if see is not None:
                see(source, rows)
            for word, place in hits:
                row = rows.layers[:, place].copy() if rows.has_vector[place] else None
                found[word].rows[source.name].append(row)


def _names(token: Token, lemmas: bool) -> Set[str]:
    text = token.text.lower()
    return {text, token.lemma_.lower()} if lemmas else {text}


def _use(token: Token, sense: Optional[str]) -> Use:
    text, start, end = token.doc.text, token.idx, token.idx + len(token.text)
    left, right = _BLANKS.sub(" ", text[max(0, start - CONTEXT) : start]), _BLANKS.sub(" ", text[end : end + CONTEXT])
    before, after = "…" if start > CONTEXT else "", "…" if len(text) - end > CONTEXT else ""
    return Use(before + left, token.text, right + after, sense)


def _rows_of(corpus: Path) -> Iterator[Tuple[Optional[str], str, str]]:
    # (word or None, sense, sentence) of each line that is not blank.
    none, n_columns = True, 0
    try:
        with corpus.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                cells = tuple(cell.strip() for cell in line.split("\t"))
                head = number == 1 and tuple(cell.lower() for cell in cells) in _HEADS
                if not any(cells):
                    continue
                n_columns = n_columns or len(cells)
                if len(cells) != n_columns or n_columns not in (2, 3) or not cells[-1]:
                    raise _unreadable(corpus, f"line {number} has {len(cells)} columns or no sentence")
                if not head:
                    none = False
                    yield (cells[0].lower() if n_columns == 3 else None), cells[-2], cells[-1]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(corpus, str(error)) from error
    if none:
        raise _unreadable(corpus, "it has no sentence")


def _unreadable(corpus: Path, reason: str) -> ValueError:
    return ValueError(Errors.E012.format(file=corpus, reason=reason, accepted=_COLUMNS, fix="repair that file"))
