"""export/corpus/read.py, files.py, streams.py, items.py: documents of every format, compressed or not, with their ids.

Here too: export/corpus/files.py, export/corpus/streams.py, export/corpus/items.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.export.corpus.files import InputFile, find_files
from spacy_ctx_embed.export.corpus.items import Failure, Item
from spacy_ctx_embed.export.corpus.read import Layout, MissingColumnError, read_items

OWNER = "embed export"
TEXTS = ["Rain fell.", 'She said "no", twice', "永和 🍵", "x" * 200_000, "  two\tspaces  "]


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
        stream.flush()
        return _closed(stream, sink)


def _closed(stream, sink):
    keep = sink.close
    sink.close = lambda: None
    stream.close()
    found = sink.getvalue()
    keep()
    return found


COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
}


def _table(texts, ids):
    import pyarrow as pa

    return pa.table({"text": pa.array(texts), **({} if ids is None else {"id": pa.array(ids)})})


def _write(file, kind, texts, ids=None):
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"text": text, **({} if ids is None else {"id": ids[i]})} for i, text in enumerate(texts)]
    if kind == "text":
        data = "\n".join(texts).encode("utf8") + b"\n"
    elif kind == "jsonl":
        data = "".join(json.dumps(record) + "\n" for record in records).encode("utf8")
    elif kind in ("csv", "tsv"):
        import csv

        text = io.StringIO()
        writer = csv.DictWriter(text, list(records[0]), delimiter="\t" if kind == "tsv" else ",")
        writer.writeheader()
        writer.writerows(records)
        data = text.getvalue().encode("utf8")
    elif kind == "parquet":
        pq.write_table(_table(texts, ids), file, row_group_size=2)
        return
    else:
        table = _table(texts, ids)
        opened = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with opened(str(file), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        return
    file.write_bytes(COMPRESS[next((end for end in COMPRESS if end and file.name.endswith(end)), "")](data))


def _read(*inputs, layout=None, **settings):
    return list(read_items(find_files([str(given) for given in inputs], owner=OWNER, **settings), layout or Layout()))


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
def test_texts_come_back_from_compressed_files(tmp_path, name, compression):
    file = tmp_path / (name + compression)
    _write(file, {"a.txt": "text"}.get(name, name[2:]), TEXTS)
    found = _read(file)
    assert [item.text for item in found] == TEXTS
    assert [item.name for item in found] == [f"{file.name}:{i}" for i in range(1, 6)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "arrow", "stream"])
def test_ids_of_the_input_are_kept(tmp_path, kind):
    file = tmp_path / f"a.{'arrow' if kind == 'stream' else kind}"
    _write(file, kind, TEXTS, ["one", "two", "three", "four", "five"])
    assert [item.name for item in _read(file)] == ["one", "two", "three", "four", "five"]
    layout = Layout(id="text")
    assert [item.name for item in _read(file, layout=layout)] == TEXTS


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_a_missing_column_is_named(tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    _write(file, kind, TEXTS)
    with pytest.raises(MissingColumnError, match="CE086.*--text-column.*'body'.*'text'"):
        _read(file, layout=Layout(text="body"))
    with pytest.raises(MissingColumnError, match="--id-column"):
        _read(file, layout=Layout(id="key"))


def test_a_doc_a_file_and_docs_of_a_docbin(tmp_path):
    (tmp_path / "whole.txt").write_text("﻿two\n\nparagraphs\n", encoding="utf8")
    assert _read(tmp_path / "whole.txt", layout=Layout("file")) == [Item("whole.txt", "two\n\nparagraphs\n")]
    nlp = spacy.blank("xx")
    docs = [nlp("Rain fell."), Doc(nlp.vocab, words=["a", "b"], ents=["O", "B-X"])]
    docs[0].user_data["rows"] = np.zeros(3)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    found = [Doc(spacy.blank("xx").vocab).from_bytes(item.doc) for item in _read(tmp_path / "docs.spacy")]
    assert [[t.text for t in doc] for doc in found] == [["Rain", "fell", "."], ["a", "b"]]
    assert found[1].ents[0].label_ == "X"
    assert not found[0].user_data


def test_a_doc_has_the_same_bytes_in_every_process():
    # The strings of a Doc are a set, whose order is another one in each process: a dataset could not be gone on with.
    code = (
        "import hashlib; from spacy.tokens import Doc; from spacy.vocab import Vocab\n"
        "from spacy_ctx_embed.export.corpus.items import pack_doc\n"
        "doc = Doc(Vocab(), words=[f'word{i}' for i in range(20)], ents=['B-X'] * 20)\n"
        "print(hashlib.sha256(pack_doc(doc)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_exports_in_a_folder_are_no_corpus(tmp_path):
    for name in ("a.txt", "out/.export/manifest.json", "out/part-00000.parquet", "out/more/b.txt", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        _write(tmp_path / name, "text", [name])
    assert [item.name for item in _read(tmp_path)] == ["a.txt:1", "deep/c.txt:1"]
    assert [item.name for item in _read(tmp_path / "out" / "more")] == ["b.txt:1"]


def test_folders_patterns_and_standard_input(tmp_path, monkeypatch):
    for name in ("b/2.txt", "b/1.txt.gz", "b/deep/3.jsonl", "b/.hidden/4.txt", "b/notes.md", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        _write(tmp_path / name, "jsonl" if name.endswith("jsonl") else "text", [name])
    assert [item.name for item in _read(tmp_path / "b")] == ["1.txt.gz:1", "2.txt:1", "deep/3.jsonl:1"]
    assert [item.name for item in _read(tmp_path / "b" / "*.txt*")] == ["1.txt.gz:1", "2.txt:1"]
    assert [item.name for item in _read(tmp_path / "**" / "*.txt")] == ["a.txt:1", "b/2.txt:1"]
    assert [item.name for item in _read(tmp_path / "b" / "notes.md", tmp_path / "a.txt")] == ["notes.md:1", "a.txt:1"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO('{"text": "x"}\n{"text": "y"}\n'.encode())))
    assert [item.text for item in _read("-", format="jsonl")] == ["x", "y"]


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder in "xy":
        (tmp_path / folder).mkdir()
        _write(tmp_path / folder / "same.txt", "text", [folder])
    names = [item.name for item in _read(tmp_path / "x" / "same.txt", tmp_path / "y" / "same.txt")]
    assert len(set(names)) == 2


@pytest.mark.parametrize("given", ["nothing.txt", "*.none", "empty"])
def test_an_input_that_leads_to_nothing_is_an_error(tmp_path, given):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="CE086.*INPUT"):
        find_files([str(tmp_path / given)], owner=OWNER)
    with pytest.raises(ValueError, match="--format.*text, jsonl"):
        find_files(["-"], owner=OWNER, format="xml")
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    with pytest.raises(ValueError, match="compressed as a whole"):
        find_files([str(tmp_path / "a.parquet.gz")], owner=OWNER)


def test_what_is_damaged_is_a_failure_in_its_place(tmp_path):
    (tmp_path / "1.txt").write_bytes(b"good\n\xff\xfe bad\ngood again\n")
    whole = gzip.compress("\n".join(f"line {i} {i * 7919 % 104729}" for i in range(20_000)).encode("utf8"))
    (tmp_path / "2.txt.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.jsonl").write_text('{"text": "a"}\n{"text": \n[1]\n{"body": "b"}\n{"text": 3}\n{"text": "c"}\n')
    (tmp_path / "4.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "5.spacy").write_bytes(b"nothing")
    (tmp_path / "6.txt").write_text("last\n")
    found = _read(tmp_path)
    failures = [failure.name for failure in found if isinstance(failure, Failure)]
    assert failures[0] == "1.txt:2"
    assert failures[1].startswith("2.txt.gz, after ")
    assert failures[2:6] == ["3.jsonl:2", "3.jsonl:3", "3.jsonl:4 (3.jsonl)", "3.jsonl:5 (3.jsonl)"]
    assert failures[6:] == ["4.parquet", "5.spacy"]
    assert [item.text for item in found if isinstance(item, Item)][-3:] == ["a", "c", "last"]
    assert [thing.name for thing in found][:3] == ["1.txt:1", "1.txt:2", "1.txt:3"]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_any_lines_come_back(tmp_path_factory, lines):
    file = tmp_path_factory.mktemp("lines") / "a.txt"
    file.write_bytes("\n".join(lines).encode("utf8"))
    kept = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    if kept and kept[0][0] == 1 and lines[0].startswith("\ufeff"):
        kept[0] = (1, lines[0][1:])
        kept = [pair for pair in kept if pair[1].strip()]
    assert [(item.name, item.text) for item in _read(file)] == [(f"a.txt:{i}", line) for i, line in kept]


def test_progress_is_in_bytes_of_the_files(tmp_path):
    _write(tmp_path / "a.txt", "text", ["x" * 1000] * 500)
    _write(tmp_path / "b.txt.gz", "text", [f"{i}" * 100 for i in range(500)])
    seen = []
    files = find_files([str(tmp_path)], owner=OWNER)
    list(read_items(files, Layout(), progress=seen.append))
    total = sum(file.size for file in files)
    assert seen == sorted(seen)
    assert 0.5 * total < seen[-1] <= total
    assert InputFile(None, "stdin", "text").size is None


def test_json_that_is_nested_too_deep_is_one_failure(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": ' + "[" * 200_000 + '\n{"text": "b"}\n')
    first, bad, last = _read(tmp_path / "a.jsonl")
    assert (first.text, last.text) == ("a", "b")
    assert bad.name == "a.jsonl:2"
    assert "Recursion" in bad.reason
