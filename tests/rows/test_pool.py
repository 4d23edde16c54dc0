"""rows/pool.py: pieces to tokens, tokens to Spans and Docs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.rows.pool import ROW_POOLINGS, SUBWORD_POOLINGS, PooledPieces, pool_pieces, pool_tokens

REFERENCE = {
    "mean": lambda x: x.mean(axis=1),
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
    "max": lambda x: x.max(axis=1),
    "sum": lambda x: x.sum(axis=1),
}


@pytest.mark.parametrize("pooling", SUBWORD_POOLINGS)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_pieces_are_pooled_token_by_token(pooling, counts, seed):
    pieces = np.random.default_rng(seed).normal(size=(2, sum(counts), 3))
    tokens = np.repeat(np.arange(len(counts)), counts)
    pooled = pool_pieces(torch.from_numpy(pieces), torch.from_numpy(tokens), len(counts), pooling).numpy()
    parts = np.split(pieces, np.cumsum(counts)[:-1], axis=1)
    np.testing.assert_allclose(pooled, np.stack([REFERENCE[pooling](part) for part in parts], axis=1), atol=1e-12)


@pytest.mark.parametrize("pooling", SUBWORD_POOLINGS)
def test_the_gradient_of_pooling_is_right(pooling):
    torch.manual_seed(0)
    pieces = torch.randn(1, 5, 2, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([0, 0, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: pool_pieces(x, tokens, 3, pooling), pieces)


@pytest.mark.parametrize("pooling", ROW_POOLINGS)
def test_rows_are_pooled_to_one(pooling):
    rows = np.array([[1, -1], [3, -5]], dtype=np.float32)
    expected = {"mean": [2, -3], "max": [3, -1], "sum": [4, -6], "first": [1, -1]}
    assert pool_tokens(rows, pooling).tolist() == expected[pooling]


@pytest.mark.parametrize("pooling", ROW_POOLINGS)
def test_no_rows_pool_to_zeros(pooling):
    assert pool_tokens(np.zeros((0, 3), dtype=np.float32), pooling).tolist() == [0, 0, 0]


def test_half_precision_rows_are_summed_in_float32():
    rows = np.full((4096, 1), 16, dtype=np.float16)  # their sum is 65,536, above the largest float16
    assert pool_tokens(rows, "mean").tolist() == [16]


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_pieces_in_parts_pool_like_all_at_once(counts, data):
    tokens = np.repeat(np.arange(len(counts)), counts)
    values = np.random.default_rng(len(tokens)).normal(size=(2, len(tokens), 3)).astype(np.float32)
    part = np.array([data.draw(st.integers(0, 2)) for _ in tokens])
    for pooling in SUBWORD_POOLINGS:
        pieces, groups = torch.from_numpy(values), torch.from_numpy(tokens)
        expected = pool_pieces(pieces, groups, len(counts), pooling)
        pooled = PooledPieces(tokens, len(counts), pooling)
        for number in range(3):
            mine = pooled.wanted[part[pooled.wanted] == number]
            if len(mine):
                pooled.add(pieces[:, mine], mine)
        np.testing.assert_allclose(pooled.rows(), expected, atol=1e-6)
