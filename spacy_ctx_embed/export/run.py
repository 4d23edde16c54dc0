"""An export from start to end: what to do, which shards are done already, and who does the others."""

from __future__ import annotations

import errno
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from thinc.api import CupyOps, get_current_ops

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.errors import Errors, reason_of, refused
from spacy_ctx_embed.export.columns import Columns
from spacy_ctx_embed.export.corpus.files import InputFile, find_files
from spacy_ctx_embed.export.corpus.read import DOCUMENTS, Layout, read_items
from spacy_ctx_embed.export.identity import describe, find_components, find_widths
from spacy_ctx_embed.export.local import export_here, export_in_processes
from spacy_ctx_embed.export.manifest import METADATA, Done, ExportFolder
from spacy_ctx_embed.export.on_ray import export_on_ray
from spacy_ctx_embed.export.pipelines import open_pipeline
from spacy_ctx_embed.export.progress import Progress
from spacy_ctx_embed.export.selection import OWNER, Rows
from spacy_ctx_embed.export.shards import CHARACTERS, Shard, cut_shards, read_share
from spacy_ctx_embed.export.summary import Summary, summarize
from spacy_ctx_embed.export.tables import word_items
from spacy_ctx_embed.export.worker import Plan

ENGINES = ("local", "ray")
ON_ERROR = ("stop", "skip")


def export(
    pipeline: Union[str, Path],
    inputs: Sequence[Union[str, Path]],
    out: Union[str, Path],
    *,
    rows: str = "token",
    span_group: Optional[str] = None,
    chunk_size: int = 128,
    chunk_overlap: int = 32,
    words: Optional[Sequence[str]] = None,
    pos: Optional[Sequence[str]] = None,
    components: Optional[Sequence[str]] = None,
    columns: Sequence[str] = (),
    dtype: str = "float32",
    format: Optional[str] = None,
    documents: str = "line",
    text_column: str = "text",
    id_column: Optional[str] = None,
    on_error: str = "stop",
    shard_size: int = CHARACTERS,
    shard: Optional[str] = None,
    workers: int = 1,
    engine: str = "local",
    ray_address: Optional[str] = None,
    code: Optional[Union[str, Path]] = None,
    progress: bool = False,
) -> Summary:
    """Embed a corpus: a Parquet dataset with one row per token, sentence, entity, span, chunk or document.

    With rows of "word" there is no corpus: the table of a static component becomes such a dataset.

    What was begun by the same call is gone on with: shards that are done are not done again.

    :param pipeline: path of a pipeline, or name of an installed one.
    :param inputs: files, folders, patterns, or ``-`` for standard input; none with rows of "word".
    :param out: the folder to write.
    :param rows: "doc", "sentence", "entity", "span-group", "token" or "chunk"; "word" for the table of a
        static component.
    :param span_group: key in ``doc.spans``, with rows of "span-group".
    :param chunk_size: tokens of a chunk.
    :param chunk_overlap: tokens that a chunk shares with the next one. Chunks are pooled after the whole document was
        read (late chunking, Günther et al. 2024, arXiv:2409.04701).
    :param words: keep only these tokens, whatever their case.
    :param pos: keep only tokens of these coarse parts of speech.
    :param components: names of embedding components, a column each; all of the pipeline if not given.
    :param columns: more columns, of "lemma", "tag", "pos", "label" (of the entity that a token is in).
    :param dtype: of vectors: "float32", "float16", or "int8" with a scale per row in the column ``NAME_scale``.
    :param format: of all files, where their names do not tell.
    :param documents: what a document is in a text file: a "line" or the "file".
    :param text_column: column or key of the text.
    :param id_column: column or key of the id; "id" where there is one if not given, else file and number.
    :param on_error: "stop" at a document that fails, or "skip" it and list it.
    :param shard_size: characters of a shard.
    :param shard: ``i/n``: of n jobs that share the shards the i-th.
    :param workers: processes, or actors of Ray.
    :param engine: "local" or "ray".
    :param ray_address: of a Ray cluster; one on this machine if not given.
    :param code: Python file to import first.
    :param progress: whether to show a bar on standard error.
    :return: what the dataset holds.
    :raises ValueError: if an argument is not accepted, the folder is of another export, or a document fails.
    :raises OSError: if something can't be read or written.
    :raises RuntimeError: if a worker ends without a word.
    """
    started = time.perf_counter()
    for key, value, accepted in (("on_error", on_error, ON_ERROR), ("engine", engine, ENGINES)):
        check_one_of(OWNER, f"--{key.replace('_', '-')}", value, accepted)
    check_one_of(OWNER, "--documents", documents, DOCUMENTS)
    check_positive(OWNER, "--workers", workers)
    check_positive(OWNER, "--shard-size", shard_size)
    job, n_jobs = (0, 1) if shard is None else read_share(shard, owner=OWNER)
    kept = [None if chosen is None else frozenset(chosen) for chosen in (words and map(str.lower, words), pos)]
    wanted = Rows(rows, span_group, chunk_size, chunk_overlap, *kept)
    _check_inputs(rows, inputs)
    files = find_files([str(given) for given in inputs], owner=OWNER, format=format)
    nlp = open_pipeline(str(pipeline), None if code is None else str(code))
    _check_device(workers, engine)
    chosen = find_components(nlp, components)[: 1 if rows == "word" else None]
    widths, names = find_widths(nlp, chosen, rows), tuple(pipe.name for pipe in chosen)
    description = describe(nlp, chosen, widths, str(pipeline))
    table = Columns(wanted, names, widths, dtype, tuple(columns))
    layout = Layout(documents, text_column, id_column)
    folder = ExportFolder(Path(out))
    manifest = _manifest(description, table, layout, files, on_error, shard_size)
    plan = Plan(
        pipeline=str(Path(pipeline).resolve()) if Path(pipeline).exists() else str(pipeline),
        fingerprint=description["fingerprint"],
        code=None if code is None else str(Path(code).resolve()),
        out=str(folder.out.resolve()),
        columns=table,
        metadata={METADATA: json.dumps({key: manifest[key] for key in ("description", "rows")})},
        skip=on_error == "skip",
    )
    now: List[Done] = []
    seen = _Seen()
    bar = Progress(files, shown=progress)
    try:
        folder.begin(manifest)
        with folder.locked(job, n_jobs):
            table_only = rows == "word"
            items = word_items(nlp, names[0]) if table_only else read_items(files, layout, progress=bar.read)
            shards = cut_shards(items, shard_size)
            left = (one for one in seen.counted(shards) if one.number % n_jobs == job and not folder.is_done(one))
            if engine == "ray":
                results = export_on_ray(plan, left, workers, ray_address)
            elif workers > 1:
                results = export_in_processes(nlp, plan, left, workers)
            else:
                results = export_here(nlp, plan, left)
            for done in results:
                now.append(done)
                bar.wrote(done)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG):
            raise
        values = {"file": error.filename or folder.out, "reason": reason_of(error), "n_done": len(folder.parts())}
        raise OSError(error.errno, Errors.E113.format(owner=OWNER, **values)) from error
    finally:
        bar.close()
    return summarize(str(out), folder.done().values(), now, seen.n, time.perf_counter() - started)


class _Seen:
    # How many shards the input has.
    def __init__(self) -> None:
        self.n = 0

    def counted(self, shards: Iterator[Shard]) -> Iterator[Shard]:
        for shard in shards:
            self.n += 1
            yield shard


def _manifest(
    description: Dict[str, Any],
    table: Columns,
    layout: Layout,
    files: Sequence[InputFile],
    on_error: str,
    shard_size: int,
) -> Dict[str, Any]:
    rows = table.rows
    return {
        "description": description,
        "the pipeline": description["fingerprint"],
        "the input": [[file.label, file.format, file.size] for file in files],
        "rows": rows.kind,
        "--span-group": rows.span_group,
        "--chunk-size": [rows.chunk_size, rows.chunk_overlap] if rows.kind == "chunk" else None,
        "--words": None if rows.words is None else sorted(rows.words),
        "--pos": None if rows.pos is None else sorted(rows.pos),
        "--component": list(table.components),
        "--column": list(table.extra),
        "--dtype": table.dtype,
        "--documents": layout.documents,
        "--text-column": layout.text,
        "--id-column": layout.id,
        "--on-error": on_error,
        "--shard-size": shard_size,
    }


def _check_inputs(rows: str, inputs: Sequence[Union[str, Path]]) -> None:
    if (rows == "word") != (not inputs):
        told = "is given, and the words are those of a table" if inputs else "is not given"
        fix = "leave it out, or choose other rows" if inputs else "name the corpus"
        given = ", ".join(map(str, inputs))
        raise refused(OWNER, "INPUT", given, told, "a corpus, or with --rows word none", fix)


def _check_device(workers: int, engine: str) -> None:
    if workers > 1 and engine == "local" and isinstance(get_current_ops(), CupyOps):
        accepted, fix = "1 on a GPU, or several processes on the CPU", "leave --workers out, or spacy.require_cpu()"
        raise refused(OWNER, "--workers", workers, "is more than one, and the GPU is one", accepted, fix)
