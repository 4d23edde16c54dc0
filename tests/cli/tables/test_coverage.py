"""cli/: ``python -m spacy embed coverage``. Here too: measures/coverage.py."""

from __future__ import annotations

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.measures.coverage import coverage

TEXT = "The river qqq\n\nqqq bank-river zzz  Café\n"


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["coverage", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def pipeline(tiny_static, tiny_bert, tmp_path):
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tiny_static), "fallbacks": ["parts"]}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert)}})
    nlp.to_disk(tmp_path / "nlp")
    return tmp_path / "nlp"


def test_statuses_and_the_words_that_are_missing(pipeline, tmp_path):
    (tmp_path / "c.txt").write_text(TEXT, encoding="utf8")
    static, bert = json.loads(_run(pipeline, tmp_path / "c.txt", "--json").stdout)
    assert static["component"] == "static_embeddings" and static["docs"] == 2
    assert static["words"] == sum(n for status, n in static["statuses"].items() if status != "space")
    assert static["missing"][0] == ["qqq", 2] and ["zzz", 1] in static["missing"]
    assert static["covered"] == static["words"] - static["statuses"]["oov"]
    assert static["share"] == static["covered"] / static["words"]
    assert static["statuses"]["fallback"] >= 1 and static["statuses"]["ok"] >= 1
    assert bert["component"] == "bert_embeddings" and bert["words"] == static["words"]
    shown = _run(pipeline, tmp_path / "c.txt", "-n", 1).stdout
    assert "qqq" in shown and "zzz" not in shown and "have a vector" in shown


def test_counts_are_those_of_the_tokens(pipeline):
    nlp = spacy.load(pipeline)
    docs = [nlp.make_doc(line) for line in TEXT.splitlines() if line]
    docs.append(Doc(nlp.vocab, words=["bank-river", "-", " ", "x" * 1000]))
    found = coverage(nlp, docs)
    tokens = [token for doc in docs for token in nlp(doc.copy())]
    for part in found:
        statuses = [token._.vector_status for token in tokens] if part.component == "bert_embeddings" else None
        if statuses is not None:
            assert part.statuses == {status: statuses.count(status) for status in set(statuses)}
        assert part.n_words == sum(not token.is_space for token in tokens)
        assert sum(part.statuses.values()) == len(tokens)
    static = found[0]
    assert static.statuses["parts"] == 1
    assert static.most_missed(1) == [("qqq", 2)] and static.most_missed(0) == []


def test_docs_that_are_stored(pipeline, tmp_path):
    nlp = spacy.blank("xx")
    DocBin(docs=[nlp.make_doc("the river"), nlp.make_doc("the dog")]).to_disk(tmp_path / "c.spacy")
    report = json.loads(_run(pipeline, tmp_path / "c.spacy", "--json", "--limit", 1).stdout)
    assert report[0]["docs"] == 1 and report[0]["share"] == 1.0 and report[0]["missing"] == []


def test_a_pipeline_without_embeddings(tmp_path):
    spacy.blank("xx").to_disk(tmp_path / "nlp")
    (tmp_path / "c.txt").write_text(TEXT, encoding="utf8")
    result = _run(tmp_path / "nlp", tmp_path / "c.txt")
    assert result.exit_code == 1 and "CE0" in result.output
