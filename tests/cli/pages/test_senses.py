"""cli/pages/senses.py: ``python -m spacy embed senses``."""

from __future__ import annotations

import pytest
import spacy
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["senses", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def pipeline(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("senses")
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert), "overlap": 8}})
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_page_is_written_and_its_figures_are_printed(pipeline, tmp_path, lang):
    done = _run("bank", "zebra", "--pipeline", pipeline, "--output", tmp_path / "a.html", "--lang", lang)
    assert done.exit_code == 0
    assert "bert_embeddings" in done.stdout
    assert "Not in the corpus: zebra" in done.stdout
    assert "<!doctype html>" in (tmp_path / "a.html").read_text(encoding="utf8")


def test_without_words_those_of_the_corpus_are_drawn(pipeline, tmp_path):
    printed = _run("-p", pipeline, "-o", tmp_path / "a.html", "-n", 4).stdout
    assert [line.split()[:2] for line in printed.splitlines() if "bert_embeddings" in line] == [
        [word, "4"] for word in ("bank", "spring", "match", "bat", "light")
    ]


def test_without_labels_the_table_has_dashes(pipeline, tmp_path):
    (tmp_path / "a.txt").write_text("The bank .\nA bank .\n", encoding="utf8")
    printed = _run("bank", "-f", tmp_path / "a.txt", "-p", pipeline, "-o", tmp_path / "a.html").stdout
    assert printed.splitlines()[3].split() == ["bank", "2", "bert_embeddings", "-", "-"]


@pytest.mark.parametrize(
    ("words", "text", "named"), [(["gnu"], "The bank .", "'gnu'"), (["bank"], " \n", "a.txt"), ([], "bank", "WORD")]
)
def test_what_cannot_be_drawn_is_one_error(pipeline, tmp_path, words, text, named):
    (tmp_path / "a.txt").write_text(text, encoding="utf8")
    done = _run(*words, "--corpus", tmp_path / "a.txt", "--pipeline", pipeline, "--output", tmp_path / "a.html")
    assert done.exit_code == 1
    assert "[CE0" in done.stdout
    assert named in done.stdout
    assert "Fix: " in done.stdout


def test_a_correction_adds_a_row_to_the_figures(pipeline, tmp_path):
    printed = _run("bank", "-p", pipeline, "-o", tmp_path / "a.html", "--correction", "center").stdout
    rows = [line for line in printed.splitlines() if "bert_embeddings" in line]
    assert len(rows) == 2 and "bert_embeddings + center" in rows[1]
    done = _run("bank", "-p", pipeline, "-o", tmp_path / "a.html", "--correction", "pca")
    assert done.exit_code == 1 and "[CE001]" in done.stdout and "whiten" in done.stdout
