"""The pages in docs/: blocks run on tiny models, all languages show the same ones, and what they name is there."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, Dict

import pytest
import srsly
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.encoders.allennlp.model import make_allennlp_elmo_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.models.aliases import FAMILIES, all_aliases
from tests.documents import (
    ROOT,
    assert_same_blocks,
    codes_in,
    run_python,
    same_device,
    sections_of,
)
from tests.elmo_workplace import put_in_cache, write_aligned, write_models

PAGES = ("docs/elmo.md", "docs/elmo.zh-CN.md")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    write_models(folder / "models")
    put_in_cache(folder / "cache", "elmo-original", folder / "models" / "small")
    put_in_cache(folder / "cache", "elmo-manylangs-zh", folder / "models" / "zh")
    for lang in ("de", "en"):
        put_in_cache(folder / "cache", f"elmo-aligned-{lang}", write_aligned(folder / lang, lang))
    return folder


@pytest.fixture
def workplace(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the models that the pages speak of, and no network."""
    folder = shutil.copytree(models, tmp_path / "workplace")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def test_all_languages_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(PAGES, least=10)
    assert set(PAGES) == {f"docs/{path.name}" for path in (ROOT / "docs").glob("elmo*.md")}


@pytest.mark.parametrize("blocks", sections_of(PAGES[0], ("python", "bash")))  # the same in all, so tested once
def test_sections_run(blocks, workplace):
    namespace: Dict[str, Any] = {"__name__": "docs"}
    with same_device():
        for block in blocks:
            if block.language == "python":
                run_python(block, PAGES[0], namespace)
                continue
            for line in block.text.splitlines():
                done = CliRunner().invoke(embed_cli, shlex.split(line)[4:])  # python -m spacy embed …
                assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES)
def test_aliases_are_those_of_the_table(page):
    text = (ROOT / page).read_text(encoding="utf8")
    named = set(re.findall(r"[`\"](elmo-[\w.-]+)[`\"]", text))
    families = {f"{start}-{lang}" for start, languages in FAMILIES.items() for lang in languages}
    assert named - set(all_aliases()) == set()
    assert {alias for alias in all_aliases() if alias.startswith("elmo-")} - families - named == set()
    for start, languages in FAMILIES.items():
        assert f"`{start}-*`" in text
        assert f"`{' '.join(sorted(languages))}`" in text


@pytest.mark.parametrize("page", PAGES)
def test_keys_of_encoders_are_there_and_defaults_are_right(page):
    text = (ROOT / page).read_text(encoding="utf8")
    keys = {**inspect.signature(make_allennlp_elmo_v1).parameters, **inspect.signature(make_elmo_v1).parameters}
    assert [key for key in keys if f"`{key}" not in text] == []
    defaults = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert len(defaults) >= 4
    assert all(srsly.json_loads(default) == keys[key].default for key, default in defaults)


@pytest.mark.parametrize("page", PAGES)
def test_codes_of_errors_are_those_of_messages(page):
    assert codes_in(page)
