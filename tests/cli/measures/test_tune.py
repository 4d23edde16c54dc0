"""cli/: ``python -m spacy embed tune``. Here too: cli/measures/tune.py, probing/precisions.py."""

from __future__ import annotations

import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.networks.packed import matrix
from tests.small_transformers import WORDS, write_model


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["tune", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    nlp = spacy.blank("xx")
    model = {"name": str(write_model(folder / "model", "bert")), "precision": "bfloat16"}
    nlp.add_pipe("bert_embeddings", config={"model": model})
    nlp.add_pipe("elmo_embeddings")
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join([" ".join(WORDS), "", " ".join(WORDS[:4])] * 3), encoding="utf8")
    return file


def test_each_precision_of_each_encoder_is_measured(pipeline, corpus):
    rows = json.loads(_run(pipeline, corpus, "--json", "--rounds", 1).stdout)
    for component in ("bert_embeddings", "elmo_embeddings"):
        mine = {row["precision"]: row for row in rows if row["component"] == component}
        assert list(mine)[0] == "float32"
        assert set(mine) == {"float32", "bfloat16", "float16", "int8"}
        assert mine["float32"]["times_float32"] == 1
        assert mine["float32"]["worst_cosine"] == pytest.approx(1, abs=1e-5)
        assert all(row["tokens_per_second"] > 0 and row["mean_cosine"] > 0.98 for row in mine.values())
        assert mine["int8"]["mean_cosine"] < 0.999999
    assert {row["precision"] for row in rows if row["chosen"]} == {"bfloat16", "float32"}


def test_the_table_marks_what_the_pipeline_has(pipeline, corpus):
    printed = _run(pipeline, corpus, "--rounds", 1, "--limit", 2).stdout
    assert "2 Docs, 19 tokens" in printed
    assert "bfloat16 *" in printed
    assert "int8" in printed


def test_a_docbin_will_do(pipeline, tmp_path):
    nlp = spacy.blank("xx")
    DocBin(docs=[nlp("rain fell on the roof")]).to_disk(tmp_path / "corpus.spacy")
    rows = json.loads(_run(pipeline, tmp_path / "corpus.spacy", "--json", "--rounds", 1).stdout)
    assert len(rows) == 8


def test_what_this_build_lacks_is_said(pipeline, corpus, monkeypatch):
    monkeypatch.setattr(matrix, "can_pack", lambda: False)
    printed = _run(pipeline, corpus, "--rounds", 1).stdout
    assert "bert_embeddings: int8 can't be used here" in printed


def test_an_empty_corpus_is_one_error(pipeline, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf8")
    result = _run(pipeline, tmp_path / "empty.txt")
    assert result.exit_code == 1
    assert "empty.txt" in result.stdout
    assert "Accepted" in result.stdout


def test_a_pipeline_without_contextual_encoders_says_so(tmp_path, corpus):
    spacy.blank("xx").to_disk(tmp_path / "blank")
    assert "No embedding component" in _run(tmp_path / "blank", corpus).stdout
