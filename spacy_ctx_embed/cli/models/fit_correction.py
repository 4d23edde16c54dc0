"""``fit-correction``: a pipeline and a corpus -> the same pipeline with the setting ``correction`` on and fitted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.folders import check_free, is_pipeline
from spacy_ctx_embed.cli.terminal.reporting import errors_reported
from spacy_ctx_embed.models.files import whole_folder

if TYPE_CHECKING:
    from spacy.language import Language

_CORRECTION = "center, standardize, abtt or whiten; the setting that each component has if not given"


def fit_correction_cli(
    # fmt: off
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    out: Path = typer.Argument(..., help="Folder to write the pipeline to"),  # noqa: B008
    correction: Optional[str] = typer.Option(None, "--correction", "-k", help=_CORRECTION),
    component: Optional[List[str]] = typer.Option(None, "--component", "-e", help="Repeatable; all if not given"),  # noqa: B008
    limit: Optional[int] = typer.Option(None, "--limit", "-n", help="Docs to read; all if not given", min=1),
    force: bool = typer.Option(False, "--force", "-F", help="Replace a pipeline that is there"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Fit what makes the vectors of a pipeline more isotropic, and write the pipeline with it.

    Example: python -m spacy embed fit-correction my_pipeline news.txt my_corrected_pipeline --correction abtt
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.sources.docs import read_docs
    from spacy_ctx_embed.sources.fitting import OWNER, fit_correction

    import_code(code)
    with errors_reported("Can't fit a correction", as_json=as_json):
        check_free(out, force, owner=OWNER, thing="pipeline", is_one=is_pipeline)
        nlp = spacy.load(pipeline)
        found = fit_correction(
            nlp,
            lambda: read_docs(nlp, corpus, owner=OWNER, limit=limit),
            correction,
            components=component or None,
        )
        write_pipeline(nlp, out)
    if as_json:
        typer.echo(json.dumps({"out": out.as_posix(), "components": [asdict(row) for row in found]}, indent=2))
        return
    msg.table(
        [(row.component, row.correction, f"{row.n_rows:,}", str(row.width)) for row in found],
        header=("component", "correction", "tokens", "columns"),
        aligns=("l", "l", "r", "r"),
        divider=True,
    )
    for row in found:
        if row.correction == "whiten" and row.n_rows < 10 * row.width:
            msg.warn(
                f"{row.component}: {row.n_rows:,} tokens are few to whiten {row.width} columns. "
                "Directions in which the corpus hardly varies are stretched most: give more text, or use abtt."
            )
    msg.good(f"Wrote {out.as_posix()}")


def write_pipeline(nlp: Language, out: Path) -> None:
    """Write a pipeline. It takes its place whole at the end.

    :param nlp: the pipeline.
    :param out: the folder; one that is there is replaced.
    """
    with whole_folder(out) as written:
        nlp.to_disk(written)
