"""cli/models/fit_correction.py: ``python -m spacy embed fit-correction``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.sources.fitting import fit_correction
from tests.pipeline.test_correction import rows, texts

TEXT = "we sat on the river bank"


@pytest.fixture
def folder(make_nlp, tmp_path):
    nlp = make_nlp("static", "bert")
    nlp.to_disk(tmp_path / "nlp")
    (tmp_path / "corpus.txt").write_text("\n".join(texts()), encoding="utf8")
    return tmp_path


def run(folder, *arguments, corpus="corpus.txt", out="out"):
    paths = [str(folder / "nlp"), str(folder / corpus), str(folder / out)]
    return CliRunner().invoke(embed_cli, ["fit-correction", *paths, *arguments])


def test_the_pipeline_that_is_written_has_it(folder, make_nlp):
    found = run(folder, "--correction", "whiten", "--component", "bert_embeddings")
    assert found.exit_code == 0 and "bert_embeddings" in found.stdout and "static_embeddings" not in found.stdout
    assert "few to whiten 16 columns" not in found.stdout  # there are more than ten tokens a column
    expected = make_nlp("static", "bert")
    fit_correction(expected, lambda: map(expected.make_doc, texts()), "whiten", components=["bert_embeddings"])
    again = spacy.load(folder / "out")
    assert again.config["components"]["bert_embeddings"]["correction"] == "whiten"
    for name in again.pipe_names:
        assert np.array_equal(rows(again(TEXT), name), rows(expected(TEXT), name))
    assert sorted(path.name for path in folder.iterdir()) == ["corpus.txt", "nlp", "out"]


def test_json_a_limit_and_a_spacy_file(folder, make_nlp):
    nlp = make_nlp("bert")
    DocBin(docs=map(nlp.make_doc, texts(9))).to_disk(folder / "corpus.spacy")
    found = run(folder, "-k", "center", "--json", "--limit", "4", corpus="corpus.spacy", out="new/out")
    report = json.loads(found.stdout)
    assert report["out"] == (folder / "new" / "out").as_posix()
    assert [row["component"] for row in report["components"]] == ["static_embeddings", "bert_embeddings"]
    assert all(row["correction"] == "center" and row["n_rows"] <= 4 * 12 for row in report["components"])
    assert "few to whiten" in run(folder, "-k", "whiten", "--limit", "4").stdout


def test_a_pipeline_is_replaced_only_by_force_and_as_a_whole(folder):
    assert run(folder, "-k", "center").exit_code == 0
    found = run(folder, "-k", "abtt")
    assert found.exit_code == 1 and "CE086" in found.stdout and "--force" in found.stdout
    (folder / "out" / "left_over").write_text("of before")
    assert run(folder, "-k", "abtt", "--force").exit_code == 0
    assert not (folder / "out" / "left_over").exists()
    assert spacy.load(folder / "out").config["components"]["bert_embeddings"]["correction"] == "abtt"
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("")
    found = run(folder, "-k", "abtt", "--force", out="mine")
    assert found.exit_code == 1 and "no pipeline" in found.stdout and (folder / "mine" / "thesis.txt").is_file()


def test_what_goes_wrong_is_one_coded_error_and_leaves_nothing(folder):
    for arguments, code in {("-k", "pca"): "CE001", (): "CE001", ("-k", "center", "-n", "1"): "CE086"}.items():
        found = run(folder, *arguments)
        assert found.exit_code == 1 and found.stdout.count("[CE") == 1 and f"[{code}]" in found.stdout
        assert "Fix: " in found.stdout and not (folder / "out").exists()
