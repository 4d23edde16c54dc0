"""sources/table.py: words of a static table that are near a row."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.vectors import Vectors

from spacy_ctx_embed.sources.layers import find_sources
from spacy_ctx_embed.sources.table import near_words


def test_near_words_are_those_of_a_loop_over_the_table(tmp_path):
    random = np.random.default_rng(0)
    rows = {f"w{i}": random.normal(size=5).round(3) for i in range(40)}
    rows["W3"], rows["none"] = rows["w3"] * 2, np.zeros(5)
    lines = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items())
    (tmp_path / "table.txt").write_text(lines, encoding="utf8")
    nlp = spacy.blank("xx")
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
    nlp = spacy.blank("xx")
    nlp.add_pipe("elmo_embeddings")
    (source,) = find_sources(nlp, owner="test")
    assert near_words(source, np.ones(8, np.float32), 3) == []


@pytest.mark.parametrize("rows_of_others", [0, 3])
def test_near_words_of_the_vocab_are_those_of_a_loop_over_its_words(rows_of_others):
    random = np.random.default_rng(0)
    nlp = spacy.blank("xx")
    data = random.normal(size=(40 + rows_of_others, 5)).astype(np.float32)  # the last rows belong to no word
    nlp.vocab.vectors = Vectors(data=data, strings=nlp.vocab.strings)
    owners = {f"w{i}": i for i in range(40)}
    owners.update({"W3": 3, "twin": 5, "zero": 6})  # several words of one row
    data[6] = 0
    for word, place in owners.items():
        nlp.vocab.vectors.add(nlp.vocab.strings.add(word), row=place)
    nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    (source,) = find_sources(nlp, owner="test")
    row, size = data[3], np.linalg.norm
    plain = {word: float(row @ data[i] / (size(row) * size(data[i]) or 1)) for word, i in owners.items()}
    others = {word: cosine for word, cosine in plain.items() if word.lower() != "w3"}
    found = near_words(source, row, 42, leave_out="w3")
    assert [word for word, _ in found][:5] == sorted(others, key=lambda word: -others[word])[:5]
    assert dict(found) == pytest.approx(others, abs=1e-5)
    assert [cosine for _, cosine in found] == pytest.approx(sorted(others.values(), reverse=True), abs=1e-5)


def test_floret_rows_are_of_no_words():
    nlp = spacy.blank("xx")
    nlp.vocab.vectors = Vectors(
        data=np.ones((8, 4), np.float32), strings=nlp.vocab.strings, mode="floret", minn=2, maxn=3, hash_count=2
    )
    nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    (source,) = find_sources(nlp, owner="test")
    assert near_words(source, np.ones(4, np.float32), 3) == []
