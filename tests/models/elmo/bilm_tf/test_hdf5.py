"""models/elmo/bilm_tf/hdf5.py: what is no HDF5 file, or only half of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.models.elmo.elmo_folders import refusal_of, replace_dataset


def test_truncated_hdf5_is_refused(folder: Path) -> None:
    file = folder / "weights.hdf5"
    file.write_bytes(file.read_bytes()[:-2000])
    assert str(file) in refusal_of(folder)


def test_what_is_not_hdf5_is_refused(folder: Path) -> None:
    (folder / "weights.hdf5").write_text("<html>404</html>")
    assert "weights.hdf5" in refusal_of(folder)


def test_group_in_place_of_a_dataset_counts_as_missing(folder: Path) -> None:
    replace_dataset(folder, "char_embed", None)
    replace_dataset(folder, "char_embed/inner", np.zeros(3))
    assert "'char_embed' is missing" in refusal_of(folder)
