"""Folders of tiny ELMo models: as published, with words instead of characters, and our own."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import VOCABULARY, edit_options
from tests.writers.elmo import write_random_elmo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_random_elmo(tmp_path / "model")


@pytest.fixture
def word_folder(folder: Path) -> Path:
    edit_options(folder, lambda options: options.pop("char_cnn"))
    with h5py.File(folder / "weights.hdf5", "a") as stream:
        for name in [name for name in stream if not name.startswith("RNN")]:
            del stream[name]
        stream["embedding"] = np.random.default_rng(1).standard_normal((len(VOCABULARY), 6)).astype("f")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "own"
    target.mkdir()
    write_elmo(target, read_elmo(folder))
    return target
