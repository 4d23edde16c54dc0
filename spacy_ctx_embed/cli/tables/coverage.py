"""``coverage``: which tokens of a corpus have a vector, and the words that are missing most."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.measures.coverage import Coverage

OWNER = "embed coverage"


def coverage_cli(
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    n: int = typer.Option(20, "--n", "-n", help="Missing words to print", min=0),
    limit: Optional[int] = typer.Option(None, "--limit", help="Docs to read; all if not given", min=1),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
) -> None:
    """
    Count the tokens of a corpus by the status of their vectors, per embedding component, and list missing words.

    Example: python -m spacy embed coverage my_pipeline news.txt
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.coverage import coverage
    from spacy_ctx_embed.sources.docs import read_docs
    from spacy_ctx_embed.sources.layers import find_sources

    import_code(code)
    with errors_reported("Can't read the corpus", as_json=as_json):
        nlp = spacy.load(pipeline)
        find_sources(nlp, owner=OWNER)  # or there is nothing to count
        found = coverage(nlp, read_docs(nlp, corpus, owner=OWNER, limit=limit))
    if as_json:
        typer.echo(json.dumps([_plain(part, n) for part in found], indent=2, ensure_ascii=False))
        return
    for part in found:
        msg.divider(part.component)
        share = "-" if math.isnan(part.share) else f"{100 * part.share:.2f} %"
        typer.echo(f"{share} of {part.n_words:,} words in {part.n_docs:,} Docs have a vector")
        msg.table(
            [(status, f"{count:,}") for status, count in part.statuses.items()],
            header=("status", "tokens"),
            aligns=("l", "r"),
        )
        missed = part.most_missed(n)
        if missed:
            msg.table([(word, f"{count:,}") for word, count in missed], header=("missing", "times"), aligns=("l", "r"))


def _plain(part: Coverage, n: int) -> Dict[str, Any]:
    missing: List[List[Any]] = [list(item) for item in part.most_missed(n)]
    return {
        "component": part.component,
        "docs": part.n_docs,
        "words": part.n_words,
        "covered": part.n_covered,
        "share": None if math.isnan(part.share) else part.share,  # JSON has no NaN
        "statuses": part.statuses,
        "missing": missing,
        "distinct_missing": len(part.missing),
    }
