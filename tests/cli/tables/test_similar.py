"""cli/: ``python -m spacy embed similar``."""

from __future__ import annotations

import json

import pytest
import spacy
from spacy.vectors import Vectors
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.cli.tables.similar import similar
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.tables import cached

VECTORS = "spacy_ctx_embed.TableVectors.v1"


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["similar", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "t.txt"
    file.write_text("man 1 0 0\nking 1 0 1\nwoman 1 1 0\nqueen 1 1 1\nfish 0 -0.2 -1\n")
    return file


@pytest.mark.parametrize("method", ["add", "mul"])
def test_the_queen(table, method):
    args = ("king", "woman", "--minus", "man", "--table", table, "--method", method)
    found = json.loads(_run(*args, "--json", "-n", 2).stdout)
    assert [row["word"] for row in found] == ["queen", "fish"] and found[0]["score"] > found[1]["score"]
    assert "queen" in _run(*args).stdout
    assert similar(["king", "woman"], minus=["man"], table=str(table), method=method)[0][0] == "queen"


def test_the_odd_one(table):
    found = json.loads(_run("king", "queen", "fish", "--odd", "--table", table, "--json").stdout)
    assert [row["word"] for row in found][0] == "fish" and len(found) == 3


def test_the_table_of_a_pipeline(table, tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(table)}})
    nlp.to_disk(tmp_path / "nlp")
    assert similar(["king"], table=str(tmp_path / "nlp"), n=1) == similar(["king"], table=str(table), n=1)


@pytest.mark.parametrize("made", ["init-vectors", "by the vocab's name", "spaCy's", "of spaCy, read by a component"])
def test_the_table_of_a_vocab(table, tmp_path, made):
    nlp = spacy.blank("xx")
    if made in ("init-vectors", "by the vocab's name"):
        nlp = spacy.blank("xx", config={"nlp": {"vectors": {"@vectors": VECTORS, "name": str(table)}}})
    else:
        found = open_table(table)
        nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=found.vectors, keys=found.words)
        for word in found.words:
            nlp.vocab.strings.add(word)
    if made in ("by the vocab's name", "of spaCy, read by a component"):
        nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    nlp.to_disk(tmp_path / "nlp")
    assert similar(["king"], table=str(tmp_path / "nlp"), n=2) == similar(["king"], table=str(table), n=2)


def test_a_table_is_kept_once(table, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cached, "LEAST", 0)
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(table)}})
    assert nlp("king")[0]._.vector.any()
    similar(["king"], table=str(table))
    assert len(list(cached.tables_folder().iterdir())) == 1


def test_the_default_table():
    words = [word for word, _ in similar(["frog"], n=5)]
    assert len(words) == 5 and "toad" in words


def test_a_word_that_is_not_there(table):
    result = _run("kingg", "--table", table)
    assert result.exit_code == 1 and "CE001" in result.output and "kingg" in result.output


def test_a_pipeline_without_a_table(tmp_path, tiny_bert):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert)}})
    nlp.to_disk(tmp_path / "nlp")
    result = _run("king", "--table", tmp_path / "nlp")
    assert result.exit_code == 1 and "CE086" in result.output and "--table" in result.output
