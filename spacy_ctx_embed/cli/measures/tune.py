"""``tune``: how fast and how faithful each precision of an encoder is, on this machine and one's own text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

OWNER = "embed tune"


def tune_cli(
    # fmt: off
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    limit: int = typer.Option(200, "--limit", "-n", help="Docs to read", min=1),
    rounds: int = typer.Option(3, "--rounds", "-r", help="How often each precision is timed", min=1),
    threads: Optional[int] = typer.Option(
        None, "--threads", "-t", help="Threads of the processor; torch decides if not given", min=1
    ),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Measure each precision of the frozen ELMo and BERT encoders of a pipeline: tokens/s, and cosine to float32.

    Example: python -m spacy embed tune my_pipeline news.txt --limit 100
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.probing.precisions import tune
    from spacy_ctx_embed.sources.docs import read_docs

    import_code(code)
    with errors_reported("Can't compare precisions", as_json=as_json):
        nlp = spacy.load(pipeline)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        docs = list(read_docs(nlp, corpus, owner=OWNER, limit=limit))
        found = tune(nlp, docs, rounds)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in found], indent=2, ensure_ascii=False))
        return
    if not found:
        msg.info("No embedding component of this pipeline has a frozen ELMo or BERT")
        return
    typer.echo(f"{len(docs)} Docs, {sum(map(len, docs))} tokens, {rounds} rounds in turns")
    marked = [(row, f"{row.precision} *" if row.chosen else row.precision) for row in found]
    msg.table(
        [
            (
                row.component,
                precision,
                f"{row.tokens_per_second:,.0f}",
                f"{row.times_float32:.2f}",
                f"{row.mean_cosine:.4f}",
                f"{row.worst_cosine:.4f}",
            )
            for row, precision in marked
            if not row.reason
        ],
        header=("component", "precision", "tokens/s", "x float32", "mean cosine", "worst"),
        aligns=("l", "l", "r", "r", "r", "r"),
        divider=True,
    )
    for row, precision in marked:
        if row.reason:
            msg.warn(f"{row.component}: {precision} can't be used here", row.reason)
    typer.echo("* what the pipeline has")
