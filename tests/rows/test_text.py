"""rows/text.py: what each piece weighs, and parts that pool like the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.data import TEXT_MODES
from spacy_ctx_embed.rows.text import PooledText, mode_weights

RANDOM = np.random.default_rng(0)


def _pool(modes, pieces, lengths, n_left_out=0):
    text = PooledText(modes)
    text.add(torch.from_numpy(pieces), mode_weights(modes, lengths, n_left_out))
    return text.vectors().numpy()


def test_one_window_is_pooled_as_the_definitions_say():
    pieces = RANDOM.normal(size=(1, 5, 3)).astype("f")
    (x,) = pieces
    expected = {
        "cls": x[0],
        "max": x.max(axis=0),
        "mean": x.mean(axis=0),
        "mean_sqrt_len_tokens": x.sum(axis=0) / np.sqrt(5),
        "weightedmean": (x * np.arange(1, 6)[:, None]).sum(axis=0) / 15,
        "lasttoken": x[-1],
    }
    found = _pool(TEXT_MODES, pieces, [5]).reshape(len(TEXT_MODES), 3)
    for mode, vector in zip(TEXT_MODES, found):
        np.testing.assert_allclose(vector, expected[mode], atol=1e-6, err_msg=mode)


def test_a_prompt_is_left_out_and_the_others_keep_their_numbers():
    pieces = RANDOM.normal(size=(2, 5, 3)).astype("f")
    found = _pool(["cls", "mean", "weightedmean", "max"], pieces, [5], 2).reshape(2, 4, 3)
    rest = pieces[:, 2:]
    weighted = (rest * np.array([3, 4, 5])[:, None]).sum(axis=1) / 12
    expected = np.stack([rest[:, 0], rest.mean(axis=1), weighted, rest.max(axis=1)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_of_several_windows_each_piece_counts_once_and_each_window_has_a_first_and_a_last():
    pieces = RANDOM.normal(size=(1, 6, 3)).astype("f")
    (x,) = pieces
    found = _pool(["cls", "lasttoken", "mean"], pieces, [2, 4]).reshape(3, 3)
    np.testing.assert_allclose(found, [(x[0] + x[2]) / 2, (x[1] + x[5]) / 2, x.mean(axis=0)], atol=1e-6)


@pytest.mark.parametrize("mode", [mode for mode in TEXT_MODES if mode not in ("max", "mean_sqrt_len_tokens")])
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), n_left_out=st.integers(0, 60))
def test_weights_are_shares_of_one_whatever_the_windows_are(mode, lengths, n_left_out):
    (weights,) = mode_weights([mode], lengths, n_left_out)
    assert len(weights) == sum(lengths) and (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-5)


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5), data=st.data())
def test_parts_pool_like_the_whole(lengths, data):
    n = sum(lengths)
    pieces = np.random.default_rng(n).normal(size=(2, n, 3)).astype("f")
    n_left_out = data.draw(st.integers(0, n - 1))
    weights = mode_weights(TEXT_MODES, lengths, n_left_out)
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1))) if n > 1 else [])
    text = PooledText(TEXT_MODES)
    for first, last in zip([0, *cuts], [*cuts, n]):
        text.add(torch.from_numpy(pieces[:, first:last]), np.ascontiguousarray(weights[:, first:last]))
    np.testing.assert_allclose(text.vectors().numpy(), _pool(TEXT_MODES, pieces, lengths, n_left_out), atol=1e-5)
