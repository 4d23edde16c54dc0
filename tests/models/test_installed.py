"""models/installed.py: entry points are those of Python, and are read once."""

from __future__ import annotations

import importlib.metadata

import pytest

from spacy_ctx_embed.models.installed import entry_points


def test_entry_points_are_those_of_python_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = entry_points(group="spacy_factories")
    assert found == tuple(importlib.metadata.entry_points(group="spacy_factories")) and len(found) > 3
    monkeypatch.setattr(importlib.metadata, "entry_points", None)
    assert entry_points(group="spacy_factories") == found
