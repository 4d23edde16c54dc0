"""cli/: ``python -m spacy embed distill``. Here too: cli/measures/distill.py, cli/terminal/folders.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.measures.distill import contextual_source, distill

TEXTS = ["the bank of the river", "we sat on the Bank", "dog"]


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["distill", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def pipeline(tiny_bert, tiny_static, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill") / "pipeline"
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tiny_static)}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert)}})
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(TEXTS), encoding="utf8")
    return file


def test_the_table_loads_with_the_rows_that_were_made(pipeline, corpus, tmp_path):
    report = json.loads(_run(pipeline, corpus, tmp_path / "new" / "table", "--layer", 1, "--json").stdout)
    source = contextual_source(spacy.load(pipeline), owner="test")
    nlp = spacy.blank("xx")
    found = distill(source, map(nlp.make_doc, TEXTS), owner="test", layers=[1])
    assert (report["words"], report["contexts"], report["layer"]) == (len(found.words), found.n_contexts, 1)
    assert report["component"] == "bert_embeddings"
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tmp_path / "new" / "table")}})
    doc = nlp(" ".join([*found.words, "unseen"]))
    np.testing.assert_allclose([token._.vector for token in doc[:-1]], found.layers[0], atol=1e-6)
    assert not doc[-1]._.has_vector
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["table"]


def test_options_choose_words(pipeline, corpus, tmp_path):
    (tmp_path / "words.txt").write_text("The\n\nbank\n", encoding="utf8")
    args = (pipeline, corpus, tmp_path / "table", "--words", tmp_path / "words.txt", "--lower", "--limit", 2)
    printed = _run(*args).stdout
    assert f'name = "{(tmp_path / "table").as_posix()}"' in printed
    assert json.loads(_run(*args, "--force", "--json", "--min-count", 3).stdout)["words"] == 1
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tmp_path / "table")}})
    assert [token._.has_vector for token in nlp("the bank")] == [True, False]


def test_what_is_there_is_not_replaced(pipeline, corpus, tmp_path):
    table, other = tmp_path / "table", tmp_path / "other"
    assert _run(pipeline, corpus, table).exit_code == 0
    before = (table / "vectors.npy").read_bytes()
    result = _run(pipeline, corpus, table, "--layer", 0)
    assert result.exit_code == 1
    assert "[CE086]" in result.stdout and "--force" in result.stdout
    assert (table / "vectors.npy").read_bytes() == before
    assert _run(pipeline, corpus, table, "--layer", 0, "--force").exit_code == 0
    assert (table / "vectors.npy").read_bytes() != before
    other.mkdir()
    (other / "mine.txt").write_text("mine", encoding="utf8")
    for out in (other, corpus):
        result = _run(pipeline, corpus, out, "--force")
        assert result.exit_code == 1
        assert "and no table" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layer", 9], "--layer = 9 is no layer of 'bert_embeddings'"),
        (["--component", "static_embeddings"], "is static"),
        (["--min-count", 50], "leaves no word"),
        (["--words", "blank.txt"], "holds no words"),
        (["--words", "bytes.txt"], "is no UTF-8 text"),
    ],
)
def test_bad_input_is_one_coded_error_and_nothing_is_written(pipeline, corpus, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blank.txt").write_text(" \n\n", encoding="utf8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    result = _run(pipeline, corpus, "out", *options, "--json")
    assert result.exit_code == 1
    assert result.stderr.count("[CE") == 1
    assert said in result.stderr
    assert not (tmp_path / "out").exists()
