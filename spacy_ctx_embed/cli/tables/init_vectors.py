"""``init-vectors``: a pipeline with a table as ``nlp.vocab.vectors``, as ``spacy init vectors``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported

OWNER = "embed init-vectors"


def init_vectors_cli(
    lang: str = typer.Argument(..., help="Language of the pipeline, such as en, or xx for any"),
    source: str = typer.Argument(..., help="Path of a table in any format, or an alias such as glove-6b-50d"),
    out: Path = typer.Argument(..., help="Folder of the pipeline to write, new or empty"),  # noqa: B008
    name: Optional[str] = typer.Option(None, "--name", "-n", help="Name of the vectors in the pipeline's meta.json"),
    limit: Optional[int] = typer.Option(None, "--limit", help="Keep so many words, from the first on", min=1),
    subwords: bool = typer.Option(False, "--subwords", help="Vectors of unknown words from fastText's n-grams"),
    allow_pickle: bool = typer.Option(False, "--allow-pickle", help="Load gensim's own files, which are pickles"),
) -> None:
    """
    Write an empty pipeline with word vectors of spaCy's own kind: token.vector, lexeme.vector, most_similar.

    Example: python -m spacy embed init-vectors en glove-6b-50d english_vectors
    """
    from wasabi import msg

    with errors_reported("Can't write the pipeline"):
        report = init_vectors(lang, source, out, name=name, limit=limit, subwords=subwords, allow_pickle=allow_pickle)
    msg.good(f"Wrote {report['words']:,} vectors of width {report['width']}. Use them by:")
    typer.echo(f"nlp = spacy.load({out.as_posix()!r})")


def init_vectors(
    lang: str,
    source: str,
    out: Path,
    *,
    name: Optional[str] = None,
    limit: Optional[int] = None,
    subwords: bool = False,
    allow_pickle: bool = False,
) -> Dict[str, Any]:
    """Write a pipeline with a table as its vocab's vectors.

    :param lang: language of the pipeline.
    :param source: path, place or alias of the table, as in a config.
    :param out: the folder to write.
    :param name: name of the vectors in ``meta.json``.
    :param limit: keep so many words, from the first on.
    :param subwords: whether unknown words get the mean of fastText's n-grams.
    :param allow_pickle: load gensim's own files, which are pickles.
    :return: "words" and "width".
    :raises ModelNotFoundError: if the table is nowhere.
    :raises FileExistsError: if something is in the folder.
    :raises ValueError: if ``limit`` means nothing to the table.
    """
    import spacy

    from spacy_ctx_embed.cli.tables.convert_vectors import check_limit
    from spacy_ctx_embed.cli.terminal.folders import check_free, is_pipeline
    from spacy_ctx_embed.models.files import whole_folder

    check_free(out, force=False, owner=OWNER, thing="pipeline", is_one=is_pipeline)
    settings = {"name": source, "limit": limit, "allow_pickle": allow_pickle}
    vectors = {
        "@vectors": "spacy_ctx_embed.TableVectors.v1",
        **settings,
        "oov": "subword" if subwords else "zero",
    }
    nlp = spacy.blank(lang, config={"nlp": {"vectors": vectors}})
    table: Any = nlp.vocab.vectors
    words, width = len(table.table.words), table.table.width  # opened here, so that a missing table is an error
    check_limit(table.table, limit, owner=OWNER)
    table.name = name
    with whole_folder(out) as written:
        nlp.to_disk(written)
    return {"words": words, "width": width}
