"""cli/: ``python -m spacy embed intrinsic``. Here too: cli/measures/intrinsic.py."""

from __future__ import annotations

import json

import pytest
import spacy
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.measures import intrinsic
from spacy_ctx_embed.measures.analogies import Question
from spacy_ctx_embed.measures.word_pairs import Pair

PAIRS = [Pair("bank", "river", 3), Pair("bank", "dog", 1), Pair("the", "river", 2), Pair("unseen", "river", 2)]
TESTS = intrinsic.WordTests([("pairs", PAIRS)], [Question("gram1", ("bank", "river", "dog", "sat"))])


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["intrinsic", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def pipeline(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("intrinsic")
    lines = ["the 1 0", "bank 0 1", "river 1 1", "dog 1 2", "sat 2 1"]
    (folder / "table.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder / "table.txt")}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert)}})
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture(autouse=True)
def few_tests(monkeypatch):
    monkeypatch.setattr(intrinsic, "load_tests", lambda *, owner: TESTS)


def test_every_layer_of_every_component_is_in_the_table(pipeline):
    printed = _run(pipeline).stdout
    assert printed.count("static_embeddings") == 3  # pairs, analogies, syntactic
    assert printed.count("bert_embeddings") == 9
    assert "3 of 4" in printed


def test_json_has_no_nan_and_options_choose(pipeline, tmp_path):
    (tmp_path / "corpus.txt").write_text("the bank of the river\nthe dog sat\n", encoding="utf8")
    (tmp_path / "words.txt").write_text("dog\nbank\n", encoding="utf8")
    args = (pipeline, "--component", "bert_embeddings", "--layer", -1, "--json", "--seed", 1)
    rows = json.loads(_run(*args, "--words", tmp_path / "words.txt").stdout, parse_constant=pytest.fail)
    assert [(row["layer"], row["rows"], row["n_answered"]) for row in rows] == [(2, "alone", 4)] + 2 * [(2, "alone", 0)]
    assert rows[1]["value"] is None
    assert rows[1]["n_candidates"] == 2
    assert rows == json.loads(_run(*args, "--words", tmp_path / "words.txt").stdout)
    rows = json.loads(_run(*args, "--corpus", tmp_path / "corpus.txt", "--limit", 1).stdout)
    assert {row["rows"] for row in rows} == {"mean"}
    assert rows[0]["n_answered"] == 2


def test_bad_input_is_one_coded_error(pipeline, tmp_path):
    for options in (["--layer", 7], ["--component", "nothing"]):
        result = _run(pipeline, *options, "--json")
        assert result.exit_code == 1
        assert result.stderr.count("[CE") == 1
