"""rows/head.py: what comes after the pooling, and Spans from their rows."""

from dataclasses import replace

import numpy as np
import pytest

from spacy_ctx_embed.data import TEXT_MODES, Dense, TextHead
from spacy_ctx_embed.rows.head import dense_digest, finish, pool_part, text_width

ROWS = np.array([[1, -2], [3, 4], [-1, 0]], dtype=np.float32)
LAYER = Dense(np.array([[1, 2], [0, 1], [1, 0]], np.float32), np.array([0, 1, 0], np.float32), "ReLU")


def test_steps_are_done_in_order():
    head = TextHead(("mean",), (LAYER, "normalize", 2))
    vector = np.maximum([1 * 3 + 2 * -4, -4 + 1, 3], 0) / 3
    np.testing.assert_allclose(finish(head, np.array([[3, -4]], np.float32)), [vector[:2]])
    assert text_width(head, 2) == 2 and text_width(TextHead(("mean", "max"), ("normalize",)), 2) == 4


def test_what_is_zero_stays_zero_when_it_is_scaled():
    assert finish(TextHead(("mean",), ("normalize",)), np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


def test_a_residual_is_added_behind_the_activation():
    layer = Dense(np.array([[-1, 0]], np.float32), None, "ReLU", np.array([[0, 2]], np.float32))
    assert finish(TextHead(("mean",), (layer,)), np.array([[5, 3]], np.float32)).tolist() == [[6]]


@pytest.mark.parametrize("mode", TEXT_MODES)
def test_spans_are_pooled_from_their_rows(mode):
    expected = {
        "cls": ROWS.mean(axis=0),
        "max": [3, 4],
        "mean": ROWS.mean(axis=0),
        "mean_sqrt_len_tokens": ROWS.sum(axis=0) / np.sqrt(3),
        "weightedmean": (ROWS * np.array([[1], [2], [3]])).sum(axis=0) / 6,
        "lasttoken": [-1, 0],
    }
    np.testing.assert_allclose(pool_part(TextHead((mode,)), ROWS), expected[mode], atol=1e-6)
    assert pool_part(TextHead((mode, mode), (1,)), ROWS[:0]).tolist() == [0]


def test_a_digest_is_of_all_of_a_layer():
    layers = [
        LAYER,
        replace(LAYER, bias=None),
        replace(LAYER, activation="Tanh"),
        replace(LAYER, residual=LAYER.weight),
        replace(LAYER, weight=LAYER.weight.reshape(2, 3)),
    ]
    assert len({dense_digest(layer) for layer in layers}) == len(layers)
    assert dense_digest(LAYER) == dense_digest(replace(LAYER, weight=LAYER.weight.copy()))
