"""attach/heat_map.py, and rows/unit.py in it: the picture of ``doc._.embeddings`` in a notebook."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.attach.heat_map import cosines, heat_map

SVG = "{http://www.w3.org/2000/svg}"


def test_each_cell_is_the_cosine_of_its_two_tokens():
    rows = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    rows[2] = 0
    cells = [rect.find(f"{SVG}title").text for rect in ET.fromstring(heat_map("abcd", rows, "t")).iter(f"{SVG}rect")]
    expected = []
    for i in (0, 1, 3):
        for j in (0, 1, 3):
            value = rows[i] @ rows[j] / np.sqrt(rows[i] @ rows[i]) / np.sqrt(rows[j] @ rows[j])
            expected.append(f"{'abcd'[i]} – {'abcd'[j]}: {value:.2f}")
    assert cells == expected


def test_a_row_of_zeros_has_no_direction():
    np.testing.assert_array_equal(cosines(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0, 1]])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.text())
def test_any_word_is_text_in_it_and_nothing_else(words, title):
    title = "".join(c for c in title if c.isprintable())
    picture = ET.fromstring(heat_map(words, np.ones((len(words), 2), np.float32), title))
    assert {element.tag for element in picture.iter()} <= {f"{SVG}{tag}" for tag in ("svg", "title", "text", "rect")}
    assert len(list(picture.iter(f"{SVG}rect"))) == len(words) ** 2


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", '"><b>', "&amp;", "x" * 1000, "שלום", "\u202egnp"])
def test_words_of_any_kind_are_shown_safely_and_short(word):
    picture = heat_map([word], np.ones((1, 2), np.float32), word[:20])
    assert "<script" not in picture and "<b>" not in picture and "\u202e" not in re.sub(r"aria-label.*?>", "", picture)
    assert max(len(text.text) for text in ET.fromstring(picture).iter(f"{SVG}text")) <= 14


def test_a_notebook_shows_a_picture_for_each_component(tiny_static):
    nlp = spacy.blank("xx")
    for name in ("one", "<two>"):
        nlp.add_pipe("static_embeddings", name=name, config={"model": {"name": str(tiny_static)}})
    doc = nlp("the river bank " * 20)
    shown = doc._.embeddings._repr_html_()
    assert shown.count("<svg") == 2
    assert "&lt;two&gt; (the first 40 of 60 tokens)" in shown and "<two>" not in shown
    assert doc[0]._.vectors._repr_html_() is None
    assert nlp("")._.embeddings._repr_html_().count("<rect") == 0


def test_words_have_the_room_that_they_take():
    def margin(word):
        return int(re.search(r'viewBox="0 0 (\d+)', heat_map([word], np.ones((1, 2)), ""))[1]) - 16

    assert margin("a") < 20 < margin("a" * 9) < margin("行" * 9)
    assert margin("a" * 14) == margin("a" * 1000)
