"""cli/: ``python -m spacy embed export``. Here too: cli/corpus/export.py, cli/terminal/words.py."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from tests.export.exports import make_texts, read_dataset, write_lines


def _run(*args, code=0):
    result = CliRunner().invoke(embed_cli, ["export", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def pipeline(make_nlp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "nlp"
    nlp = make_nlp("static")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder)
    return folder


def test_export_by_the_command(pipeline, tmp_path):
    texts = write_lines(tmp_path / "a.txt", make_texts(20))
    more = write_lines(tmp_path / "b.txt", make_texts(5, seed=1))
    out = tmp_path / "out"
    printed = _run(pipeline, texts, more, out, "--dtype", "float16", "--shard-size", 500).output
    assert "All of the input is in" in printed
    assert "static_embeddings" in printed
    told = json.loads(_run(pipeline, texts, more, out, "--dtype", "float16", "--shard-size", 500, "--json").stdout)
    assert told["complete"]
    assert told["documents"] == 25
    assert told["shards_now"] == 0
    assert told["rows"] == told["tokens"] == sum(told["statuses"]["static_embeddings"].values())
    assert len(read_dataset(out)["text"]) == told["rows"]


def test_words_of_a_file_and_a_job_of_several(pipeline, tmp_path):
    texts = write_lines(tmp_path / "a.txt", make_texts(50))
    words = write_lines(tmp_path / "words.txt", ["River", "bank"])
    out = tmp_path / "out"
    printed = _run(pipeline, texts, out, "--words", words, "--shard", "1/2", "--shard-size", 500).output
    assert "does not hold all of the input yet" in " ".join(printed.split())
    assert set(read_dataset(out)["text"]) == {"river", "bank"}


def test_what_is_wrong_is_one_coded_error(pipeline, tmp_path):
    texts = write_lines(tmp_path / "a.txt", make_texts(3))
    assert "CE086" in _run(pipeline, texts, code=1).output
    assert "CE086" in _run(pipeline, texts, tmp_path / "out", "--rows", "page", code=1).output
    failed = _run(pipeline, tmp_path / "none.txt", tmp_path / "out", "--json", code=1)
    assert failed.stdout == ""
    assert "[CE086] embed export: INPUT" in failed.stderr
    assert "E050" in _run(tmp_path / "no_pipeline", texts, tmp_path / "out", code=1).output


def test_documents_left_out_are_printed(pipeline, tmp_path):
    corpus = tmp_path / "a.jsonl"
    corpus.write_text('{"text": "the river"}\n{"text": 3}\n')
    printed = _run(pipeline, corpus, tmp_path / "out", "--on-error", "skip").output
    assert "Skipped a.jsonl:2" in printed
