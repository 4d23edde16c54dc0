"""probing/significance.py: a paired test of F scores."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from spacy_ctx_embed.probing.significance import f_score, randomisation_test


def _brute_force(left: np.ndarray, right: np.ndarray) -> float:
    """Share of all exchanges whose difference is as large as that observed."""
    observed = abs(f_score(left.sum(0)) - f_score(right.sum(0)))
    as_large = 0
    for swaps in product([False, True], repeat=len(left)):
        chosen = np.array(swaps)[:, None, None]
        one, other = np.where(chosen, right, left), np.where(chosen, left, right)
        as_large += abs(f_score(one.sum(0)) - f_score(other.sum(0))) >= observed - 1e-12
    return as_large / 2 ** len(left)


@pytest.mark.parametrize(("n_classes", "seed"), [(1, 0), (1, 1), (1, 2), (3, 3), (3, 4)])
def test_the_p_value_is_that_of_all_exchanges(n_classes, seed):
    random = np.random.default_rng(seed)
    left, right = (random.integers(0, high, size=(9, n_classes, 3)) for high in (5, 4))
    p = randomisation_test(left, right, rounds=20_000)
    exact = _brute_force(left, right)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_the_order_of_the_systems_does_not_matter():
    random = np.random.default_rng(0)
    left, right = random.integers(0, 5, size=(2, 30, 1, 3))
    assert randomisation_test(left, right) == randomisation_test(right, left)


def test_equal_systems_do_not_differ():
    counts = np.random.default_rng(0).integers(0, 5, size=(20, 1, 3))
    assert randomisation_test(counts, counts) == 1


def test_a_system_that_is_always_better_has_the_smallest_p_value():
    right = np.tile([[1, 1, 1]], (60, 1, 1))
    left = np.tile([[2, 0, 0]], (60, 1, 1))
    assert randomisation_test(left, right, rounds=999) == 1 / 1000


def test_under_the_null_hypothesis_p_values_are_even():
    random = np.random.default_rng(1)
    ps = [randomisation_test(*random.integers(0, 4, size=(2, 40, 1, 3)), rounds=199) for _ in range(400)]
    assert np.mean(np.array(ps) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(ps) == pytest.approx(0.5, abs=0.06)


def test_the_score_of_nothing_is_zero():
    assert f_score(np.zeros((2, 3))) == 0


def test_classes_are_averaged():
    assert f_score(np.array([[1, 0, 0], [1, 1, 1]])) == pytest.approx((1 + 0.5) / 2)
