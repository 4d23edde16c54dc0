"""cli/: ``python -m spacy embed convert-vectors``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy
from spacy.vectors import Vectors
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.tables.index import word_ids
from tests.models.static.gensim_tables import DATA

SOURCE = DATA / "lee_fasttext_new.bin"


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["convert-vectors", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_folder_opens_with_the_rows_of_the_source(tmp_path):
    out = tmp_path / "new" / "table"
    printed = _run(SOURCE, out).stdout
    assert f'name = "{out.as_posix()}"' in printed
    source, table = open_table(SOURCE), open_table(out)
    assert list(table.words) == source.words
    np.testing.assert_array_equal(table.vectors, source.vectors)
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(out), "oov": "subword"}})
    doc = nlp("of unheardof")
    np.testing.assert_array_equal(doc[0]._.vector, source.take(source.word_index.find(word_ids(["of"])))[0])
    np.testing.assert_allclose(doc[1]._.vector, source.subwords.row("unheardof"), rtol=1e-6)
    assert [file.name for file in out.parent.iterdir()] == ["table"]


def test_smaller_in_each_way_and_its_price(tmp_path):
    (tmp_path / "words.txt").write_text("of\nthe\nin\nqqq\n", encoding="utf8")
    args = ("--words", tmp_path / "words.txt", "--pca", 4, "--dtype", "int8", "--json", "--limit", 1000)
    report = json.loads(_run(SOURCE, tmp_path / "t", *args).stdout)
    table = open_table(tmp_path / "t")
    assert sorted(table.words) == ["in", "of", "the"] and table.vectors.dtype == np.int8
    assert (report["words"], report["width"], report["dtype"]) == (3, 4, "int8")
    assert report["bytes"] == sum(file.stat().st_size for file in (tmp_path / "t").iterdir())
    assert "price" not in report


def test_the_price_is_that_of_the_tests(tmp_path):
    source = "glove-6b-50d"
    report = json.loads(_run(source, tmp_path / "t", "--limit", 5000, "--dtype", "float16", "--price", "--json").stdout)
    prices = {row["test"]: row for row in report["price"]}
    assert {"wordsim353", "simlex999", "analogies"} <= set(prices)
    for row in prices.values():
        assert 0 < row["answered"] <= row["all"]
        assert abs(row["before"] - row["after"]) < 0.01 and 0 < row["before"] < 1
    shown = _run(source, tmp_path / "t", "--limit", 5000, "--dtype", "float16", "--price", "--force").stdout
    assert "wordsim353" in shown and "answered" in shown


def test_the_price_of_a_table_of_parts(floret, tmp_path):
    report = _json(_run(floret, tmp_path / "t", "--dtype", "float16", "--price", "--json"))
    for row in report["price"]:
        assert row["answered"] == row["all"] and isinstance(row["before"], float) and isinstance(row["after"], float)


def test_a_price_that_cannot_be_told_is_null(tmp_path):
    (tmp_path / "t.txt").write_text("the 1 2\nof 3 4\n")
    report = _json(_run(tmp_path / "t.txt", tmp_path / "t", "--price", "--json"))
    assert {(row["before"], row["after"], row["answered"]) for row in report["price"]} == {(None, None, 0)}
    assert "nan" not in _run(tmp_path / "t.txt", tmp_path / "t", "--price", "--force").stdout


def _json(result):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def test_a_limit_means_nothing_to_a_table_of_parts(floret, tmp_path):
    result = _run(floret, tmp_path / "t", "--limit", 5)
    assert result.exit_code == 1 and "CE086" in result.output and "--limit" in result.output
    assert not (tmp_path / "t").exists()


@pytest.fixture
def floret(tmp_path):
    rows = np.random.default_rng(1).normal(size=(40, 5)).astype("f")
    nlp = spacy.blank("xx")
    how = {"minn": 2, "maxn": 3, "hash_count": 2, "hash_seed": 7}
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, mode="floret", data=rows, **how)
    nlp.to_disk(tmp_path / "floret")
    return tmp_path / "floret"


@pytest.mark.parametrize("limit", [1, 7])
def test_a_folder_can_be_cut(tmp_path, limit):
    _run(SOURCE, tmp_path / "t")
    _run(tmp_path / "t", tmp_path / "cut", "--limit", limit)
    source, table = open_table(SOURCE), open_table(tmp_path / "cut")
    found = table.word_index.find(word_ids(source.words))
    assert found.tolist() == [*range(limit), *[-1] * (len(source.words) - limit)]


@pytest.mark.parametrize("content", [b"a 1 2\nb 3 4\na 5 6\n", b"a 1 2\nb\xc3 3 4\n"])
def test_strict_refuses_what_is_only_counted_otherwise(tmp_path, content):
    (tmp_path / "t.txt").write_bytes(content)
    result = _run(tmp_path / "t.txt", tmp_path / "out", "--strict")
    assert result.exit_code == 1 and "--strict" in result.output and not (tmp_path / "out").exists()
    with pytest.warns(UserWarning, match=r"CW00[47]"):
        assert _run(tmp_path / "t.txt", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--pca", 11], "CE086.*--pca.*at most 10"),
        (["--words", "words.txt"], "CE086.*--words.*has no word of the table"),
    ],
)
def test_what_cannot_be_done(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("qqq\n")
    result = _run(SOURCE, tmp_path / "t", *args)
    assert result.exit_code == 1 and not (tmp_path / "t").exists()
    import re

    assert re.search(message, " ".join(result.output.split()))


def test_what_is_there_stays_unless_forced(tmp_path):
    out = tmp_path / "t"
    _run(SOURCE, out, "--limit", 5)
    assert "CE086" in _run(SOURCE, out).output and len(open_table(out).words) == 5
    assert _run(SOURCE, out, "--limit", 6, "--force").exit_code == 0 and len(open_table(out).words) == 6
    (out / "mine.txt").write_text("a user's own file")
    assert _run(SOURCE, out, "--force").exit_code == 1 and (out / "mine.txt").exists()


def test_a_pickle_needs_leave(tmp_path, vectors_kv):
    assert "CE014" in _run(vectors_kv, tmp_path / "t").output
    assert _run(vectors_kv, tmp_path / "t", "--allow-pickle").exit_code == 0


@pytest.fixture
def vectors_kv(tmp_path):
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(3)
    keyed.add_vectors(["a", "b"], np.eye(2, 3, dtype="f"))
    keyed.save(str(tmp_path / "v.kv"))
    return tmp_path / "v.kv"
