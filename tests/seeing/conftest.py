"""A pipeline of three tiny sources, for the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from tests.writers.elmo import write_random_elmo


@pytest.fixture(scope="session")
def three_sources(tiny_bert: Path, tmp_path_factory: Any) -> Language:
    """Static, ELMo and BERT vectors."""
    folder = tmp_path_factory.mktemp("seeing")
    (folder / "table.txt").write_text("the 1 0\nbank 0.1 1\nriver 0.3 1\nmoney 1 0.1\n", encoding="utf8")
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder / "table.txt")}})
    nlp.add_pipe("elmo_embeddings", config={"model": {"name": str(write_random_elmo(folder / "elmo"))}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert), "overlap": 8}})
    return nlp
