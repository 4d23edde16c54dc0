"""measures/geometry.py, isotropy.py, uses.py and cli/measures/geometry.py, each measure against loops over pairs."""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
import tracemalloc
from itertools import combinations
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.measures import geometry as module
from spacy_ctx_embed.measures.geometry import Geometry, geometry
from spacy_ctx_embed.measures.isotropy import Moments, first_direction, iso_score
from spacy_ctx_embed.measures.uses import RowSample, WordSample
from spacy_ctx_embed.sources.layers import find_sources

TEXTS = [
    "The bank of the river.",
    "We sat on the bank!",
    "",
    "the dog , the river and the bank",
    "dog 😀",
    "The river bank",
]


@pytest.fixture(scope="module")
def nlp(make_nlp: Callable[..., Language]) -> Language:
    """Static and BERT vectors."""
    return make_nlp("static", "bert")


def _cos(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def _explained(rows: List[np.ndarray]) -> float:
    # By power iteration, not by a decomposition.
    matrix = np.array(rows, dtype=np.float64)
    square = matrix.T @ matrix
    direction = np.ones(len(square))
    for _ in range(2000):
        direction = square @ direction
        direction /= np.linalg.norm(direction)
    return float(direction @ square @ direction / np.trace(square))


def _reference(nlp: Language, name: str, layer: int, least: int) -> Dict[str, Any]:
    # Everything at once, pair by pair.
    docs = [nlp.make_doc(text) for text in TEXTS]
    (source,) = find_sources(nlp, owner="test", names=[name])
    sentences: List[List[np.ndarray]] = []
    by_word: Dict[str, List[np.ndarray]] = {}
    for doc, found in zip(docs, source.layers_of(docs)):
        sentence = []
        for token in doc:
            if token.text.isalpha() and found.has_vector[token.i]:
                row = found.layers[layer][token.i].astype(np.float64)
                sentence.append(row)
                by_word.setdefault(token.lower_, []).append(row)
        sentences += [sentence] if sentence else []
    every = [row for sentence in sentences for row in sentence]
    used = [rows for rows in by_word.values() if len(rows) >= least]
    covariance = np.cov(np.array(every).T, bias=True)
    return {
        "n_tokens": len(every),
        "n_words": len(used),
        "mean_cosine": np.mean([_cos(a, b) for a, b in combinations(every, 2)]),
        "self_similarity": np.mean([np.mean([_cos(a, b) for a, b in combinations(rows, 2)]) for rows in used]),
        "intra_sentence": np.mean([np.mean([_cos(row, np.mean(s, axis=0)) for row in s]) for s in sentences]),
        "explained": np.mean([_explained(rows) for rows in used]),
        "explained_at_random": _explained(every),
        "iso_score": iso_score(np.linalg.eigvalsh(covariance)),
    }


@pytest.mark.parametrize("size", [1, 2000])
def test_each_measure_of_each_layer_is_what_loops_over_pairs_give_in_any_batches(size, nlp, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", size)
    found = geometry(nlp, (nlp.make_doc(text) for text in TEXTS), min_uses=3)
    assert [(row.component, row.layer) for row in found] == [
        ("static_embeddings", 0),
        *(("bert_embeddings", layer) for layer in range(3)),
    ]
    for row in found:
        for key, value in _reference(nlp, row.component, row.layer, 3).items():
            assert getattr(row, key) == pytest.approx(value, abs=1e-5), (row.component, row.layer, key)


def test_adjusted_is_less_what_tokens_of_any_words_have():
    row = Geometry("a", "bert", "m", 0, 9, 2, 0.5, 0.9, 0.75, 0.8, 0.6, None, None, None)
    assert row.adjusted_self_similarity == pytest.approx(0.4)
    assert row.adjusted_intra_sentence == pytest.approx(0.25)
    assert row.adjusted_explained == pytest.approx(0.2)


def test_a_static_word_is_always_like_itself_and_a_contextual_one_less_so(nlp):
    static, *bert = geometry(nlp, map(nlp.make_doc, TEXTS), min_uses=3)
    assert static.self_similarity == pytest.approx(1)
    assert static.explained == pytest.approx(1)
    assert bert[-1].self_similarity < 0.9999


def test_the_shares_of_all_dimensions_are_the_mean_cosine():
    rows = np.random.default_rng(0).normal(size=(30, 4)) + 1
    moments = Moments(4)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    moments.add(rows, unit)
    parts = [np.mean([a[d] * b[d] for a, b in combinations(unit, 2)]) for d in range(4)]
    assert sum(parts) == pytest.approx(moments.mean_cosine())
    expected = [sum(sorted(parts)[-n:]) / sum(parts) for n in (1, 3, 4)]
    assert moments.dominant_shares((1, 3, 4)) == pytest.approx(expected)


def test_iso_score_is_1_where_all_directions_vary_alike_and_0_where_one_does():
    assert iso_score(np.ones(5)) == pytest.approx(1)
    assert iso_score(np.eye(5)[0]) == pytest.approx(0, abs=1e-12)
    assert 0.2 < iso_score(np.array([1, 1, 1, 0, 0.0])) < 0.8  # about the share of dimensions in use
    assert iso_score(np.zeros(5)) is None
    assert iso_score(np.ones(1)) is None


def test_of_too_little_nothing_is_said(nlp):
    rows = geometry(nlp, [nlp.make_doc("bank")])
    assert {row.mean_cosine for row in rows} == {row.self_similarity for row in rows} == {None}
    assert {row.iso_score for row in rows} == {row.adjusted_explained for row in rows} == {None}
    assert first_direction(np.zeros((0, 3))) is None
    assert first_direction(np.zeros((2, 3))) is None


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.integers(1, 6), st.integers(0, 5), st.data())
def test_a_draw_does_not_depend_on_batches_and_has_all_uses_of_its_words(words, most, seed, data):
    rows = np.random.default_rng(1).normal(size=(2, len(words), 3))
    cut = data.draw(st.integers(0, len(words)))
    whole, parts = WordSample(most, 3, seed), WordSample(most, 3, seed)
    whole.add(words, rows, rows)
    parts.add(words[:cut], rows[:, :cut], rows[:, :cut])
    parts.add(words[cut:], rows[:, cut:], rows[:, cut:])
    counts = [uses.n for uses in whole.words(1)]
    assert counts == [uses.n for uses in parts.words(1)]
    assert len(counts) == min(most, len(set(words)))
    one, two = RowSample(4, seed), RowSample(4, seed)
    one.add(rows)
    two.add(rows[:, :cut])
    two.add(rows[:, cut:])
    np.testing.assert_array_equal(one.rows(1), two.rows(1))


def test_the_command_prints_a_table_and_json(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(TEXTS), encoding="utf8")
    args = ["geometry", str(tmp_path / "pipeline"), str(corpus), "-u", "3", "-e", "bert_embeddings"]
    done = CliRunner().invoke(embed_cli, args)
    assert done.exit_code == 0, done.output
    assert "bert_embeddings" in done.output
    assert "static" not in done.output
    printed = json.loads(CliRunner().invoke(embed_cli, [*args, "--json"]).output)
    rows = printed["layers"]
    low, high = rows[0]["intervals"]["mean_cosine"]
    assert f"{low:.3f} to {high:.3f}" in done.output
    assert {finding["component"] for finding in printed["findings"]} == {"bert_embeddings"}
    assert "arXiv:1909.00512; another model" in done.output
    assert [row["layer"] for row in rows] == [0, 1, 2]
    assert rows[0]["adjusted_self_similarity"] == pytest.approx(rows[0]["self_similarity"] - rows[0]["mean_cosine"])
    short = CliRunner().invoke(embed_cli, [*args, "--limit", "1", "--json"])
    assert json.loads(short.output)["layers"][0]["self_similarity"] is None
    assert json.loads(short.output)["layers"][0]["intervals"] == {}  # of one Doc, all replicates would be alike
    wrong = CliRunner().invoke(embed_cli, [*args[:3], "-e", "vectors"])
    assert wrong.exit_code == 1
    assert "[CE001] embed geometry" in wrong.output


def _streamed(nlp, n_docs):
    # Docs that are made when asked for, of a vocabulary that is larger than what is kept.
    for i in range(n_docs):
        yield nlp.make_doc(f"the bank {i % 97} of the river and the dog {i % 89} on it {i % 83}")


def _peak(nlp, n_docs):
    gc.collect()
    tracemalloc.start()
    geometry(nlp, _streamed(nlp, n_docs), min_uses=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_docs(nlp, monkeypatch):
    for name, value in (("_BATCH", 200), ("_WORDS", 50), ("_USES", 5), ("_RANDOM", 50)):
        monkeypatch.setattr(module, name, value)
    _peak(nlp, 200)  # strings of the vocabulary, weights, buffers
    small, large = _peak(nlp, 200), _peak(nlp, 2000)
    assert large < 1.15 * small + 100_000  # ten times the Docs; bytes


def test_a_second_run_is_read_from_the_layer_cache(make_nlp, tmp_path, monkeypatch):
    nlp = make_nlp("bert", cache_dir=str(tmp_path / "layers"))
    first = geometry(nlp, map(nlp.make_doc, TEXTS), min_uses=3)
    (source,) = find_sources(nlp, owner="test")
    network = encoder_shims(source.model)[0].network()

    def never(*args, **kwargs):
        raise AssertionError("the encoder ran")

    monkeypatch.setattr(type(network), "run", never)
    assert geometry(nlp, map(nlp.make_doc, TEXTS), min_uses=3) == first
    with pytest.raises(AssertionError, match="the encoder ran"):
        geometry(nlp, [nlp.make_doc("a dog that is not in the cache")])


def test_intervals_hold_the_value_and_do_not_depend_on_batches(nlp, monkeypatch):
    texts = [f"the bank {i} of the river" if i % 3 else f"dog {i}" for i in range(60)]
    found = geometry(nlp, map(nlp.make_doc, texts), min_uses=3)
    for row in found:
        assert row.intervals["mean_cosine"][0] < row.mean_cosine < row.intervals["mean_cosine"][1]
        assert "iso_score" not in row.intervals
        assert all(low <= high for low, high in row.intervals.values())
    monkeypatch.setattr(module, "_BATCH", 7)
    for row, other in zip(found, geometry(nlp, map(nlp.make_doc, texts), min_uses=3)):
        assert row.intervals.keys() == other.intervals.keys()
        for name, ends in row.intervals.items():
            assert ends == pytest.approx(other.intervals[name], abs=1e-5)


def test_the_command_draws_a_picture_and_says_what_is_missing(nlp, tmp_path, monkeypatch):
    nlp.to_disk(tmp_path / "pipeline")
    corpus, picture = tmp_path / "corpus.txt", tmp_path / "a.svg"
    corpus.write_text("\n".join(TEXTS), encoding="utf8")
    args = ["geometry", str(tmp_path / "pipeline"), str(corpus), "-u", "3", "--plot", str(picture)]
    if importlib.util.find_spec("matplotlib") is not None:
        done = CliRunner().invoke(embed_cli, args)
        assert done.exit_code == 0, done.output
        assert "</svg>" in picture.read_text(encoding="utf8")
        for place in (tmp_path / "picture.xyz", tmp_path / "none" / "picture.png"):  # before the work, not after
            refused = CliRunner().invoke(embed_cli, ["geometry", "nowhere", str(corpus), "--plot", str(place)])
            assert refused.exit_code == 1 and "CE001" in refused.output and "--plot" in refused.output
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    lacking = CliRunner().invoke(embed_cli, args)
    assert lacking.exit_code == 1
    assert "[CE005] embed geometry: '--plot'" in lacking.output
    assert "spacy-ctx-embed[plot]" in lacking.output
