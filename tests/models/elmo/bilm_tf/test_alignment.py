"""models/elmo/bilm_tf/alignment.py: maps of aligned models are read, hostile ones refused, and rows are mapped."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.bilm_tf.alignment import read_alignment
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import SENTENCES, refusal_of, rows_of, write_mapping

FILE = Path("folder/es_best_mapping.pth")
MATRIX = np.random.default_rng(0).standard_normal((4, 4))


def saved(value: Any, *, zipped: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def read(content: bytes) -> torch.Tensor:
    return read_alignment(io.BytesIO(content), FILE, 4)


def refusal(content: bytes) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read(content)
    message = str(caught.value)
    assert str(FILE) in message and "Accepted: " in message and "Fix: " in message
    return message


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_are_read(zipped: bool, dtype: str, order: Any) -> None:
    found = read(saved(np.asarray(MATRIX, dtype=dtype, order=order), zipped=zipped))
    assert found.dtype == torch.float32 and found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), MATRIX.astype(np.float32))


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_either_numpy_are_read(core: bytes) -> None:
    content = saved(MATRIX)
    for other in (b"numpy._core", b"numpy.core"):
        content = content.replace(b"c" + other + b".multiarray\n", b"c" + core + b".multiarray\n")
    assert b"c" + core + b".multiarray\n_reconstruct\n" in content
    np.testing.assert_array_equal(read(content).numpy(), MATRIX.astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_read(dtype: torch.dtype) -> None:
    assert torch.equal(read(saved(torch.from_numpy(MATRIX).to(dtype))), torch.from_numpy(MATRIX).float())


def test_what_numpy_may_make_ends_with_the_call() -> None:
    read(saved(MATRIX))
    with pytest.raises(Exception, match="reconstruct"):
        torch.load(io.BytesIO(saved(MATRIX)), weights_only=True)


class RunsACommand:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [False, True])
def test_hostile_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    trap = RunsACommand(f"touch {tmp_path / 'proof'}")
    for value in (trap, [MATRIX, trap]):
        assert f"'{os.system.__module__}.system', which was refused" in refusal(saved(value, zipped=zipped))
    array = np.empty((4, 4), dtype=object)
    array[0, 0] = trap
    assert "asks for other types than may be made" in refusal(saved(array, zipped=zipped))
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("value", [np.random.RandomState(0), np.float64(1).dtype.newbyteorder, np.dtype("O")])
def test_no_other_part_of_numpy_is_allowed(value: Any) -> None:
    refusal(saved(value))


def test_objects_and_whole_numbers_are_no_matrix() -> None:
    refusal(saved(np.zeros((4, 4), dtype=object)))
    refusal(saved(np.zeros((4, 4), dtype=np.int64)))
    assert "of type dict" in refusal(saved({"mapping": torch.ones((4, 4))}))


@pytest.mark.parametrize("shape", [(4,), (4, 5), (8, 8)])
def test_other_shapes_are_refused(shape: Any) -> None:
    for value in (np.ones(shape), torch.ones(shape)):
        message = refusal(saved(value))
        assert f"of shape {shape}" in message and "of shape (4, 4)" in message


def test_numbers_that_are_none_are_refused() -> None:
    assert "not finite" in refusal(saved(np.full((4, 4), np.nan)))


@pytest.mark.parametrize("part", [0, 0.3, 0.9])
def test_truncated_file_is_refused(part: float) -> None:
    content = saved(MATRIX)
    refusal(content[: int(part * len(content))])


def test_torch_without_safe_globals_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.serialization, "safe_globals")
    message = refusal(saved(MATRIX))
    assert "_reconstruct', which was refused" in message and "torch before 2.6" in message
    assert torch.equal(read(saved(torch.ones((4, 4)))), torch.ones((4, 4)))


# Aligned models


def test_rows_are_mapped(folder: Path) -> None:
    plain = rows_of(folder, SENTENCES, layers=[1])
    matrix = write_mapping(folder, "es")
    files = read_elmo(folder)
    assert files.config.aligned
    assert files.weights["alignment.weight"].shape == (12, 12)
    for found, expected in zip(rows_of(folder, SENTENCES, layers=[1]), plain):
        np.testing.assert_allclose(found, expected @ matrix.T, atol=1e-5)


def test_each_language_has_its_own_map(folder: Path) -> None:
    for language in ("en", "es", "fr"):
        shutil.copy(folder / "weights.hdf5", folder / f"{language}_weights.hdf5")
    (folder / "weights.hdf5").unlink()
    (folder / "options.json").rename(folder / "options262.json")
    for seed, language in enumerate(("es", "fr")):
        matrix = write_mapping(folder, language, seed)
        found = read_elmo(folder / f"{language}_weights.hdf5").weights["alignment.weight"]
        np.testing.assert_array_equal(found.numpy(), matrix.astype("f"))
    assert not read_elmo(folder / "en_weights.hdf5").config.aligned


def test_two_maps_for_one_model_are_refused(folder: Path) -> None:
    for language in ("es", "fr"):
        write_mapping(folder, language)
    assert "es_best_mapping.pth, fr_best_mapping.pth" in refusal_of(folder)


def test_map_of_another_width_is_refused(folder: Path) -> None:
    torch.save(torch.eye(1024), folder / "es_best_mapping.pth")
    message = refusal_of(folder)
    assert "of shape (1024, 1024)" in message and "of shape (12, 12)" in message
