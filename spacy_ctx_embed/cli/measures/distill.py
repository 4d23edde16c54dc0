"""``distill``: contextual vectors over a corpus -> a static table, which ``static_embeddings`` loads."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import List, Optional

import typer

from spacy_ctx_embed.cli.terminal.folders import put_folder
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
    import spacy
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.measures.distill import contextual_source, distill, layer_number
    from spacy_ctx_embed.sources.docs import read_docs

    import_code(code)
    with errors_reported("Can't distill a table", as_json=as_json):
        check_free(out, force)
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
        write_table(out, found.words, found.layers[0])
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


def check_free(out: Path, force: bool) -> None:
    """Refuse to replace what must not be replaced.

    :param out: the folder to write.
    :param force: whether a table that was written there before may be replaced.
    :raises FileExistsError: if something is there that must stay.
    """
    from spacy_ctx_embed.errors import Errors
    from spacy_ctx_embed.models.static.table import META, VECTORS, WORDS

    if not os.path.lexists(out):
        return
    plain = out.is_dir() and not out.is_symlink()
    inside = {file.name for file in out.iterdir()} if plain else set()
    if plain and (not inside or (force and inside <= {META, VECTORS, WORDS})):
        return
    ours = plain and inside <= {META, VECTORS, WORDS}
    raise FileExistsError(
        Errors.E086.format(
            owner=OWNER,
            key="OUT",
            value=str(out),
            reason="has a table in it" if ours else "is there already, and no table of this command",
            accepted="a folder that is new or empty, or with --force a table that was written before",
            fix="name another folder" + (", or replace the table by --force" if ours else ""),
        )
    )


def write_table(out: Path, words: List[str], rows: object) -> None:
    """Write a table as a folder of our own format, exact for any word. It takes its place whole at the end.

    :param out: the folder; one that is there is replaced.
    :param words: ``n_words`` words.
    :param rows: ``(n_words, width)`` float32.
    :raises ModelFormatError: if a number is not finite.
    """
    import numpy as np

    from spacy_ctx_embed.models.static.table import make_table

    table = make_table(out, words, np.ascontiguousarray(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        written = Path(beside) / "new"
        written.mkdir()
        table.save(written)
        put_folder(written, out, Path(beside) / "old")
