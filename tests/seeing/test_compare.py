"""seeing/compare.py, seeing/page.py, seeing/default.py and cli/pages/compare.py: all tokens against all tokens."""

from __future__ import annotations

import json
from typing import Callable

import numpy as np
import pytest
from spacy.language import Language
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.seeing.compare import WORDS, compare, write_page
from spacy_ctx_embed.seeing.default import default_pipeline

TEXT = "the bank of the <script>alert(1)</script> river"


@pytest.fixture(scope="module")
def nlp(make_nlp: Callable[..., Language]) -> Language:
    """Static and BERT vectors."""
    return make_nlp("static", "bert")


def test_there_is_a_picture_per_source_and_its_mean_is_that_of_different_tokens(nlp):
    pictures = compare(nlp, TEXT)
    assert [(p.name, p.kind) for p in pictures] == [("static_embeddings", "static"), ("bert_embeddings", "bert")]
    doc = nlp(TEXT)
    for picture in pictures:
        tokens = [t for t in doc if t._.similarity(t, name=picture.name)]  # 0 without a vector
        expected = [a._.similarity(b, name=picture.name) for a in tokens for b in tokens if a.i != b.i]
        assert 1 < len(tokens) < len(doc)
        assert picture.mean == pytest.approx(np.mean(expected), abs=1e-5)
        assert picture.svg.count("<rect") == len(tokens) ** 2


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_holds_everything_and_asks_for_nothing(nlp, lang, tmp_path):
    page = tmp_path / "page.html"
    write_page(compare(nlp, TEXT), TEXT, page, lang)
    text = page.read_text(encoding="utf8")
    assert WORDS[lang]["title"] in text and f'<html lang="{lang}">' in text
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("<svg") == 2


def test_both_languages_say_the_same_things():
    assert WORDS["en"].keys() == WORDS["zh"].keys()


def test_a_long_text_is_drawn_in_part_and_that_is_said(nlp, tmp_path):
    text = "the river bank " * 30
    pictures = compare(nlp, text)
    assert {(p.shown, p.left_out) for p in pictures} == {(60, 30)}
    write_page(pictures, text, tmp_path / "page.html")
    assert "the first 60 tokens, 30 are left out" in (tmp_path / "page.html").read_text(encoding="utf8")


def test_the_command_writes_page_and_pictures_and_tells_where(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    page, folder = tmp_path / "page.html", tmp_path / "svg"
    args = ["compare", TEXT, "-p", str(tmp_path / "pipeline"), "-o", str(page), "--svg", str(folder)]
    done = CliRunner().invoke(embed_cli, args)
    assert done.exit_code == 0, done.output
    assert "page.html" in done.output and page.stat().st_size > 1000
    assert sorted(file.name for file in folder.iterdir()) == ["bert_embeddings.svg", "static_embeddings.svg"]
    found = json.loads(CliRunner().invoke(embed_cli, [*args, "--json"]).output)
    assert [picture["name"] for picture in found["pictures"]] == ["static_embeddings", "bert_embeddings"]


@pytest.mark.parametrize(("text", "lang", "key"), [("", "en", "text"), ("the bank", "fr", "lang")])
def test_what_can_not_be_drawn_is_one_error_that_names_the_key(nlp, text, lang, key, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    page = tmp_path / "page.html"
    args = ["compare", text, "-p", str(tmp_path / "pipeline"), "-o", str(page), "--lang", lang]
    done = CliRunner().invoke(embed_cli, args)
    assert done.exit_code == 1
    assert "[CE001]" in done.output and f"'{key}'" in done.output
    assert not page.exists()


def test_without_a_pipeline_it_is_the_three_kinds_with_sentences():
    names = ["sentencizer", "static_embeddings", "elmo_embeddings", "bert_embeddings"]
    assert default_pipeline().pipe_names == names
