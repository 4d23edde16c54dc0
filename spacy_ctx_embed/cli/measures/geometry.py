"""``geometry``: how contextual the layers of a pipeline's vectors are, and how narrow the cone that they lie in."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

OWNER = "embed geometry"


def geometry_cli(
    # fmt: off
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    component: Optional[List[str]] = typer.Option(None, "--component", "-e", help="Repeatable; all if not given"),  # noqa: B008
    limit: Optional[int] = typer.Option(None, "--limit", "-n", help="Docs to read; all if not given", min=1),
    min_uses: int = typer.Option(5, "--min-uses", "-u", help="Uses that a word must have to count", min=2),
    seed: int = typer.Option(0, "--seed", "-s", help="Of the words and rows that are drawn"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Measure each layer of the embedding components of a pipeline: how contextual it is, and how anisotropic.

    Example: python -m spacy embed geometry my_pipeline news.txt --limit 1000
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.geometry import geometry
    from spacy_ctx_embed.sources.docs import read_docs

    import_code(code)
    with errors_reported("Can't measure the layers", as_json=as_json):
        nlp = spacy.load(pipeline)
        docs = read_docs(nlp, corpus, owner=OWNER, limit=limit)
        found = geometry(nlp, docs, components=component or None, min_uses=min_uses, seed=seed)
    adjusted = ("adjusted_self_similarity", "adjusted_intra_sentence", "adjusted_explained")
    if as_json:
        rows = [{**asdict(row), **{name: getattr(row, name) for name in adjusted}} for row in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    columns = ("mean_cosine", "self_similarity", *adjusted, "dominant_1", "dominant_3", "iso_score")
    msg.table(
        [(row.component, row.layer, *(_number(getattr(row, name)) for name in columns)) for row in found],
        header=(
            "component",
            "layer",
            "any two",
            "one word",
            "adj.",
            "sentence adj.",
            "MEV adj.",
            "dim 1",
            "1-3",
            "IsoScore",
        ),
        aligns=("l", *"r" * (len(columns) + 1)),
        divider=True,
    )
    for row in found:
        if row.layer == 0:
            typer.echo(f"{row.component}: {row.model}, {row.n_tokens:,} tokens, {row.n_words} words drawn")


def _number(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.3f}"
