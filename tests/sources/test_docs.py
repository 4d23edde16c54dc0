"""sources/docs.py: texts of a file, one a line."""

from __future__ import annotations

import spacy

from spacy_ctx_embed.sources.docs import read_docs


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path):
    (tmp_path / "corpus.txt").write_bytes("\ufeffThe river\r\n\r\nthe bank\r\n".encode())
    docs = read_docs(spacy.blank("xx"), tmp_path / "corpus.txt", owner="embed geometry", limit=None)
    assert [[token.text for token in doc] for doc in docs if doc is not None] == [["The", "river"], ["the", "bank"]]
