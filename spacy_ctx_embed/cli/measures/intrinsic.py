"""``intrinsic``: word similarity and analogies, for each layer of each embedding component of a pipeline."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported
from spacy_ctx_embed.cli.terminal.words import read_words

OWNER = "embed intrinsic"


def intrinsic_cli(
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    component: Optional[List[str]] = typer.Option(  # noqa: B008
        None, "--component", "-e", help="Component, more than once for several; all if not given"
    ),
    layer: Optional[int] = typer.Option(
        None, "--layer", "-l", help="Layer, negative from the last on; all if not given"
    ),
    corpus: Optional[Path] = typer.Option(  # noqa: B008
        None,
        "--corpus",
        help="Text file, one Doc a line, or a .spacy file: contextual words are means over their contexts there",
        exists=True,
        dir_okay=False,
    ),
    contexts: int = typer.Option(100, "--contexts", "-n", help="Contexts of a word at most", min=1),
    limit: Optional[int] = typer.Option(None, "--limit", help="Docs to read; all if not given", min=1),
    vocabulary: int = typer.Option(
        30_000, "--vocabulary", help="Most frequent words that may be answers of an analogy", min=1
    ),
    words: Optional[Path] = typer.Option(  # noqa: B008
        None,
        "--words",
        "-w",
        help="Text file of words that may be answers of an analogy, one a line, frequent ones first",
        exists=True,
        dir_okay=False,
    ),
    seed: int = typer.Option(0, "--seed", "-s", help="Seed of the bootstrap", min=0),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(  # noqa: B008
        None,
        "--code",
        "-c",
        help="Python file to import first, as in spacy train",
    ),
) -> None:
    """
    Measure word vectors in themselves: WordSim-353, SimLex-999 and analogies, with coverage and 95 % intervals.

    Static components are measured by their table. Words of contextual ones stand alone, each a text of its own, or are
    means over the contexts of a corpus. Example: python -m spacy embed intrinsic my_pipeline --corpus news.txt
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.intrinsic import intrinsic, load_tests
    from spacy_ctx_embed.sources.docs import read_docs
    from spacy_ctx_embed.sources.layers import find_sources

    import_code(code)
    with errors_reported("Can't measure the vectors", as_json=as_json):
        nlp = spacy.load(pipeline)
        scores = list(
            intrinsic(
                find_sources(nlp, owner=OWNER, names=component or None),
                nlp.vocab,
                load_tests(owner=OWNER),
                owner=OWNER,
                layer=layer,
                corpus=None if corpus is None else lambda: read_docs(nlp, corpus, owner=OWNER, limit=limit),
                contexts=contexts,
                candidates=[] if words is None else read_words(words, OWNER),
                vocabulary=vocabulary,
                seed=seed,
            )
        )
    if as_json:
        rows = [{key: _plain(value) for key, value in asdict(score).items()} for score in scores]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    msg.table(
        [
            (
                score.component,
                score.layer,
                score.rows,
                score.test,
                _shown(score.value),
                f"{_shown(score.low)} to {_shown(score.high)}",
                f"{score.n_answered:,} of {score.n_all:,}",
                f"{score.n_candidates:,}" if score.n_candidates else "",
            )
            for score in scores
        ],
        header=("component", "layer", "rows", "test", "value", "95 %", "coverage", "candidates"),
        aligns=("l", "r", "l", "l", "r", "r", "r", "r"),
        divider=True,
    )
    typer.echo("Spearman's rho for pairs; for analogies the part answered rightly by 3CosAdd")


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value  # JSON has no NaN
