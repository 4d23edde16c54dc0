"""sources/table.py: words of a static table that are near a row."""

from __future__ import annotations

import numpy as np
import pytest
import spacy

from spacy_ctx_embed.sources.layers import find_sources
from spacy_ctx_embed.sources.table import near_words


def test_near_words_are_those_of_a_loop_over_the_table(tmp_path):
    random = np.random.default_rng(0)
    rows = {f"w{i}": random.normal(size=5).round(3) for i in range(40)}
    rows["W3"], rows["none"] = rows["w3"] * 2, np.zeros(5)
    lines = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items())
    (tmp_path / "table.txt").write_text(lines, encoding="utf8")
    nlp = spacy.blank("en")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tmp_path / "table.txt")}})
    (source,) = find_sources(nlp, owner="test")
    row = np.float32(rows["w3"])
    size = np.linalg.norm
    plain = {word: float(row @ other / (size(row) * size(other))) for word, other in rows.items() if size(other)}
    expected = sorted((word for word in plain if word.lower() != "w3"), key=lambda word: -plain[word])[:6]
    found = near_words(source, row, 6, leave_out="w3")
    assert [word for word, _ in found] == expected
    assert [cosine for _, cosine in found] == pytest.approx([plain[word] for word in expected], abs=1e-5)
    assert len(near_words(source, row, 100)) == len(rows)
    assert near_words(source, np.zeros(5, np.float32), 6) == []


def test_a_contextual_source_has_no_table():
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo_embeddings")
    (source,) = find_sources(nlp, owner="test")
    assert near_words(source, np.ones(8, np.float32), 3) == []
