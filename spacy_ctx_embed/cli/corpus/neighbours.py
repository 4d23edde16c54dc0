"""``neighbours``: the nearest rows of an exported corpus, as a concordance."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.neighbours.find import Neighbours

_LONGEST = 60  # characters of a row's own text


def neighbours_cli(
    export: Path = typer.Argument(..., help="Folder that embed export wrote", exists=True, file_okay=False),  # noqa: B008
    query: Optional[str] = typer.Argument(None, help="A text; with --row none"),
    word: Optional[str] = typer.Option(None, "--word", "-w", help="A word of the text, whose vector there is compared"),
    row: Optional[int] = typer.Option(None, "--row", help="Number of a row of the export, instead of a text"),
    k: int = typer.Option(10, "--number", "-k", help="Rows to show", min=1),
    component: Optional[str] = typer.Option(
        None, "--component", "-e", help="Component whose vectors are compared; the last one if not given"
    ),
    index: str = typer.Option("exact", "--index", help="exact, or usearch for an index that is built once"),
    pipeline: Optional[str] = typer.Option(
        None, "--pipeline", "-p", help="The pipeline of the export, where it is not where it was"
    ),
    context: int = typer.Option(40, "--context", help="Characters on each side of a row", min=0),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(  # noqa: B008
        None, "--code", "-c", help="Python file to import first, as in spacy train"
    ),
) -> None:
    """
    Show the nearest rows of an exported corpus to a word in a sentence, a text, or one of its rows.

    For one word the near words of static tables are shown too: they know one use of it.

    Example: python -m spacy embed neighbours vectors "We sat on the bank of the river." --word bank
    """
    with errors_reported("Can't find neighbours", as_json=as_json):
        from spacy_ctx_embed.neighbours.find import neighbours

        found = neighbours(
            export,
            query,
            word=word,
            row=row,
            k=k,
            component=component,
            index=index,
            pipeline=pipeline,
            context=context,
            code=code,
        )
    typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False) if as_json else format_neighbours(found))


def format_neighbours(found: Neighbours) -> str:
    """Write what was found as a concordance.

    :param found: the nearest rows.
    :return: lines of text.
    """
    lines = [f"{found.query!r} by {found.component}"]
    left = max((len(_line(one.row.left)) for one in found.found), default=0)
    for one in found.found:
        text = _line(one.row.text)
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        lines.append(
            f"  {one.similarity:.3f}  {_line(one.row.left):>{left}}[{text}]{_line(one.row.right)}  ({one.row.doc})"
        )
    for name, words in found.words:
        lines += ["", f"near words of {found.query!r} by {name}", f"  {_words(words)}"]
    return "\n".join(lines)


def _words(words: "List[tuple[str, float]]") -> str:
    return ", ".join(f"{word} {cosine:.2f}" for word, cosine in words)


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)  # controls would move the cursor
