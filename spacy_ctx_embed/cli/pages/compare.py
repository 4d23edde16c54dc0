"""``compare``: all tokens of a text against all tokens, as a page for the browser."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.seeing.compare import Picture

_PNG = "PNG of all pictures, such as pictures.png; or a folder for one each"


def compare_cli(
    # fmt: off
    text: str = typer.Argument(..., help="The text"),
    pipeline: Optional[str] = typer.Option(
        None,
        "--pipeline",
        "-p",
        help="Path of a pipeline, or name of an installed one; static, ELMo and BERT by default",
    ),
    output: Path = typer.Option(Path("compare.html"), "--output", "-o", help="HTML file to write", dir_okay=False),  # noqa: B008
    png: Optional[Path] = typer.Option(None, "--png", help=_PNG),  # noqa: B008
    svg: Optional[Path] = typer.Option(None, "--svg", help="The same as SVG"),  # noqa: B008
    lang: str = typer.Option("en", "--lang", "-l", help="Language of the page: en or zh"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Draw the cosines of all tokens of a text with all tokens, a heat map for each embedding component.

    Example: python -m spacy embed compare "We sat on the river bank, and the bank was closed." --output bank.html
    """
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.seeing.compare import OWNER, compare, panels_of, write_page
    from spacy_ctx_embed.seeing.default import default_pipeline
    from spacy_ctx_embed.seeing.pictures import check_place, save_pictures

    places = [(kind, place) for kind, place in (("png", png), ("svg", svg)) if place is not None]
    import_code(code)
    with errors_reported("Can't compare the tokens", as_json=as_json):
        for kind, place in places:
            check_place(place, kind, owner=OWNER)
        nlp = default_pipeline() if pipeline is None else spacy.load(pipeline)
        pictures = compare(nlp, text)
        write_page(pictures, text, output, lang)
        for kind, place in places:
            save_pictures(panels_of(pictures), place, kind, columns=len(pictures), owner=OWNER)
    if as_json:
        found = [_figures(picture) for picture in pictures]
        typer.echo(json.dumps({"output": str(output), "pictures": found}, indent=2, ensure_ascii=False))
        return
    for picture in pictures:
        typer.echo(f"{picture.name}: {picture.model}, mean cosine of two different tokens {picture.mean:.2f}")
    for written in (output, *(place for _, place in places)):
        msg.good(f"Wrote {written}")


def _figures(picture: Picture) -> Dict[str, Any]:
    # Without the drawing; null where a token has no vector.
    cosines = [[None if cosine != cosine else round(cosine, 4) for cosine in row] for row in picture.cosines.tolist()]
    values = {key: value for key, value in asdict(picture).items() if key not in ("svg", "cosines")}
    return {**values, "cosines": cosines}
