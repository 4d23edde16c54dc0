"""``similar``: the nearest words of a static table, analogies, and the word that does not belong to the others."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

if TYPE_CHECKING:
    from spacy_ctx_embed.models.static.tables.table import VectorTable

OWNER = "embed similar"


class Method(str, Enum):
    """How several words are put together."""

    add = "add"
    mul = "mul"


def similar_cli(
    words: List[str] = typer.Argument(..., help="One word or more"),  # noqa: B008
    table: str = typer.Option("glove-6b-50d", "--table", "-t", help="Path or alias of a table, or path of a pipeline"),
    minus: Optional[List[str]] = typer.Option(  # noqa: B008
        None, "--minus", "-m", help="A word that the answers are not to be like; more than once for several"
    ),
    n: int = typer.Option(10, "--n", "-n", help="Answers", min=1),
    method: Method = typer.Option(Method.add, "--method", help="3CosAdd or 3CosMul"),  # noqa: B008
    odd: bool = typer.Option(False, "--odd", help="Tell which of the words belongs least to the others"),
    allow_pickle: bool = typer.Option(False, "--allow-pickle", help="Load gensim's own files, which are pickles"),
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
) -> None:
    """
    Ask a table of word vectors for the words most like some words, and least like others.

    Example: python -m spacy embed similar king woman --minus man
    """
    from wasabi import msg

    with errors_reported("Can't ask the table", as_json=as_json):
        answers = similar(
            words, table=table, minus=minus or (), n=n, method=method.value, odd=odd, allow_pickle=allow_pickle
        )
    if as_json:
        rows = [{"word": word, "score": round(score, 6)} for word, score in answers]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    scored = "cosine to the others' mean" if odd else "3CosMul" if method == Method.mul else "cosine"
    msg.table([(word, f"{score:.4f}") for word, score in answers], header=("word", scored), aligns=("l", "r"))


def similar(
    words: Sequence[str],
    *,
    table: str = "glove-6b-50d",
    minus: Sequence[str] = (),
    n: int = 10,
    method: str = "add",
    odd: bool = False,
    allow_pickle: bool = False,
) -> List[Tuple[str, float]]:
    """Ask a table.

    :param words: one word or more.
    :param table: path or alias of a table, or path of a pipeline with a static component or with vectors.
    :param minus: words that the answers are not to be like.
    :param n: answers at most.
    :param method: "add" (3CosAdd) or "mul" (3CosMul).
    :param odd: order the words themselves, the one that belongs least to the others first.
    :param allow_pickle: load gensim's own files, which are pickles.
    :return: words and scores.
    :raises ModelNotFoundError: if the table is nowhere.
    :raises ValueError: if the table lacks a word.
    """
    from spacy_ctx_embed.models.static.ask import doesnt_match, most_similar

    found = _open(table, allow_pickle)
    if odd:
        return doesnt_match(found, words)
    return most_similar(found, words, minus, n, method=method)


def _open(name: str, allow_pickle: bool) -> VectorTable:
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.models.static.formats import open_table

    if (Path(name) / "config.cfg").is_file():
        return _table_of(Path(name))
    path = find_model("static", name, owner=OWNER, key="the table").path
    return open_table(path, allow_pickle=allow_pickle, subwords=False, cache=True)


def _table_of(pipeline: Path) -> VectorTable:
    import spacy

    from spacy_ctx_embed.encoders.static.vocab_table import table_of_vocab
    from spacy_ctx_embed.encoders.static.word_vectors import TableVectors
    from spacy_ctx_embed.errors import refused
    from spacy_ctx_embed.models.static.formats import open_table
    from spacy_ctx_embed.sources.layers import all_sources
    from spacy_ctx_embed.sources.table import network_of

    nlp = spacy.load(pipeline)
    for source in all_sources(nlp):
        network = network_of(source)
        if isinstance(network, TableVectors):
            return network.table
    table = table_of_vocab(nlp.vocab)
    if table is not None:
        return table
    if nlp.vocab.vectors.size:  # of spaCy's own class
        return open_table(pipeline, subwords=False, cache=True)
    reason = "has no component with a table of words, and no vectors"
    accepted = "a pipeline with static_embeddings or with vectors, or a table"
    raise refused(OWNER, "--table", str(pipeline), reason, accepted, "name a table")
