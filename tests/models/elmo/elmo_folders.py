"""What tests do to the folder of a tiny ELMo model, and what they expect of reading it."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import h5py
import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles

CELL = "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell"
VOCABULARY = ["<S>", "</S>", "<UNK>", "The", "cat", "sat"]
SENTENCES = [["The", "cat", "sat"], ["the", "cat", "</S>", "<UNK>"]]
VOCAB = spacy.blank("xx").vocab


def edit_options(folder: Path, change: Callable[[Dict[str, Any]], Any]) -> None:
    file = folder / "options.json"
    options = json.loads(file.read_text())
    change(options)
    file.write_text(json.dumps(options))


def replace_dataset(folder: Path, name: str, array: Any) -> None:
    with h5py.File(folder / "weights.hdf5", "a") as stream:
        if name in stream:
            del stream[name]
        if array is not None:
            stream[name] = array


def refusal_of(path: Path) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_elmo(path)
    message = str(caught.value)
    assert "Accepted: " in message and "Fix: " in message
    return message


def assert_same(found: ElmoFiles, expected: ElmoFiles) -> None:
    assert (found.config, found.kind, found.mix) == (expected.config, expected.kind, expected.mix)
    assert found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())


def rows_of(path: Path, sentences: Sequence[Sequence[str]], **kwargs: Any) -> List[Any]:
    docs = [Doc(VOCAB, words=list(words)) for words in sentences]
    return make_elmo_v1(name=str(path), **{"layer_mix": "concat", **kwargs}).predict(docs)


def zip_of(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


def tar_of(folder: Path, path: Path, top: str = ".") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, top)
    return path


def write_mapping(folder: Path, language: str, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((12, 12))
    torch.save(matrix, folder / f"{language}_best_mapping.pth", _use_new_zipfile_serialization=False)
    return matrix
