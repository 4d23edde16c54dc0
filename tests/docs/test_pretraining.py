"""docs/pretraining.md: its commands and code run one after another, and its tables say what the code does."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
import srsly
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.pretraining.settings import PretrainSettings
from tests.documents import (
    ROOT,
    assert_same_blocks,
    codes_in,
    read_blocks,
    run_python,
)

PAGES = ("docs/pretraining.md", "docs/pretraining.zh-CN.md")
SHORT = ["--pretraining.max_steps", "4", "--pretraining.eval_every", "2", "--pretraining.lstm.dim", "16"]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a short book and the configs."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    sentences = [f"She sat by the {thing} and read a {other} ." for thing in "fire sea door".split() for other in "ab"]
    for name in ("book", "notes", "books", "news", "books.dev", "news.dev"):
        (tmp_path / f"{name}.txt").write_text("\n".join(sentences * 30), encoding="utf8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_languages_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(PAGES, least=3)


def test_blocks_run_in_order(workplace):
    namespace: Dict[str, Any] = {"__name__": "docs"}
    for block in read_blocks(PAGES[0]):
        if block.language == "python":
            run_python(block, PAGES[0], namespace)
        for line in block.text.splitlines() if block.language == "bash" else []:
            done = CliRunner().invoke(embed_cli, shlex.split(line)[4:] + SHORT)  # python -m spacy embed …
            assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES)
def test_keys_are_all_there_and_defaults_are_right(page):
    rows = _rows(page)
    keys = dict(_keys(PretrainSettings))
    assert set(rows) == set(keys)
    for key, default in rows.items():
        assert srsly.json_loads(default) == _default(keys[key]), key


@pytest.mark.parametrize("page", PAGES)
def test_codes_of_errors_are_those_of_messages(page):
    assert codes_in(page)


def _rows(page: str) -> Dict[str, str]:
    text = (ROOT / page).read_text(encoding="utf8")
    return dict(re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", text, flags=re.MULTILINE))


def _keys(settings: Any, start: str = "") -> Iterator[Tuple[str, "Field[Any]"]]:
    for entry in fields(settings):
        if entry.metadata.get("check") is None:
            yield from _keys(entry.default, f"{entry.name}.")
        else:
            yield f"{start}{entry.name}", entry


def _default(entry: "Field[Any]") -> Any:
    return entry.default if entry.default is not MISSING else entry.default_factory()  # type: ignore[misc]
