"""Rows in smaller types: near to what they were, and read a block at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.models.static.tables import numbers
from spacy_ctx_embed.models.static.tables.numbers import blocks, round_rows, take_rows


@given(
    st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4), min_size=1, max_size=20),
    st.sampled_from(["float32", "float16", "int8"]),
)
def test_rounded_rows_are_near(rows, dtype):
    rows = np.array(rows, dtype="f")
    values, scales = round_rows(rows, None, dtype)
    assert str(values.dtype) == dtype and (scales is None) == (dtype != "int8")
    again = take_rows(values, scales, np.arange(len(rows)))
    largest = np.abs(rows).max(axis=1, keepdims=True)
    allowed = {"float32": 0 * largest, "float16": largest / 2000 + 1e-7, "int8": largest / 250 + 1e-38}[dtype]
    assert (np.abs(again - rows) <= allowed).all()


@pytest.mark.parametrize("largest", [1e-45, 1.27e-41, 1e-38, 3e38])
def test_eight_bits_of_the_smallest_and_the_largest_numbers(largest):
    rows = np.array([[0.0, largest, -largest, largest / 2]], dtype="f")
    values, scales = round_rows(rows, None, "int8")
    assert values[0, 1] == -values[0, 2] and 0 <= values[0, 1] <= 127
    np.testing.assert_allclose(take_rows(values, scales, np.arange(1)), rows, rtol=0.01, atol=1e-38)


def test_blocks_are_all_rows(monkeypatch):
    monkeypatch.setattr(numbers, "_BLOCK", 3)
    rows = np.random.default_rng(0).normal(size=(10, 2)).astype("f")
    values, scales = round_rows(rows, None, "int8")
    found = list(blocks(values, scales))
    assert [start for start, _ in found] == [0, 3, 6, 9]
    np.testing.assert_array_equal(
        np.concatenate([block for _, block in found]), take_rows(values, scales, np.arange(10))
    )


def test_numbers_beyond_float16_become_its_largest():
    values, _ = round_rows(np.array([[1e30, -1e30, 1]], "f"), None, "float16")
    assert values.tolist() == [[65504, -65504, 1]]
