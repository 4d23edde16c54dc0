"""READMEs and all pages: blocks run or resolve, both languages show the same ones, and what they name is there."""

from __future__ import annotations

import inspect
import re
import tomllib
from typing import Any

import pytest
import srsly

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.models.aliases import BUILT_IN, FAMILIES
from tests.documents import (
    ROOT,
    assert_command,
    assert_config_block,
    assert_same_blocks,
    blocks_of,
    broken_links,
    codes_in,
    run_section,
    sections_of,
    table_of,
)

# Whose blocks run one after another, or on models of their own, beside this file.
IN_ORDER = {"elmo", "training", "pretraining"}
PAGES = sorted(path.name.removesuffix(".md") for path in (ROOT / "docs").glob("*.md") if path.stem.count(".") == 0)
CHINESE = sorted(path.name.removesuffix(".zh-CN.md") for path in (ROOT / "docs").glob("*.zh-CN.md"))
ENGLISH_DOCUMENTS = ["README.md", *(f"docs/{page}.md" for page in PAGES)]  # both languages show the same blocks
DOCUMENTS = [*ENGLISH_DOCUMENTS, "README.zh-CN.md", *(f"docs/{page}.zh-CN.md" for page in CHINESE)]
SECTIONS = [
    section
    for document in ENGLISH_DOCUMENTS
    if document not in {f"docs/{page}.md" for page in IN_ORDER}
    for section in sections_of(document)
]


def _blocks(language: str) -> Any:
    return [item for document in ENGLISH_DOCUMENTS for item in blocks_of(document, language)]


def test_each_page_is_there_in_both_languages():
    assert set(PAGES) - set(CHINESE) == {"families"}  # a table of figures
    assert len(PAGES) >= 24


@pytest.mark.parametrize("page", CHINESE)
def test_both_languages_have_the_same_blocks_in_the_same_sections(page):
    assert_same_blocks((f"docs/{page}.md", f"docs/{page}.zh-CN.md"), least=0)


@pytest.mark.parametrize("blocks", SECTIONS)
def test_sections_run(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_section(blocks, "docs")


@pytest.mark.parametrize("block", _blocks("ini"))
def test_config_blocks_resolve(block):
    assert_config_block(block)


@pytest.mark.parametrize("block", _blocks("toml"))
def test_toml_blocks_parse(block):
    assert "spacy_ctx_embed_models" in tomllib.loads(block.text)["project"]["entry-points"]


@pytest.mark.parametrize("block", _blocks("bash"))
def test_commands_exist(block):
    for line in block.text.splitlines():
        assert_command(line)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_codes_lead_somewhere(document):
    assert broken_links(document) == set()
    codes_in(document)


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if ".zh-CN" in name])
def test_chinese_lines_end_where_a_space_may_stand(document):
    # A browser shows the end of a line as a space, which between two characters would part a word.
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(encoding="utf8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^[^#|\n].*[\u4e00-\u9fff]\n *[\u4e00-\u9fff].*$", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize("suffix", ["", ".zh-CN"])
def test_statuses_and_aliases_are_complete(suffix):
    text = (ROOT / "docs" / f"attributes{suffix}.md").read_text(encoding="utf8")
    assert all(f"| `{status.label}` |" in text for status in Status)
    text = (ROOT / "docs" / f"models{suffix}.md").read_text(encoding="utf8")
    assert all(f"`{alias}`" in text for alias in BUILT_IN)
    assert all(f"`{family}-*`" in text for family in FAMILIES)


@pytest.mark.parametrize("suffix", ["", ".zh-CN"])
def test_pages_name_files_of_the_package_that_are_there(suffix):
    for page in ("concepts", "map"):
        text = (ROOT / "docs" / f"{page}{suffix}.md").read_text(encoding="utf8")
        for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
            if path.split("/")[0] not in ("tests", "docs", "projects"):
                assert (ROOT / "spacy_ctx_embed" / path).exists(), path


@pytest.mark.parametrize("page", ["docs/finetuning.md", "docs/finetuning.zh-CN.md"])
def test_keys_of_fine_tuning_have_their_defaults(page):
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", (ROOT / page).read_text(encoding="utf8"), flags=re.MULTILINE)
    assert {key for key, _ in rows} == {"learn_rate_factor", "layer_decay", "unfreeze_steps"}
    for make in (make_bert_v1, make_elmo_v1):
        parameters = inspect.signature(make).parameters
        assert all(srsly.json_loads(default) == parameters[key].default for key, default in rows)


@pytest.mark.parametrize("page", ["docs/cache.md", "docs/cache.zh-CN.md"])
def test_layers_of_the_default_models_take_as_much_as_the_table_says(page):
    rows = {row[0].strip("`"): row for row in table_of("× 4", page)}
    for name, n_layers, width in (("all-minilm-l6-v2", 7, 384), ("elmo-mini", 3, 512)):
        _, layers, per_token, n_tokens = rows[name]
        n_bytes = n_layers * width * 4
        assert str(n_layers) in layers
        assert per_token == f"{n_bytes / 1000:.1f} kB"
        assert int(n_tokens.replace(",", "")) == pytest.approx(2e9 / n_bytes, rel=0.01)
