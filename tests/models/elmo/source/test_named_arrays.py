"""models/elmo/source/named_arrays.py: arrays that are missing, of another shape, or no numbers are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models.elmo.elmo_folders import CELL, refusal_of, replace_dataset


@pytest.mark.parametrize(
    "name", ["char_embed", "CNN/W_cnn_2", "CNN/b_cnn_0", "CNN_high_0/b_carry", "CNN_proj/W_proj", f"{CELL}/W_P_0"]
)
def test_missing_dataset_is_named(folder: Path, name: str) -> None:
    replace_dataset(folder, name, None)
    message = refusal_of(folder)
    assert f"'{name}' is missing" in message and "weights.hdf5" in message and "of shape (" in message


def test_wrong_shape_is_told_with_both_shapes(folder: Path) -> None:
    replace_dataset(folder, f"{CELL}/W_0", np.zeros((12, 40), dtype="f"))
    message = refusal_of(folder)
    assert f"'{CELL}/W_0' is of shape (12, 40)" in message and "of shape (12, 48)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(folder: Path, value: float) -> None:
    array = np.zeros((6,), dtype="f")
    array[2] = value
    replace_dataset(folder, "CNN_proj/b_proj", array)
    assert "'CNN_proj/b_proj' is not finite" in refusal_of(folder)


def test_text_in_place_of_numbers_is_refused(folder: Path) -> None:
    replace_dataset(folder, "CNN_proj/b_proj", np.array([b"x"] * 6))
    assert "'CNN_proj/b_proj' is of type" in refusal_of(folder)
