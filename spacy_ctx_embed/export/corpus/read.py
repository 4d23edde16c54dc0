"""The documents of a corpus, in order, each read once and never all at once.

Enters: files. Leaves: documents with their ids, and what could not be read, in its place among them.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from spacy_ctx_embed.errors import Errors, reason_of
from spacy_ctx_embed.export.corpus.files import InputFile
from spacy_ctx_embed.export.corpus.items import Failure, Found, Item, pack_doc
from spacy_ctx_embed.export.corpus.streams import open_bytes

DOCUMENTS = ("line", "file")  # what a document is in a text file
_ROWS = 1024  # of a table read at a time
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Layout:
    """How documents stand in files.

    :param documents: "line" or "file": what a document is in a text file.
    :param text: column or key of the text.
    :param id: column or key of the id; ``None`` for "id" where there is one.
    """

    documents: str = "line"
    text: str = "text"
    id: Optional[str] = None


class MissingColumnError(ValueError):
    """A table without the column that was asked for: an error of the command, whatever ``on_error`` says."""


def read_items(files: Sequence[InputFile], layout: Layout, *, progress: Optional[Progress] = None) -> Iterator[Found]:
    """Read the documents of files, one file after another. Blank lines and empty files are no documents.

    :param files: the files.
    :param layout: how documents stand in them.
    :param progress: called with the bytes of all files read so far, now and then.
    :yields: documents and failures. A damaged line is one failure; where a file can't be read on, so is its rest.
    :raises MissingColumnError: if a table does not have a column that was asked for.
    """
    done = 0
    for file in files:
        n = 0
        try:
            with open_bytes(file) as (stream, position):
                for found in _READERS[file.format](stream, file, layout):
                    n += 1
                    if progress is not None:
                        progress(done + position())
                    yield found
        except MissingColumnError:
            raise
        except Exception as error:  # a damaged archive, table or DocBin fails by whatever its library raises
            yield Failure(f"{file.label}, after {n} documents" if n else file.label, reason_of(error))
        done += file.size or 0


def _read_text(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    if layout.documents == "file":
        text = stream.read().decode("utf-8-sig")
        if text.strip():
            yield Item(file.label, text)
        return
    for name, line in _lines(stream, file):
        if isinstance(line, str):
            yield Item(name, line)
        else:
            yield Failure(name, reason_of(line))


def _read_jsonl(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    for name, line in _lines(stream, file):
        try:
            if not isinstance(line, str):
                raise line
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"a {type(record).__name__} where an object is wanted")
        except (ValueError, RecursionError) as error:  # nested too deep
            yield Failure(name, reason_of(error))
            continue
        yield _of_record(record, name, file, layout)


def _read_csv(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    before = csv.field_size_limit((1 << 31) - 1)  # 131,072 characters are the default
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        reader = csv.DictReader(text, delimiter="\t" if file.format == "tsv" else ",", strict=True)
        _check_columns(reader.fieldnames or [], file, layout)
        for number, record in enumerate(reader, 1):
            yield _of_record(record, f"{file.label}:{number}", file, layout)
    finally:
        text.detach()  # the stream is closed by who opened it
        csv.field_size_limit(before)


def _read_parquet(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(stream if file.path is not None else io.BytesIO(stream.read()))
    names = table.schema_arrow.names
    _check_columns(names, file, layout)
    columns = [name for name in (layout.text, _id_of(names, layout)) if name is not None]
    yield from _of_batches(table.iter_batches(_ROWS, columns=columns), file, layout)


def _read_arrow(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    import pyarrow as pa

    source = stream if file.path is not None else io.BytesIO(stream.read())
    batches: Iterable[Any]
    try:
        opened = pa.ipc.open_file(source)
        batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
    except pa.ArrowInvalid:  # the streaming format has no foot
        source.seek(0)
        opened = pa.ipc.open_stream(source)
        batches = opened
    _check_columns(opened.schema.names, file, layout)
    yield from _of_batches(batches, file, layout)


def _read_docs(stream: BinaryIO, file: InputFile, layout: Layout) -> Iterator[Found]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    docs = DocBin().from_bytes(stream.read()).get_docs(Vocab())
    for number, doc in enumerate(docs, 1):
        yield Item(f"{file.label}:{number}", doc=pack_doc(doc))


_READERS: Dict[str, Callable[[BinaryIO, InputFile, Layout], Iterator[Found]]] = {
    "text": _read_text,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
    "spacy": _read_docs,
}


def _lines(stream: BinaryIO, file: InputFile) -> Iterator[Tuple[str, Any]]:
    # Lines that are not blank with their names; the error where one is no UTF-8.
    for number, line in enumerate(stream, 1):
        name = f"{file.label}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield name, error
            continue
        if text.strip():
            yield name, text


def _of_batches(batches: Iterable[Any], file: InputFile, layout: Layout) -> Iterator[Found]:
    number = 0
    for batch in batches:
        key = _id_of(batch.schema.names, layout)
        texts = batch.column(layout.text)
        ids = None if key is None else batch.column(key)
        for i in range(batch.num_rows):
            number += 1
            record = {layout.text: texts[i].as_py(), **({} if ids is None else {key: ids[i].as_py()})}
            yield _of_record(record, f"{file.label}:{number}", file, layout)


def _of_record(record: Dict[Any, Any], name: str, file: InputFile, layout: Layout) -> Found:
    key = _id_of(list(record), layout)
    own = None if key is None else record.get(key)
    name = name if own is None or own == "" else str(own)
    text = record.get(layout.text)
    if not isinstance(text, str):
        there = "is missing" if text is None else f"is a {type(text).__name__}, and no text"
        return Failure(f"{name} ({file.label})", f"{layout.text!r} {there}")
    return Item(name, text)


def _id_of(names: List[Any], layout: Layout) -> Optional[str]:
    if layout.id is not None:
        return layout.id if layout.id in names else None
    return "id" if "id" in names else None


def _check_columns(names: Sequence[str], file: InputFile, layout: Layout) -> None:
    for key, name in (("--text-column", layout.text), ("--id-column", layout.id)):
        if name is not None and name not in names:
            columns = ", ".join(map(repr, names)) or "a file whose first line names columns"
            raise MissingColumnError(
                Errors.E086.format(
                    owner="embed export",
                    key=key,
                    value=name,
                    reason=f"is no column of {file.path or file.label}",
                    accepted=columns,
                    fix=f"name one of those by {key}",
                )
            )
