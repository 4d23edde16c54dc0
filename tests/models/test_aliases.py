"""models/aliases.py: the table itself. What its addresses lead to can't be tested without a network."""

from __future__ import annotations

import pytest

from spacy_ctx_embed.models.aliases import BUILT_IN, FAMILIES, PUBLISHED_BYTES, all_aliases, list_aliases
from spacy_ctx_embed.models.names import parse_place, web_files

ALIASES = all_aliases()
URLS = [(alias, place) for alias, places in ALIASES.items() for place in places if place.startswith("http")]


@pytest.mark.parametrize(("alias", "place"), URLS)
def test_every_url_can_be_read_and_gives_files_that_a_reader_knows(alias, place):
    assert parse_place(place).scheme == "url"
    found = web_files(place)
    assert all(
        url.startswith(("https://", "http://vectors.nlpl.eu/")) and "{" not in url for url in found.urls.values()
    )
    if found.several:
        assert [name for name in found.urls if "options" in name]
        assert [name for name in found.urls if name.endswith((".hdf5", ".index"))]
    else:
        assert next(iter(found.urls)).endswith((".zip", ".tar.gz"))


def test_an_alias_is_not_also_a_path_or_a_prefix():
    assert all(alias == alias.lower() and "/" not in alias and ":" not in alias for alias in ALIASES)


def test_mirrors_of_allennlp_differ_in_the_host_only():
    newer, older = ALIASES["elmo-small"]
    assert newer.replace("allennlp.s3.amazonaws.com", "s3-us-west-2.amazonaws.com/allennlp") == older


def test_published_files_are_those_of_the_papers_page():
    assert list(web_files(ALIASES["elmo-pubmed"][1]).urls.values()) == [
        "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/contributed/pubmed/"
        f"elmo_2x4096_512_2048cnn_2xhighway_{file}"
        for file in ("options.json", "weights_PubMed_only.hdf5")
    ]


@pytest.mark.parametrize(
    ("lang", "number"),
    # a few of the table in the README of ELMoForManyLangs, with its first, its last and its one pair out of order
    [
        ("ar", 136),
        ("en", 144),
        ("es", 145),
        ("fi", 149),
        ("he", 154),
        ("nl", 164),
        ("nb", 165),
        ("nn", 166),
        ("zh", 179),
    ],
)
def test_elmo_for_many_languages_has_the_numbers_of_its_readme(lang, number):
    assert ALIASES[f"elmo-manylangs-{lang}"][-1] == f"http://vectors.nlpl.eu/repository/11/{number}.zip"
    assert len(FAMILIES["elmo-manylangs"]) == 44


def test_aligned_models_bring_options_weights_and_matrix():
    bucket, _, dropbox = ALIASES["elmo-aligned-fr"]
    names = ["options262.json", "fr_weights.hdf5", "fr_best_mapping.pth"]
    assert list(web_files(bucket).urls) == list(web_files(dropbox).urls) == names
    assert (
        web_files(dropbox).urls["fr_weights.hdf5"] == "https://www.dropbox.com/s/mm64goxb8wbawhj/fr_weights.hdf5?dl=1"
    )


def test_known_sizes_are_of_files_in_the_table():
    ends = {url.rsplit("/", 1)[-1] for _, place in URLS for url in web_files(place).urls.values()}
    assert set(PUBLISHED_BYTES) <= ends


def test_the_list_for_messages_has_every_alias_and_families_in_one_item():
    listed = list_aliases()
    assert all(alias in listed.split(", ") for alias in BUILT_IN)
    assert "elmo-aligned-{de,en,es,fr,it,pt,sv}" in listed.split(", ")
    assert "elmo-manylangs-{ar,bg,…,zh}" in listed.split(", ")


@pytest.mark.parametrize(("lang", "number"), [("en", 193), ("de", 201), ("la", 203), ("sv", 202)])
def test_the_models_of_the_paper_on_change_of_meaning(lang, number):
    assert ALIASES[f"elmo-uio-uva-{lang}"] == [f"https://vectors.nlpl.eu/repository/20/{number}.zip"]
    assert len(FAMILIES["elmo-uio-uva"]) == 4
