"""measures/word_pairs.py, rows/unit.py: ranks, Spearman's rho and cosine, against SciPy and gensim."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.measures.word_pairs import Pair, ranks, read_pairs, spearman, spearman_interval
from spacy_ctx_embed.rows.unit import cosines

NUMBERS = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30)


@given(NUMBERS)
def test_rho_is_scipys_with_ties_too(pairs):
    stats = pytest.importorskip("scipy.stats")
    left, right = (np.array(side, dtype=float) for side in zip(*pairs))
    np.testing.assert_allclose(ranks(left), stats.rankdata(left))
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert math.isnan(spearman(left, right))
    else:
        assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)


def test_too_few_pairs_have_no_rho():
    two = np.array([1.0, 2.0])
    assert math.isnan(spearman(two, two))
    assert all(map(math.isnan, spearman_interval(two, two, seed=0)))
    same = np.ones(5)
    assert all(map(math.isnan, spearman_interval(same, same, seed=0)))


def test_the_interval_is_that_of_its_seed_and_holds_rho():
    random = np.random.default_rng(1)
    left = random.normal(size=200)
    right = left + random.normal(size=200)
    low, high = spearman_interval(left, right, seed=3)
    assert (low, high) == spearman_interval(left, right, seed=3) != spearman_interval(left, right, seed=4)
    assert low < spearman(left, right) < high
    assert 0.05 < high - low < 0.3


def test_cosine_of_a_zero_row_is_zero():
    left, right = np.array([[1, 0], [0, 0], [1, 1]], np.float32), np.array([[2, 0], [1, 0], [1, -1]], np.float32)
    assert cosines(left, right).tolist() == [1, 0, 0]


def test_a_table_has_the_rho_that_gensim_gives_it():
    pairs = read_pairs(Path(datapath("wordsim353.tsv")))
    assert len(pairs) == 353
    assert pairs[0] == Pair("love", "sex", 6.77)
    words = sorted({word for pair in pairs for word in (pair.left, pair.right)})[:300]
    table = KeyedVectors(8)
    table.add_vectors(words, np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32))
    known = [pair for pair in pairs if pair.left in table and pair.right in table]
    found = cosines(table[[pair.left for pair in known]], table[[pair.right for pair in known]])
    expected = table.evaluate_word_pairs(datapath("wordsim353.tsv"), case_insensitive=False)
    assert spearman(found, np.array([pair.score for pair in known])) == pytest.approx(expected[1][0], abs=1e-4)
    assert 100 * (1 - len(known) / len(pairs)) == pytest.approx(expected[2])
