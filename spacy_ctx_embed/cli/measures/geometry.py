"""``geometry``: how contextual the layers of a pipeline's vectors are, and how narrow the cone that they lie in."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import typer

from spacy_ctx_embed.cli.terminal.reporting import decimals, errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.measures.geometry import Geometry
    from spacy_ctx_embed.measures.published import Finding

OWNER = "embed geometry"
_ADJUSTED = ("adjusted_self_similarity", "adjusted_intra_sentence", "adjusted_explained")
_COLUMNS = {
    "self_similarity": "one word",
    "adjusted_self_similarity": "adj.",
    "adjusted_intra_sentence": "sentence adj.",
    "adjusted_explained": "MEV adj.",
    "dominant_1": "dim 1",
    "dominant_3": "1-3",
    "iso_score": "IsoScore",
}
_PANELS = {
    "mean_cosine": "mean cosine of any two tokens",
    "adjusted_self_similarity": "one word, adjusted",
    "adjusted_intra_sentence": "token and sentence, adjusted",
    "adjusted_explained": "MEV, adjusted",
    "dominant_3": "share of three dimensions",
    "iso_score": "IsoScore",
}
_ANSWERS = {True: "yes", False: "no", None: "-"}


def geometry_cli(
    # fmt: off
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    corpus: Path = typer.Argument(..., help="Text file, one Doc a line, or a .spacy file", exists=True, dir_okay=False),  # noqa: B008
    component: Optional[List[str]] = typer.Option(None, "--component", "-e", help="Repeatable; all if not given"),  # noqa: B008
    limit: Optional[int] = typer.Option(None, "--limit", "-n", help="Docs to read; all if not given", min=1),
    min_uses: int = typer.Option(5, "--min-uses", "-u", help="Uses that a word must have to count", min=2),
    seed: int = typer.Option(0, "--seed", "-s", help="Of what is drawn and of the intervals", min=0),
    plot: Optional[Path] = typer.Option(None, "--plot", "-p", help="File for a picture, such as geometry.png"),  # noqa: B008
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Measure each layer of the embedding components of a pipeline: how contextual it is, and how anisotropic.

    Intervals are of 95 %, by a bootstrap over Docs. Below the table: what papers found, and whether it holds here.

    Example: python -m spacy embed geometry my_pipeline news.txt --limit 1000
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.geometry import geometry
    from spacy_ctx_embed.measures.published import findings
    from spacy_ctx_embed.seeing.pictures import check_file
    from spacy_ctx_embed.sources.docs import read_docs

    import_code(code)
    with errors_reported("Can't measure the layers", as_json=as_json):
        if plot is not None:
            check_file(plot, owner=OWNER, key="--plot")
        nlp = spacy.load(pipeline)
        docs = read_docs(nlp, corpus, owner=OWNER, limit=limit)
        found = geometry(nlp, docs, components=component or None, min_uses=min_uses, seed=seed)
        if plot is not None:
            draw_geometry(found, plot)
    published = findings(found)
    if as_json:
        rows = [{**asdict(row), **{name: getattr(row, name) for name in _ADJUSTED}} for row in found]
        result = {"layers": rows, "findings": [asdict(finding) for finding in published]}
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    _print_layers(found)
    _print_findings(published)
    if plot is not None:
        msg.good(f"Wrote {plot}")


def draw_geometry(rows: Sequence[Geometry], file: Path) -> None:
    """Draw the measures by layer, one panel each, with 95 % intervals where there are any.

    :param rows: measures of one component or more.
    :param file: where to; its suffix decides on the format.
    :raises ImportError: if matplotlib is not installed.
    :raises OSError: if the file can't be written.
    :raises ValueError: if its suffix is of no format.
    """
    from spacy_ctx_embed.seeing.pictures import figure_class

    figure = figure_class(OWNER, "--plot")(figsize=(10, 6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 3).ravel(), _PANELS.items()):
        for component, group in groupby(rows, key=lambda row: row.component):
            known = [row for row in group if getattr(row, name) is not None]
            heights: List[float] = [getattr(row, name) for row in known]
            ends = [row.intervals.get(name, (value, value)) for row, value in zip(known, heights)]
            # A percentile interval of few Docs may leave the value out; a bar has no negative length.
            below = [max(value - low, 0) for value, (low, _) in zip(heights, ends)]
            above = [max(high - value, 0) for value, (_, high) in zip(heights, ends)]
            layers = [row.layer for row in known]
            axes.errorbar(layers, heights, yerr=[below, above], label=component, marker="o", capsize=3)
        axes.set(title=title, xlabel="layer")
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=150)


def _print_layers(rows: Sequence[Geometry]) -> None:
    from wasabi import msg

    lines: List[Tuple[object, ...]] = []
    for row in rows:
        ends = row.intervals.get("mean_cosine")
        interval = "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
        measured = [decimals(getattr(row, name)) for name in _COLUMNS]
        lines.append((row.component, row.layer, decimals(row.mean_cosine), interval, *measured))
    header = ("component", "layer", "any two", "95 %", *_COLUMNS.values())
    msg.table(lines, header=header, aligns=("l", *"r" * (len(header) - 1)), divider=True)
    for row in rows:
        if row.layer == 0:
            typer.echo(f"{row.component}: {row.model}, {row.n_tokens:,} tokens, {row.n_words} words drawn")


def _print_findings(found: Sequence[Finding]) -> None:
    for component, group in groupby(found, key=lambda finding: finding.component):
        typer.echo(f"\n{component} beside what papers found:")
        for finding in group:
            model = "this model" if finding.same_model else "another model"
            typer.echo(f"  {_ANSWERS[finding.agrees]:>3}  {finding.claim} ({finding.paper}; {model}). {finding.here}")
