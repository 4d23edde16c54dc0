"""rows/sif.py: the formula of Arora et al. 2017, recomputed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.rows.sif import A, CommonDirection, Frequencies, sif_vector

WORDS = Frequencies(np.array([3, 7, 2**63 + 1], np.uint64), np.array([1, 6, 3]))


def test_frequent_words_weigh_little_and_unknown_ones_one():
    found = WORDS.weights(np.array([7, 2**63 + 1, 5, 2**64 - 1], np.uint64))
    np.testing.assert_allclose(found, [A / (A + 0.6), A / (A + 0.3), 1, 1], rtol=1e-6)
    assert WORDS.weights(np.zeros(0, np.uint64)).shape == (0,)


def test_the_direction_is_the_first_singular_vector_of_the_vectors():
    vectors = np.random.default_rng(0).normal(size=(20, 6)) + 2
    direction = CommonDirection()
    for vector in vectors:
        direction.add(vector)
    expected = np.linalg.svd(vectors)[2][0]
    assert abs(direction.find() @ expected) == pytest.approx(1, abs=1e-6)
    assert direction.n_vectors == 20


@given(n=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_vector_is_the_weighted_mean_without_that_direction(n, seed):
    random = np.random.default_rng(seed)
    rows, weights, common = random.normal(size=(n, 4)).astype("f"), random.random(n).astype("f"), random.normal(size=4)
    common = (common / np.linalg.norm(common)).astype("f")
    mean = (weights[:, None] * rows).sum(axis=0) / n
    np.testing.assert_allclose(sif_vector(rows, weights, None), mean, atol=1e-6)
    found = sif_vector(rows, weights, common)
    np.testing.assert_allclose(found, mean - common * (common @ mean), atol=1e-6)
    assert abs(found @ common) < 1e-5


def test_no_rows_give_zeros_and_halves_stay_halves():
    half = np.ones((2, 3), np.float16)
    weights, common = np.ones(2, np.float32), np.array([1, 0, 0], np.float32)
    assert sif_vector(half, weights, common).dtype == np.float16
    assert sif_vector(half[:0], weights[:0], common).tolist() == [0, 0, 0]
