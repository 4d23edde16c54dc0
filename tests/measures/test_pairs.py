"""measures/pairs.py: means and AUC of same-sense and different-sense pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.measures.pairs import cosines, score_pairs


def _plain(rows, labels):
    # Pair by pair, from the definitions.
    same, different = [], []
    for i, j in combinations(range(len(rows)), 2):
        if labels[i] is not None and labels[j] is not None:
            cosine = rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]))
            (same if labels[i] == labels[j] else different).append(round(float(cosine), 9))
    won = [1.0 if a > b else 0.5 if a == b else 0.0 for a in same for b in different]
    return np.mean(same), np.mean(different), np.mean(won), len(same), len(different)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 14))
def test_means_and_auc_are_those_of_a_loop_over_pairs(seed, n):
    random = np.random.default_rng(seed)
    rows = random.integers(-2, 3, (n, 3)) + 0.25  # few values, so that there are ties
    labels = ["a", "a", "b", None, *random.choice(["a", "b", "c"], n - 4)]
    found = score_pairs(cosines(rows), labels, n_resamples=20)
    expected = _plain(rows, labels)
    np.testing.assert_allclose([found.mean_same, found.mean_different, found.auc], expected[:3], atol=1e-8)
    assert (found.n_same, found.n_different) == expected[3:]
    assert 0 <= found.low <= found.high <= 1


def test_senses_apart_are_one_and_equal_rows_are_chance():
    labels = ["a", "a", "b", "b"]
    apart = score_pairs(cosines(np.array([[1, 0.1], [1, 0], [0, 1], [0.1, 1]])), labels)
    assert (apart.auc, apart.high) == (1, 1)
    alike = score_pairs(cosines(np.tile(np.float32([0.3, 0.1, -7]), (4, 1))), labels)
    assert (alike.auc, alike.low, alike.high, alike.mean_same) == (0.5, 0.5, 0.5, 1)


def test_the_interval_is_that_of_draws_of_uses_and_the_same_for_the_same_seed():
    random = np.random.default_rng(1)
    rows = random.normal(size=(24, 6))
    labels = list("ab" * 12)
    rows[::2, 0] += 1.5
    similar = cosines(rows)
    found = score_pairs(similar, labels, seed=3, n_resamples=40)
    assert found == score_pairs(similar, labels, seed=3, n_resamples=40)
    assert found != score_pairs(similar, labels, seed=4, n_resamples=40)
    draws, areas = np.random.default_rng(3), []
    for _ in range(40):
        drawn = draws.integers(0, 24, 24)
        pairs = [(i, j) for i, j in combinations(drawn.tolist(), 2) if i != j]
        same = np.array([similar[i, j] for i, j in pairs if labels[i] == labels[j]])
        different = np.array([similar[i, j] for i, j in pairs if labels[i] != labels[j]])
        lead = same[:, None] - different
        areas.append(((lead > 0) + 0.5 * (lead == 0)).mean())
    np.testing.assert_allclose([found.low, found.high], np.percentile([*areas, found.auc], [2.5, 97.5]), atol=1e-9)


@pytest.mark.parametrize("labels", [[None] * 3, ["a"] * 3, ["a", "b", "c"], ["a", None, "b"]])
def test_without_pairs_of_both_kinds_there_is_no_score(labels):
    assert score_pairs(np.eye(3), labels) is None
    assert score_pairs(np.eye(0), []) is None


def test_cosines_of_zeros_and_of_huge_and_tiny_rows():
    found = cosines(np.float32([[0, 0], [3e38, 0], [1e-38, 0], [1, 1]]))
    np.testing.assert_allclose(found[1], [0, 1, 1, np.sqrt(0.5)], atol=1e-8)
    assert found.diagonal().tolist() == [1] * 4
