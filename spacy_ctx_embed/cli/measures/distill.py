"""``distill``: contextual vectors over a corpus -> a static table, which ``static_embeddings`` loads."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Optional

import typer

from spacy_ctx_embed.cli.terminal.folders import check_free, is_table, put_table
from spacy_ctx_embed.cli.terminal.reporting import errors_reported
from spacy_ctx_embed.cli.terminal.words import read_words

OWNER = "embed distill"


def distill_cli(
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    out: Path = typer.Argument(..., help="Folder to write"),  # noqa: B008
    component: Optional[str] = typer.Option(
        None, "--component", "-e", help="Component; the last contextual one if not given"
    ),
    layer: int = typer.Option(-1, "--layer", "-l", help="Layer, negative from the last on"),
    contexts: int = typer.Option(100, "--contexts", "-n", help="Contexts of a word at most", min=1),
    min_count: int = typer.Option(1, "--min-count", help="Leave out words that occur less often", min=1),
    words: Optional[Path] = typer.Option(  # noqa: B008
        None, "--words", "-w", help="Text file of the words to keep, one a line", exists=True, dir_okay=False
    ),
    lower: bool = typer.Option(False, "--lower", help="Lower-case words"),
    limit: Optional[int] = typer.Option(None, "--limit", help="Docs to read; all if not given", min=1),
    force: bool = typer.Option(False, "--force", "-F", help="Replace a table that was written before"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(  # noqa: B008
        None,
        "--code",
        "-c",
        help="Python file to import first, as in spacy train",
    ),
) -> None:
    """
    Make a static table of a contextual component: for each word the mean of its rows over the contexts of a corpus.

    Example: python -m spacy embed distill my_pipeline news.txt table --min-count 5
    """
    import numpy as np
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.distill import contextual_source, distill, layer_number
    from spacy_ctx_embed.models.static.tables.table import make_table
    from spacy_ctx_embed.sources.docs import read_docs

    import_code(code)
    with errors_reported("Can't distill a table", as_json=as_json):
        check_free(out, force, owner=OWNER, thing="table", is_one=is_table)
        start = time.perf_counter()
        nlp = spacy.load(pipeline)
        source = contextual_source(nlp, owner=OWNER, name=component)
        found = distill(
            source,
            read_docs(nlp, corpus, owner=OWNER, limit=limit),
            owner=OWNER,
            layers=[layer],
            contexts=contexts,
            min_count=min_count,
            words=None if words is None else read_words(words, OWNER),
            lower=lower,
        )
        put_table(out, make_table(out, found.words, np.ascontiguousarray(found.layers[0])))
    report = {
        "out": out.as_posix(),
        "component": source.name,
        "layer": layer_number(source, layer, owner=OWNER),
        "docs": found.n_docs,
        "words": len(found.words),
        "contexts": found.n_contexts,
        "width": int(found.layers.shape[2]),
        "seconds": round(time.perf_counter() - start, 2),
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    rows = [(key, f"{value:,}" if isinstance(value, (int, float)) else value) for key, value in report.items()]
    msg.table(rows[1:])
    msg.good("Wrote the table. Use it in the config of static_embeddings as:")
    typer.echo(f'name = "{out.as_posix()}"')
