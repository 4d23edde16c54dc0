"""Other spellings of a word: tried in one order, switched one by one, and named by the status."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.static.fallbacks import FALLBACKS, parts_of

WORDS = ["bank", "Paris", "fi", "cafe", "000", "river", "Bank", "a-b", "0-b"]
ROWS = dict(zip(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype("f").round(3)))
MEAN = (ROWS["river"] + ROWS["bank"]) / 2


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "t.txt"
    file.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in ROWS.items()), encoding="utf8")
    return str(file)


@pytest.fixture(scope="module")
def pipeline(table):
    made = {}

    def make(**settings):
        key = repr(sorted(settings.items()))
        if key not in made:
            made[key] = spacy.blank("xx")
            made[key].add_pipe("static_embeddings", config={"model": {"name": table, **settings}})
        return made[key]

    return make


def token_of(nlp, word):
    return nlp(Doc(nlp.vocab, words=[word]))[0]


@pytest.mark.parametrize(
    ("word", "settings", "status", "row"),
    [
        ("paris", {"fallbacks": ["title"]}, "title", ROWS["Paris"]),
        ("PARIS", {"fallbacks": ["title"]}, "title", ROWS["Paris"]),
        ("bank", {"fallbacks": ["title"]}, "ok", ROWS["bank"]),
        ("BANK", {"fallbacks": ["title"]}, "fallback", ROWS["bank"]),  # lower case comes first
        ("BANK", {"fallbacks": ["title"], "lowercase": "never"}, "title", ROWS["Bank"]),
        ("paris", {"fallbacks": ["nfkc", "accents", "digits", "parts"]}, "oov", None),
        ("ﬁ", {"fallbacks": ["nfkc"]}, "nfkc", ROWS["fi"]),
        ("ＢＡＮＫ", {"fallbacks": ["nfkc"]}, "nfkc", ROWS["bank"]),
        ("ＢＡＮＫ", {"fallbacks": ["nfkc"], "lowercase": "never"}, "oov", None),
        ("café", {"fallbacks": ["accents"]}, "accents", ROWS["cafe"]),
        ("CAFE\u0301", {"fallbacks": ["accents"]}, "accents", ROWS["cafe"]),
        ("CAFÉ", {"fallbacks": ["accents"], "lowercase": "always"}, "accents", ROWS["cafe"]),
        ("café", {"fallbacks": ["nfkc"]}, "oov", None),
        ("747", {"fallbacks": ["digits"]}, "digits", ROWS["000"]),
        ("７４７", {"fallbacks": ["digits"]}, "digits", ROWS["000"]),
        ("river-bank", {"fallbacks": ["parts"]}, "parts", MEAN),
        ("River\u2011BANK", {"fallbacks": ["parts"]}, "parts", MEAN),
        ("River-BANK", {"fallbacks": ["parts"], "lowercase": "always"}, "parts", MEAN),
        ("River-BANK", {"fallbacks": ["parts"], "lowercase": "never"}, "oov", None),
        ("river-qqq", {"fallbacks": ["parts"]}, "parts", ROWS["river"]),
        ("a-b", {"fallbacks": ["parts"]}, "ok", ROWS["a-b"]),
        ("7-b", {"fallbacks": ["parts", "digits"]}, "digits", ROWS["0-b"]),
        ("-", {"fallbacks": ["parts"]}, "oov", None),
        ("-river", {"fallbacks": ["parts"]}, "oov", None),
        (" ", {"fallbacks": list(FALLBACKS)}, "space", None),
    ],
)
def test_the_row_and_what_the_status_says(pipeline, word, settings, status, row):
    token = token_of(pipeline(**settings), word)
    assert token._.vector_status == status
    assert token._.has_vector == (row is not None)
    np.testing.assert_allclose(token._.vector, np.zeros(4) if row is None else row, rtol=1e-6)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=9))
def test_more_fallbacks_change_no_row_that_is_found(pipeline, words):
    plain, more = pipeline(), pipeline(fallbacks=list(FALLBACKS))
    few, many = (nlp(Doc(nlp.vocab, words=words)) for nlp in (plain, more))
    for one, other in zip(few, many):
        if one._.has_vector or one.is_space:
            assert np.array_equal(one._.vector, other._.vector) and one._.vector_status == other._.vector_status
        assert other._.has_vector == (other._.vector_status not in ("oov", "space"))


def test_they_stand_before_what_oov_gives(pipeline):
    nlp = pipeline(fallbacks=["parts"], oov="mean")
    assert token_of(nlp, "river-bank")._.vector_status == "parts"
    assert token_of(nlp, "qqq")._.vector_status == "fallback"
    np.testing.assert_allclose(token_of(nlp, "qqq")._.vector, np.mean(list(ROWS.values()), axis=0), rtol=1e-5)


def test_a_saved_pipeline_and_a_stored_doc_know_them(pipeline, tmp_path):
    nlp = pipeline(fallbacks=["accents", "parts"])
    doc = nlp(Doc(nlp.vocab, words=["café", "river-bank", "qqq"]))
    statuses = ["accents", "parts", "oov"]
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert [t._.vector_status for t in again(Doc(again.vocab, words=[t.text for t in doc]))] == statuses
    with pytest.warns(UserWarning, match="W109"):
        stored = doc.to_bytes()
    assert [t._.vector_status for t in Doc(nlp.vocab).from_bytes(stored)] == statuses


def test_parts():
    assert parts_of("state-of-the-art") == ["state", "of", "the", "art"]
    assert parts_of("–") == parts_of("well") == parts_of("-a-") == []
