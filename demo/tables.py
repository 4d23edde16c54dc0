"""What the demo prints. Enters: scores, tokens and timings. Leaves: tables that fit a terminal of 80 columns."""

from __future__ import annotations

from itertools import combinations
from typing import Dict, List, Optional, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from spacy.tokens import Doc, Token

from demo.pipeline import Source, similarities
from demo.senses import Score

# A word that occurs more often than this is compared at its first occurrences only, and the table says so.
MAX_OCCURRENCES = 5
LEGEND = """\
same, diff.: mean cosine over pairs of sentences that use the word in the same
sense, or in different senses. gap: same - diff. A static vector is the same in
every sentence; a contextual one can tell the senses apart.
"""


def print_scores(console: Console, scores: Dict[str, Dict[str, Score]], sources: Sequence[Source]) -> None:
    """One row per word; per source its similarity in the same sense, in different senses, and the gap.

    :param console: where to print.
    :param scores: word -> component -> score.
    :param sources: the sources.
    """
    table = _table("How similar is a word to itself in another sentence?")
    table.add_column("word", no_wrap=True)
    for source in sources:
        for title, key in ((source.title, "same"), ("", "diff."), ("", "gap")):
            table.add_column(f"{title}\n{key}", justify="right", no_wrap=True)
    for word, by_source in scores.items():
        cells = [Text(word)]
        for source in sources:
            cells += _score_cells(by_source[source.component])
        table.add_row(*cells)
    console.print(table)
    console.print(Text(LEGEND, style="dim"))


def print_verdicts(console: Console, scores: Dict[str, Dict[str, Score]], sources: Sequence[Source]) -> None:
    """One line per source: in how many words it separates the senses, and how often a same-sense pair is nearer.

    :param console: where to print.
    :param scores: word -> component -> score.
    :param sources: the sources.
    """
    for source in sources:
        line = Text(f"{source.title:<7}", style="bold")
        own = [by_source[source.component] for by_source in scores.values()]
        separated, nearer = sum(s.separates for s in own), float(np.mean([s.nearer for s in own]))
        line.append(f"separates the senses in {separated} of {len(own)} words; ", style="not bold")
        line.append(f"the same sense is nearer in {nearer:.0%}*", style="not bold")
        console.print(line)
    console.print(Text("* of all comparisons of a same-sense with a different-sense pair; chance: 50%", style="dim"))


def print_word(
    console: Console,
    word: str,
    tokens: Sequence[Token],
    sources: Sequence[Source],
    senses: Optional[Sequence[str]] = None,
) -> None:
    """The sentences around some occurrences of a word, and the similarity of each pair of them.

    :param console: where to print.
    :param word: the word.
    :param tokens: its occurrences.
    :param sources: the sources.
    :param senses: the sense of each occurrence, where known.
    """
    shown = list(tokens[:MAX_OCCURRENCES])
    more = f" (the first {len(shown)} of {len(tokens)} occurrences)" if len(shown) < len(tokens) else ""
    console.print(Text(word, style="bold").append(more, style="dim"))
    sentences = Table.grid(padding=(0, 1))
    for i, token in enumerate(shown):
        sense = f"{senses[i]}: " if senses else ""
        sentences.add_row(f" {i + 1}", Text(sense, style="cyan").append_text(_sentence(token)))
    console.print(sentences)
    table = _table("")
    table.add_column("sentences", no_wrap=True)
    if senses:
        table.add_column("senses", no_wrap=True)
    for source in sources:
        table.add_column(source.title, justify="right", no_wrap=True)
    matrices = [similarities(shown, source) for source in sources]
    pairs = list(combinations(range(len(shown)), 2))
    if senses:
        pairs.sort(key=lambda pair: senses[pair[0]] != senses[pair[1]])  # same-sense pairs first
    for i, j in pairs:
        label = [_sense_pair(senses[i], senses[j])] if senses else []
        table.add_row(f"{i + 1} and {j + 1}", *label, *(f"{matrix[i, j]:.2f}" for matrix in matrices))
    console.print(table)


def print_tokens(console: Console, docs: Sequence[Doc], sources: Sequence[Source]) -> None:
    """One row per token: why it has the vector that it has, and the vector's length, for each source.

    :param console: where to print.
    :param docs: the Docs.
    :param sources: the sources, with ``statuses``.
    """
    table = _table("Each token's vector: status and length")
    table.add_column("token", max_width=20, overflow="ellipsis", no_wrap=True)
    for source in sources:
        table.add_column(f"{source.title}\nstatus", no_wrap=True)
        table.add_column("\nlength", justify="right", no_wrap=True)
    for i, token in enumerate(token for doc in docs for token in doc):
        row = [Text(repr(token.text) if token.is_space else token.text)]
        for source in sources:
            status = source.statuses[i]
            row.append(Text(status, style="green" if status == "ok" else "yellow"))
            row.append(Text(f"{np.linalg.norm(token._.vectors[source.component]):.2f}"))
        table.add_row(*row)
    console.print(table)


def print_times(console: Console, docs: Sequence[Doc], sources: Sequence[Source]) -> None:
    """How long each source took to load and to encode the text.

    :param console: where to print.
    :param docs: the Docs.
    :param sources: the sources.
    """
    n_tokens = sum(map(len, docs))
    table = _table(f"Time for {n_tokens:,} tokens")
    for title in ("source", "width", "load", "encode", "tokens/s"):
        table.add_column(title, justify="left" if title == "source" else "right", no_wrap=True)
    for source in sources:
        width = docs[0]._.embeddings[source.component].shape[1]
        speed = n_tokens / max(source.encode_seconds, 1e-9)
        table.add_row(
            source.title,
            f"{width:,}",
            f"{source.load_seconds:.2f} s",
            f"{source.encode_seconds:.2f} s",
            f"{float(f'{speed:.2g}'):,.0f}",
        )
    console.print(table)


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def _score_cells(score: Score) -> List[Text]:
    gap = Text(f"{round(score.gap, 2) + 0.0:+.2f}", style="bold green" if score.separates else "dim")
    return [Text(f"{score.same:.2f}"), Text(f"{score.different:.2f}"), gap]


def _sense_pair(left: str, right: str) -> Text:
    return Text(f"both {left}", style="green") if left == right else Text(f"{left} / {right}")


def _sentence(token: Token) -> Text:
    # The sentence around a token on one line, the token itself set off.
    text = Text()
    for other in token.sent:
        if not other.is_space:
            text.append(other.text, style="bold underline" if other.i == token.i else "")
        if text and (other.is_space or other.whitespace_) and not text.plain.endswith(" "):
            text.append(" ")
    return text
