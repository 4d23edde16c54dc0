"""models/files.py: a folder that is replaced as a whole, and names of files that come from anywhere."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import srsly
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.files import read_files, whole_folder, write_files

NAMES = st.sampled_from(["config.json", "1_Dense/model.safetensors", "adapter/adapter_config.json", "a/b/c.npy"])


def with_other_name(data: bytes, name: str, other: str) -> bytes:
    """Rename a file inside the bytes of a component."""

    def renamed(node: Any) -> Any:
        if isinstance(node, bytes) and name.encode() in node:
            return srsly.msgpack_dumps(renamed(srsly.msgpack_loads(node)))
        if isinstance(node, list):
            return [renamed(part) for part in node]
        if not isinstance(node, dict):
            return node
        if name in node:
            return {other if key == name else key: content for key, content in node.items()}
        return {key: renamed(part) for key, part in node.items()}

    found: bytes = renamed(data)
    return found


@given(st.dictionaries(NAMES, st.binary(max_size=20)))
def test_files_go_round(files: Dict[str, bytes]):
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files, "the saved encoder")
        assert read_files(Path(folder)) == files


def test_names_of_windows_are_read_everywhere(tmp_path):
    write_files(tmp_path, {"adapter\\adapter_config.json": b"{}"}, "the saved encoder")
    assert read_files(tmp_path) == {"adapter/adapter_config.json": b"{}"}


@given(st.sampled_from(["/", "\\", "..", "C:", "c:x", "", "\\\\host\\share"]), NAMES, st.sampled_from("/\\"))
def test_names_that_lead_out_are_refused_and_nothing_is_written(start: str, name: str, slash: str):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "inside")
        place.mkdir()
        for bad in (start + slash + name, f"{name.split('/')[0]}{slash}..{slash}..{slash}x"):
            with pytest.raises(ModelFormatError, match=r"CE013.*Accepted: .*Fix: "):
                write_files(place, {"weights": b"", bad: b"x"}, "the saved encoder")
        assert list(Path(folder).rglob("*")) == [place]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets no mapped file be replaced")
def test_a_mapped_file_stays_as_it_is_while_its_folder_is_replaced(tmp_path):
    directory = tmp_path / "deep" / "encoder0"
    for value in (1, 2):
        with whole_folder(directory) as folder:
            np.save(folder / "numbers.npy", np.full(1000, value))
        if value == 1:
            mapped = np.load(directory / "numbers.npy", mmap_mode="r")
    assert set(mapped.tolist()) == {1}
    assert set(np.load(directory / "numbers.npy").tolist()) == {2}
    assert [item.name for item in directory.parent.iterdir()] == ["encoder0"]


def test_a_folder_that_was_not_finished_leaves_no_trace(tmp_path):
    (tmp_path / "encoder0").mkdir()
    (tmp_path / "encoder0" / "old").write_text("1")
    with pytest.raises(KeyError):
        _break_off(tmp_path / "encoder0")
    assert [item.name for item in tmp_path.rglob("*")] == ["encoder0", "old"]


def _break_off(directory: Path) -> None:
    with whole_folder(directory) as folder:
        (folder / "new").write_text("2")
        raise KeyError
