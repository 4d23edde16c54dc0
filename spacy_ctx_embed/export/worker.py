"""One process that embeds shards: holds the pipeline, takes a shard, writes its file.

Enters: shards. Leaves: files of the dataset, each whole or not at all, and what is known of each.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.data import Status
from spacy_ctx_embed.errors import Errors, reason_of
from spacy_ctx_embed.export.columns import Columns, Embedded, valid
from spacy_ctx_embed.export.corpus.items import Failure, Item
from spacy_ctx_embed.export.manifest import Done, ExportFolder
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.export.shards import Shard

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP = 8192  # rows of a row group, a Doc more or less


@dataclass(frozen=True)
class Plan:
    """What every worker has to know.

    :param pipeline: name or path of the pipeline.
    :param fingerprint: of the pipeline.
    :param code: Python file to import first.
    :param out: the folder of the export.
    :param columns: of the dataset.
    :param metadata: of its files.
    :param skip: whether documents that fail are left out and listed, or end the export.
    """

    pipeline: str
    fingerprint: str
    code: Optional[str]
    out: str
    columns: Columns
    metadata: Dict[str, str]
    skip: bool


class _PipelineError(Exception):
    # Raised by the pipeline on a document, not by the writing.
    pass


class Worker:
    """Embeds shards.

    :param nlp: the pipeline.
    :param plan: what is exported.
    """

    def __init__(self, nlp: Language, plan: Plan) -> None:
        self._nlp, self._plan = nlp, plan
        if plan.columns.rows.kind == "word":  # nothing else has to read the words of a table
            nlp.select_pipes(enable=list(plan.columns.components))
        self._folder = ExportFolder(Path(plan.out))
        self._schema = plan.columns.schema().with_metadata(plan.metadata)

    def export(self, shard: Shard) -> Done:
        """Embed a shard and put its file into the dataset.

        :param shard: the shard.
        :return: what is known of it.
        :raises ValueError: if a document can't be exported, and such are not skipped.
        :raises OSError: if it can't be written.
        """
        started = time.perf_counter()
        if shard.failures and not self._plan.skip:
            raise _failed(shard.failures[0])
        failures, items = list(shard.failures), shard.items
        try:
            try:
                counts = self._write(shard.name, items)
            except _PipelineError as error:
                bad = self._failing(items, error.__cause__ or error)
                if not self._plan.skip:
                    raise _failed(next(iter(bad.values()))) from error
                failures += bad.values()
                items = [item for i, item in enumerate(items) if i not in bad]
                counts = self._write(shard.name, items)
            rows, texts = self._unfinished(shard.name)
            done = Done(
                fingerprint=shard.fingerprint,
                documents=len(items),
                tokens=counts.tokens,
                rows=counts.rows,
                statuses={name: dict(found) for name, found in counts.statuses.items()},
                skipped=[(failure.name, failure.reason) for failure in failures],
                seconds=round(time.perf_counter() - started, 3),
                n_bytes=rows.stat().st_size,
            )
            self._folder.put(shard, rows, texts if texts.is_file() else None, done)
        finally:
            for file in self._unfinished(shard.name):
                file.unlink(missing_ok=True)
        return done

    def _write(self, name: str, items: List[Item]) -> "_Counts":
        import pyarrow as pa

        rows_file, texts_file = self._unfinished(name)
        counts = _Counts()
        with contextlib.ExitStack() as stack:
            if hasattr(self._nlp, "memory_zone"):  # words of one shard are forgotten before the next
                stack.enter_context(self._nlp.memory_zone())
            rows = stack.enter_context(_writer(rows_file, self._schema, self._plan.columns))
            texts = None
            if self._plan.columns.rows.kind not in ("doc", "word"):
                schema = pa.schema([("doc", pa.string()), ("text", pa.string())])
                texts = stack.enter_context(_writer(texts_file, schema, None))
            for docs in self._groups(items):
                table = self._plan.columns.table(docs, self._schema)
                rows.write_table(table, row_group_size=1 << 30)
                if texts is not None:
                    texts.write_table(_texts(docs, schema))
                counts.add(docs, table.num_rows, self._plan.columns.components)
                del docs
        return counts

    def _groups(self, items: List[Item]) -> Iterator[List[Embedded]]:
        # As many documents at a time as make a row group.
        group: List[Embedded] = []
        size = 0
        for one in self._run(items):
            group.append(one)
            size += len(one.doc) if self._plan.columns.rows.kind in ("token", "word") else 1 + len(one.doc) // 16
            if size >= _GROUP:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _run(self, items: List[Item]) -> Iterator[Embedded]:
        inputs = ((self._doc(item), item) for item in items)
        components = self._plan.columns.components
        try:
            for doc, item in self._nlp.pipe(inputs, as_tuples=True):
                records = {name: storage.read(doc, name) for name in components}
                yield Embedded(item.name, doc, records)
        except Exception as error:
            raise _PipelineError(reason_of(error)) from error

    def _doc(self, item: Item) -> Any:
        if item.text is not None:
            return item.text
        return Doc(self._nlp.vocab).from_bytes(item.doc or b"")

    def _failing(self, items: List[Item], error: BaseException) -> Dict[int, Failure]:
        # Which documents of a shard the pipeline fails on, by their places. Where none does by itself, it is no matter
        # of documents.
        bad = {}
        for i, item in enumerate(items):
            try:
                self._nlp(self._doc(item))
            except Exception as own:
                bad[i] = Failure(item.name, reason_of(own))
        if not bad:
            raise error
        return bad

    def _unfinished(self, name: str) -> Tuple[Path, Path]:
        return self._folder.unfinished(f"{name}.rows"), self._folder.unfinished(f"{name}.texts")


class _Counts:
    def __init__(self) -> None:
        self.tokens = self.rows = 0
        self.statuses: Dict[str, Counter[str]] = {}

    def add(self, docs: List[Embedded], n_rows: int, components: Tuple[str, ...]) -> None:
        self.tokens += sum(len(one.doc) for one in docs)
        self.rows += n_rows
        for name in components:
            found = np.concatenate([one.records[name].status for one in docs])
            numbers = np.bincount(found, minlength=len(Status))
            mine = self.statuses.setdefault(name, Counter())
            mine.update({status.label: int(numbers[status]) for status in Status if numbers[status]})


def _writer(file: Path, schema: "pa.Schema", columns: Optional[Columns]) -> Any:
    # Vectors as they are, one after another: no dictionary, no compression, which gains nothing on them.
    import pyarrow.parquet as pq

    vectors = [] if columns is None else [f"{name}.list.element" for name in columns.components]
    others = [name for name in schema.names if columns is None or name not in columns.components]
    repeated = [name for name in others if name not in ("start", "end", "text") and not name.endswith("_scale")]
    return pq.ParquetWriter(
        file,
        schema,
        compression={**dict.fromkeys(others, "zstd"), **dict.fromkeys(vectors, "none")},
        use_dictionary=repeated if columns is not None else False,
        write_statistics=others,
    )


def _texts(docs: List[Embedded], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    columns = [[valid(text) for text in texts] for texts in zip(*((one.name, one.doc.text) for one in docs))]
    return pa.table([pa.array(texts) for texts in columns], schema=schema)


def _failed(failure: Failure) -> ValueError:
    return ValueError(Errors.E114.format(owner=OWNER, what=failure.name, reason=failure.reason))
