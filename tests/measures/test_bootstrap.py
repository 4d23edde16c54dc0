"""measures/bootstrap.py: weights of Docs in a stream, against Docs that are written out as often as they were drawn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from spacy_ctx_embed.measures.bootstrap import N_REPLICATES, Replicates, Weights, interval_of, means_of_draws

WIDTH = 4


def _docs(n_docs=6, seed=0):
    random = np.random.default_rng(seed)
    docs = [random.normal(size=(n, WIDTH)) + 0.7 for n in random.integers(1, 5, n_docs)]
    return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in docs]


def _added(docs, weights):
    found = Replicates(WIDTH)
    counts = np.array([len(rows) for rows in docs], dtype=np.float32)
    means = [rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0)) for rows in docs]
    alike = np.array([float((rows @ mean).mean()) for rows, mean in zip(docs, means)])
    sums, squares = (np.array([(rows**power).sum(axis=0) for rows in docs]) for power in (1, 2))
    found.add(weights, counts, sums, squares, alike)
    return found, alike


def test_each_replicate_is_what_docs_written_out_as_often_as_drawn_give():
    docs, weights = _docs(), Weights(3).next(6)
    found, alike = _added(docs, weights)
    means, sentences = found.mean_cosines(), found.intra_sentence()
    (first, all_of_them) = found.dominant_shares((1, WIDTH))
    for replicate in range(20):
        drawn = weights[:, replicate].astype(int)
        rows = [(place, row) for place, doc in enumerate(docs) for row in doc for _ in range(drawn[place])]
        places = [(place, i) for place, doc in enumerate(docs) for i in range(len(doc)) for _ in range(drawn[place])]
        pairs = [(a, b) for (i, (_, a)), (j, (_, b)) in combinations(enumerate(rows), 2) if places[i] != places[j]]
        assert means[replicate] == pytest.approx(np.mean([a @ b for a, b in pairs]))
        parts = np.mean([a * b for a, b in pairs], axis=0)
        assert first[replicate] == pytest.approx(parts.max() / parts.sum())
        assert all_of_them[replicate] == pytest.approx(1)
        assert sentences[replicate] == pytest.approx(np.repeat(alike, drawn).mean())


def test_weights_are_of_poisson_1_and_do_not_depend_on_batches():
    whole, parts = Weights(7), Weights(7)
    drawn = whole.next(400)
    np.testing.assert_array_equal(drawn, np.concatenate([parts.next(n) for n in (1, 0, 149, 250)]))
    assert drawn.mean() == pytest.approx(1, abs=0.02)
    assert drawn.var() == pytest.approx(1, abs=0.03)
    assert (Weights(8).next(400) != drawn).any()


def test_the_interval_is_about_as_wide_as_the_spread_of_other_corpora():
    found, _ = _added(_docs(300), Weights(0).next(300))
    low, high = interval_of(found.mean_cosines())
    others = [_added(_docs(300, seed), np.ones((300, N_REPLICATES)))[0].mean_cosines()[0] for seed in range(1, 81)]
    assert low < np.mean(others) < high
    assert 0.6 < (high - low) / (3.92 * np.std(others)) < 1.5


def test_of_one_doc_or_no_values_there_is_no_interval():
    found, _ = _added([_docs()[0][:1]], Weights(0).next(1))  # one row: no pair of different rows
    assert interval_of(found.mean_cosines()) is None
    assert interval_of(means_of_draws([], 0)) is None
    assert interval_of(Replicates(WIDTH).intra_sentence()) is None


def test_means_of_draws_are_means_with_replacement():
    values = np.random.default_rng(0).normal(size=50)
    low, high = interval_of(means_of_draws(values, 1))
    assert low < values.mean() < high
    assert (high - low) / (3.92 * values.std() / np.sqrt(50)) == pytest.approx(1, abs=0.3)
    np.testing.assert_array_equal(means_of_draws(values, 1), means_of_draws(values, 1))
