"""``export``: a corpus to a Parquet dataset of vectors."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported
from spacy_ctx_embed.cli.terminal.words import read_words

if TYPE_CHECKING:
    from spacy_ctx_embed.export.summary import Summary

OWNER = "embed export"
_KEPT = "Stopped. The shards that were finished are kept; the same command goes on"


def export_cli(
    pipeline: str = typer.Argument(..., help="Path of a pipeline, or name of an installed one"),
    paths: List[str] = typer.Argument(  # noqa: B008
        ..., metavar="INPUT... OUT", help="Files, folders, patterns or - for standard input; last the folder to write"
    ),
    rows: str = typer.Option(
        "token", "--rows", "-r", help="doc, sentence, entity, span-group, token or chunk; word for a static table"
    ),
    component: Optional[List[str]] = typer.Option(  # noqa: B008
        None, "--component", "-e", help="Component to export; all if not given"
    ),
    dtype: str = typer.Option("float32", "--dtype", "-d", help="float32, float16, or int8 with a scale per row"),
    column: Optional[List[str]] = typer.Option(  # noqa: B008
        None, "--column", help="Column besides: lemma, tag, pos or label"
    ),
    words: Optional[Path] = typer.Option(  # noqa: B008
        None, "--words", "-w", help="Text file of the words to keep, one a line", exists=True, dir_okay=False
    ),
    pos: Optional[str] = typer.Option(None, "--pos", help="Parts of speech to keep, as NOUN,VERB"),
    span_group: Optional[str] = typer.Option(None, "--span-group", help="Key in doc.spans, for --rows span-group"),
    chunk_size: int = typer.Option(128, "--chunk-size", help="Tokens of a chunk"),
    chunk_overlap: int = typer.Option(32, "--chunk-overlap", help="Tokens that a chunk shares with the next"),
    format: Optional[str] = typer.Option(
        None, "--format", "-f", help="text, jsonl, csv, tsv, parquet, arrow or spacy, where names do not tell"
    ),
    documents: str = typer.Option("line", "--documents", help="What a document is in a text file: a line, or the file"),
    text_column: str = typer.Option("text", "--text-column", help="Column or key of the text"),
    id_column: Optional[str] = typer.Option(
        None, "--id-column", help='Column or key of the id; "id" where there is one, else file and number'
    ),
    on_error: str = typer.Option("stop", "--on-error", help="stop, or skip and list documents that can't be exported"),
    shard: Optional[str] = typer.Option(None, "--shard", help="i/n: of n jobs that share the work the i-th, from 1 on"),
    shard_size: int = typer.Option(1_000_000, "--shard-size", help="Characters of a shard"),
    workers: int = typer.Option(1, "--workers", "-n", help="Processes, or actors of Ray"),
    engine: str = typer.Option("local", "--engine", help="local, or ray for a cluster"),
    ray_address: Optional[str] = typer.Option(
        None, "--ray-address", help="Address of a Ray cluster; one on this machine if not given"
    ),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    code: Optional[Path] = typer.Option(  # noqa: B008
        None, "--code", "-c", help="Python file to import first, as in spacy train"
    ),
) -> None:
    """
    Embed a corpus into a folder of Parquet files: a row per token, sentence, entity, span, chunk or document.

    The same command again goes on where it was stopped, whatever stopped it.

    With --rows word and no INPUT the table of a static component becomes such a folder.

    Example: python -m spacy embed export my_pipeline books/*.txt.gz vectors --rows sentence --dtype float16
    """
    with errors_reported("Can't export", stopped=_KEPT, as_json=as_json):
        from spacy_ctx_embed.errors import refused
        from spacy_ctx_embed.export.run import export

        if len(paths) < 2 and rows != "word":
            accepted = "at least one input, and last the folder to write"
            raise refused(OWNER, "INPUT... OUT", " ".join(paths), "is one path", accepted, "name both")
        summary = export(
            pipeline,
            paths[:-1],
            paths[-1],
            rows=rows,
            components=component,
            dtype=dtype,
            columns=column or (),
            words=None if words is None else read_words(words, OWNER),
            pos=None if pos is None else [part.strip().upper() for part in pos.split(",")],
            span_group=span_group,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
            format=format,
            documents=documents,
            text_column=text_column,
            id_column=id_column,
            on_error=on_error,
            shard=shard,
            shard_size=shard_size,
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            code=code,
            progress=not as_json and sys.stderr.isatty(),
        )
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2, ensure_ascii=False))
        return
    print_summary(summary)


def print_summary(summary: Summary) -> None:
    """Print what an export holds.

    :param summary: its numbers.
    """
    from wasabi import msg

    speed = "" if summary.tokens_per_second is None else f", {summary.tokens_per_second:,.0f} tokens/s"
    rows = [
        ("documents", f"{summary.documents:,}"),
        ("tokens", f"{summary.tokens:,}"),
        ("rows", f"{summary.rows:,}"),
        ("files", f"{summary.shards:,}, {summary.shards_now:,} of them written now"),
        ("bytes", f"{summary.n_bytes:,}"),
        ("seconds", f"{summary.seconds:,.1f}{speed}"),
    ]
    rows += [
        (name, ", ".join(f"{n:,} {status}" for status, n in counts.items()))
        for name, counts in summary.statuses.items()
    ]
    msg.table(rows)
    for name, reason in summary.skipped:
        msg.warn(f"Skipped {name}: {reason}")
    if summary.complete:
        msg.good(f"All of the input is in {summary.out}")
    else:
        msg.warn(f"{summary.out} does not hold all of the input yet: run the other jobs, or this one without --shard")
