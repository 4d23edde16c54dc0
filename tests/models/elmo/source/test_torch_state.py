from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.torch_state import open_state

FILE = Path("folder/weights.th")


class RunsACommand:
    """What unpickles by running ``command`` in a shell."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def saved(value: Any, *, zipped: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def opened(content: bytes) -> NamedArrays:
    return open_state(io.BytesIO(content), FILE)


def refusal(content: bytes) -> str:
    with pytest.raises(ModelFormatError) as caught:
        opened(content)
    message = str(caught.value)
    assert str(FILE) in message and "Accepted: " in message and "Fix: " in message
    return message


@pytest.mark.parametrize("zipped", [False, True])
def test_state_of_a_module_is_read(zipped: bool) -> None:
    module = torch.nn.Linear(3, 2)
    data = opened(saved(module.state_dict(), zipped=zipped))
    assert data.shapes == {"weight": (2, 3), "bias": (2,)}
    assert torch.equal(data.read("weight", (2, 3)), module.weight)
    assert not data.read("weight", (2, 3)).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    tensor = opened(saved(OrderedDict(x=torch.ones(2, dtype=dtype)))).read("x", (2,))
    assert tensor.dtype == torch.float32 and tensor.tolist() == [1, 1]


def test_parameters_are_tensors_too() -> None:
    assert not opened(saved({"x": torch.nn.Parameter(torch.ones(2))})).read("x", (2,)).requires_grad


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_hostile_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool, named: bool) -> None:
    trap = RunsACommand(f"touch {tmp_path / 'proof'}")
    message = refusal(saved({"x": torch.ones(1), "y": trap} if named else trap, zipped=zipped))
    assert f"asks to run or make '{os.system.__module__}.system', which was refused" in message
    assert "state_dict()" in message
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_hostile_plain_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    refusal(pickle.dumps(RunsACommand(f"touch {tmp_path / 'proof'}"), protocol=protocol))
    assert not (tmp_path / "proof").exists()


def test_whole_module_is_refused() -> None:
    message = refusal(saved(torch.nn.Linear(3, 2)))
    assert "'torch.nn.modules.linear.Linear'" in message and "state_dict() alone" in message


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.6, 0.99])
def test_truncated_file_is_refused(zipped: bool, part: float) -> None:
    content = saved({"x": torch.ones(1000)}, zipped=zipped)
    assert "cut off" in refusal(content[: int(part * len(content))])


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_what_is_no_torch_file_is_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize("value", [torch.ones(2), [torch.ones(2)], 3, None, "x"])
def test_other_content_is_refused(value: Any) -> None:
    assert f"its content is of type {type(value).__name__}" in refusal(saved(value))


@pytest.mark.parametrize(
    ("state", "entry"),
    [
        ({"x": 3}, "'x' is of type int"),
        ({"state_dict": {"x": torch.ones(2)}}, "'state_dict' is of type dict"),
        ({1: torch.ones(2)}, "1 is of type Tensor"),
        ({"x": torch.ones(2, device="meta")}, "'x' is of type Tensor"),
        ({"x": torch.eye(2).to_sparse()}, "'x' is of type Tensor"),
    ],
)
def test_entries_that_are_no_plain_tensors_are_refused(state: Any, entry: str) -> None:
    assert f"the entry {entry}" in refusal(saved(state))


def test_whole_numbers_are_no_weights() -> None:
    data = opened(saved({"x": torch.ones(2, dtype=torch.int64)}))
    with pytest.raises(ModelFormatError, match="'x' is of type torch.int64"):
        data.read("x", (2,))
