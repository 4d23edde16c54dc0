"""``convert-vectors``: a table of word vectors in any format that can be read -> a folder that opens at once."""

from __future__ import annotations

import json
import math
import time
import warnings
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import typer

from spacy_ctx_embed.cli.terminal.folders import check_free, is_table, put_table
from spacy_ctx_embed.cli.terminal.reporting import decimals, errors_reported
from spacy_ctx_embed.cli.terminal.words import read_words

if TYPE_CHECKING:
    from spacy_ctx_embed.models.static.tables.table import VectorTable

OWNER = "embed convert-vectors"
_CANDIDATES = 30_000  # words that may be answers of an analogy, as in ``embed intrinsic``


class Dtype(str, Enum):
    """Number formats of the rows that are written."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


def convert_vectors_cli(
    source: str = typer.Argument(..., help="Path of a table in any format, or an alias such as glove-6b-50d"),
    out: Path = typer.Argument(..., help="Folder to write, new or empty"),  # noqa: B008
    dtype: Dtype = typer.Option(Dtype.float32, "--dtype", help="Number format; int8 has a factor per row"),  # noqa: B008
    limit: Optional[int] = typer.Option(None, "--limit", help="Keep so many words, from the first on", min=1),
    words: Optional[Path] = typer.Option(  # noqa: B008
        None, "--words", "-w", help="Keep the words of this text file, one a line", exists=True, dir_okay=False
    ),
    width: Optional[int] = typer.Option(None, "--pca", help="Keep so many principal components", min=1),
    price: bool = typer.Option(False, "--price", help="Print what it costs on word similarity and analogies"),
    strict: bool = typer.Option(False, "--strict", help="Refuse repeated words and words that are no UTF-8"),
    allow_pickle: bool = typer.Option(False, "--allow-pickle", help="Load gensim's own files, which are pickles"),
    force: bool = typer.Option(False, "--force", "-F", help="Replace a table that was written before"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
) -> None:
    """
    Convert a table of word vectors to a folder that opens at once, and smaller where that is asked for.

    Afterwards, set 'name' in the config of static_embeddings to the folder written.
    Example: python -m spacy embed convert-vectors glove.6B.300d.txt glove --dtype float16 --price
    """
    from wasabi import msg

    with errors_reported("Can't convert the table", as_json=as_json):
        report = convert_vectors(
            source,
            out,
            dtype=dtype.value,
            limit=limit,
            words=words,
            width=width,
            price=price,
            strict=strict,
            allow_pickle=allow_pickle,
            force=force,
        )
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    prices = report.pop("price", [])
    rows = [(key, f"{value:,}" if isinstance(value, (int, float)) else value) for key, value in report.items()]
    msg.table(rows[1:])
    if prices:
        fields = [
            (p["test"], decimals(p["before"]), decimals(p["after"]), f"{p['answered']:,} of {p['all']:,}")
            for p in prices
        ]
        msg.table(fields, header=("test", "before", "after", "answered"), aligns=("l", "r", "r", "r"), divider=True)
    msg.good("Converted the table. Use it in the config of static_embeddings as:")
    typer.echo(f'name = "{out.as_posix()}"')


def convert_vectors(
    source: str,
    out: Path,
    *,
    dtype: str = "float32",
    limit: Optional[int] = None,
    words: Optional[Path] = None,
    width: Optional[int] = None,
    price: bool = False,
    strict: bool = False,
    allow_pickle: bool = False,
    force: bool = False,
) -> Dict[str, Any]:
    """Read, shrink and write a table.

    :param source: path, place or alias, as in a config.
    :param out: the folder to write. It takes its place whole at the end, so a failure leaves nothing half done.
    :param dtype: "float32", "float16" or "int8".
    :param limit: keep so many words, from the first on.
    :param words: keep the words of this file, one a line.
    :param width: keep so many principal components.
    :param price: measure word similarity and analogies before and after.
    :param strict: make an error of a warning: repeated words, words that are no UTF-8.
    :param allow_pickle: load gensim's own files, which are pickles.
    :param force: whether a table that was written there before may be replaced.
    :return: what was done: "out", "words", "width", "dtype", "bytes", "seconds" and, where asked for, "price"; a test
        of which too little could be asked has the value null there.
    :raises ModelNotFoundError: if the table is nowhere.
    :raises ModelFormatError: if it can't be read, or with ``strict`` not without a warning.
    :raises FileExistsError: if something is there that must not be replaced.
    :raises ValueError: if no word is left, ``width`` is more than the table's, or ``limit`` means nothing to it.
    """
    from spacy_ctx_embed.errors import refused
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.models.static.formats import open_table
    from spacy_ctx_embed.models.static.shrink import shrink

    check_free(out, force, owner=OWNER, thing="table", is_one=is_table)
    wanted = None if words is None else read_words(words, OWNER)
    start = time.perf_counter()
    path = find_model("static", source, owner=OWNER, key="the source").path
    with warnings.catch_warnings():
        if strict:
            warnings.simplefilter("error", UserWarning)
        try:
            table = open_table(path, limit=limit, allow_pickle=allow_pickle)
        except UserWarning as warning:
            raise ValueError(f"{warning} It is an error because of --strict.") from None
    check_limit(table, limit, owner=OWNER)
    if width is not None and width > table.width:
        accepted = f"at most {table.width}, the width of the table"
        raise refused(OWNER, "--pca", width, "is more than there is", accepted, "name a smaller number")
    smaller = shrink(table, words=wanted, width=width, dtype=dtype)
    if wanted is not None and not len(smaller.words):
        accepted = "a list with words of the table in it"
        fix = "write words as the table does"
        raise refused(OWNER, "--words", str(words), "has no word of the table", accepted, fix)
    n_bytes = put_table(out, smaller)
    report: Dict[str, Any] = {
        "out": out.as_posix(),
        "words": len(smaller.words),
        "width": smaller.width,
        "dtype": dtype,
        "bytes": n_bytes,
        "seconds": round(time.perf_counter() - start, 2),
    }
    if price:
        report["price"] = [
            {"test": before[0], "before": before[1], "after": after[1], "answered": after[2], "all": after[3]}
            for before, after in zip(_measure(table), _measure(smaller))
        ]
    return report


def check_limit(table: VectorTable, limit: Optional[int], *, owner: str) -> None:
    """Refuse to keep some words of a table that has no list of them.

    :param table: the table.
    :param limit: how many words were to be kept; null for all.
    :param owner: the command, for the message.
    :raises ValueError: if it is a table of parts and a number is given.
    """
    from spacy_ctx_embed.errors import refused

    if limit is not None and table.word_parts is not None:
        reason = "means nothing to a table in which the row of every word is made of parts"
        raise refused(owner, "--limit", limit, reason, "a table with a list of words", "leave the option out")


def _measure(table: VectorTable) -> List[Tuple[str, Optional[float], int, int]]:
    # Test, value, questions answered, and all of them.
    import numpy as np

    from spacy_ctx_embed.measures.intrinsic import load_tests, score_rows
    from spacy_ctx_embed.measures.word_table import WordTable
    from spacy_ctx_embed.models.static.tables.index import word_ids

    tests = load_tests(owner=OWNER)
    frequent = [word for word in table.words[:_CANDIDATES] if word.strip()] or tests.words()
    words = list(dict.fromkeys(form for word in (*frequent, *tests.words()) for form in (word, word.lower())))
    # the frequent words come first, as they count as answers
    words = list(dict.fromkeys([*frequent, *words]))
    if table.word_parts is None:
        places = table.word_index.find(word_ids(words))
        kept = np.flatnonzero(places >= 0)
        rows = table.take(places[kept])
    else:
        rows, known = table.word_parts.rows(words)
        kept = np.flatnonzero(known)
        rows = rows[kept]
    found = WordTable([words[i] for i in kept.tolist()], rows[None], int((kept < len(frequent)).sum()))
    scores = score_rows(found, found.layers[0], tests)
    return [
        (test, None if math.isnan(value) else round(value, 3), answered, every)  # JSON has no NaN
        for test, _, value, _, _, answered, every, _ in scores
    ]
