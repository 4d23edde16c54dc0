"""``senses``: one page that shows how static, ELMo and BERT vectors see the uses of a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.seeing.senses_data import WordView

_WORDS = "Words; if none, those that the corpus names in a column"
_CORPUS = (
    "Text file, one Doc a line; .spacy file; or .tsv file of sense and sentence, or word, sense and sentence. "
    "Sentences with the senses of five words if not given"
)
_WIDEST = 24  # characters of a word in the table
_PIPELINE = "Path of a pipeline, or name of an installed one; English with the default models if not given"

_CORRECTION = (
    "Show each source before and after center, standardize, abtt or whiten; if not given, those whose component has "
    "the setting"
)
_PNG = "PNG of all pictures, such as pictures.png; or a folder for one each"


def senses_cli(
    # fmt: off
    words: Optional[List[str]] = typer.Argument(None, metavar="[WORD]...", help=_WORDS),  # noqa: B008
    output: Path = typer.Option(..., "--output", "-o", help="HTML file to write", dir_okay=False),  # noqa: B008
    corpus: Optional[Path] = typer.Option(None, "--corpus", "-f", help=_CORPUS, exists=True, dir_okay=False),  # noqa: B008
    pipeline: Optional[str] = typer.Option(None, "--pipeline", "-p", help=_PIPELINE),
    limit: int = typer.Option(1000, "--limit", "-n", help="Uses of each word at most", min=1),
    lang: str = typer.Option("en", "--lang", "-l", help="Language of the page: en or zh"),
    seed: int = typer.Option(0, "--seed", "-s", help="Of samples, clusters and intervals", min=0),
    correction: Optional[str] = typer.Option(None, "--correction", "-k", help=_CORRECTION),
    projection: str = typer.Option("pca", "--projection", help="Of the planes: pca or umap"),
    png: Optional[Path] = typer.Option(None, "--png", help=_PNG),  # noqa: B008
    svg: Optional[Path] = typer.Option(None, "--svg", help="The same as SVG"),  # noqa: B008
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Draw the uses of words as static, ELMo and BERT vectors see them, layer by layer, on one HTML page.

    Example: python -m spacy embed senses bank spring --output senses.html
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.seeing.pictures import check_place, save_pictures
    from spacy_ctx_embed.seeing.senses import OWNER, draw_senses
    from spacy_ctx_embed.seeing.senses_data import figures_of
    from spacy_ctx_embed.seeing.senses_pictures import panels_of

    places = [(kind, place) for kind, place in (("png", png), ("svg", svg)) if place is not None]
    import_code(code)
    with errors_reported("Can't draw the senses", as_json=as_json):
        for kind, place in places:
            check_place(place, kind, owner=OWNER)
        nlp = None if pipeline is None else spacy.load(pipeline)
        settings: Dict[str, Any] = {"limit": limit, "lang": lang, "seed": seed, "projection": projection}
        settings["correction"] = correction
        views = draw_senses(output, words or (), corpus=corpus, nlp=nlp, **settings)
        for kind, place in places:
            panels = panels_of(views, lang)
            save_pictures(panels, place, kind, columns=len(views[0].sources), owner=OWNER)
    missing = sorted({word.strip().lower() for word in words or () if word.strip()} - {view.word for view in views})
    if as_json:
        found = {"output": str(output), "missing": missing, "words": [figures_of(view) for view in views]}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    msg.table(
        _rows(views),
        header=("word", "uses", "source", "best layer", "AUC, 95% interval"),
        aligns=("l", "r", "l", "r", "l"),
        divider=True,
    )
    if missing:
        msg.warn(f"Not in the corpus: {', '.join(missing)}")
    for written in (output, *(place for _, place in places)):
        msg.good(f"Wrote {written}")


def _rows(views: Sequence[WordView]) -> List[Tuple[str, ...]]:
    rows: List[Tuple[str, ...]] = []
    for view in views:
        for source in view.sources:
            scores = [layer.score for layer in source.layers]
            known = [score for score in scores if score is not None]
            best = max(known, key=lambda score: score.auc) if known else None
            auc = f"{best.auc:.3f} [{best.low:.3f}, {best.high:.3f}]" if best else "-"
            layer = str(scores.index(best)) if best else "-"
            rows.append((_short(view.word), str(source.n_with), source.name, layer, auc))
    return rows


def _short(word: str) -> str:
    return word if len(word) <= _WIDEST else word[: _WIDEST - 1] + "…"
