"""seeing/: the page of senses, from a corpus to one file.

Here: seeing/senses.py, seeing/senses_uses.py, seeing/senses_data.py, seeing/senses_page.py and seeing/senses_text.py.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.measures.pairs import cosines
from spacy_ctx_embed.seeing import senses_data
from spacy_ctx_embed.seeing.senses import draw_senses
from spacy_ctx_embed.seeing.senses_data import SHADES, view_word
from spacy_ctx_embed.seeing.senses_page import write_page
from spacy_ctx_embed.seeing.senses_text import TEXTS
from spacy_ctx_embed.seeing.senses_uses import DEFAULT_CORPUS, Use, WordUses, collect, read_lines, words_of
from spacy_ctx_embed.sources.layers import Source, find_sources

SENTENCES = [
    ("money", "The bank lent us money ."),
    ("river", "We sat on the bank of the river ."),
    ("money", "A bank keeps money ."),
    ("river", "The river left its bank ."),
    ("river", "Grass on the bank ."),
]


class _Page(HTMLParser):
    # Elements with attributes, and the texts of elements.
    def __init__(self, file):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(file.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def data(self):
        scripts = [text for tag, text in self.texts if tag == "script"]
        return json.loads(scripts[0])


def _tsv(file, lines):
    file.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf8")
    return file


def test_the_default_corpus_has_two_senses_of_five_words_in_equal_parts():
    lines = [line.split("\t") for line in DEFAULT_CORPUS.read_text(encoding="utf8").splitlines()[1:]]
    counts = {}
    for word, sense, sentence in lines:
        counts.setdefault(word, {}).setdefault(sense, []).append(sentence)
    assert words_of(DEFAULT_CORPUS) == ["bank", "spring", "match", "bat", "light"]
    assert all([len(s) for s in senses.values()] == [5, 5] for senses in counts.values())
    assert len({sentence for _, _, sentence in lines}) == 50


def test_uses_and_rows_are_those_of_the_docs_one_by_one(three_sources, tmp_path):
    corpus = _tsv(tmp_path / "a.tsv", SENTENCES)
    sources = find_sources(three_sources, owner="test")
    found = collect(read_lines(three_sources, corpus, owner="test"), ["Bank", "river"], sources, limit=100)
    assert [(u.left, u.text, u.right, u.sense) for u in found["bank"].uses][1] == (
        "We sat on the ",
        "bank",
        " of the river .",
        "river",
    )
    assert len(found["river"].uses) == 2
    for source in sources:
        for (_, sentence), row in zip(SENTENCES, found["bank"].rows[source.name]):
            doc = three_sources.make_doc(sentence)
            place = [token.lower_ for token in doc].index("bank")
            np.testing.assert_allclose(row, source.layers_of([doc])[0].layers[:, place], atol=1e-4)


def test_encoders_run_only_on_lines_with_a_word_and_reading_stops_at_the_limit(three_sources, tmp_path, monkeypatch):
    seen, read = [], []
    whole = Source.layers_of
    monkeypatch.setattr(
        Source, "layers_of", lambda self, docs, w: seen.extend(d.text for d in docs) or whole(self, docs, w)
    )
    corpus = tmp_path / "a.txt"
    corpus.write_text("A river .\n\nThe bank .\nBank bank\nno\nthe bank again\n", encoding="utf8")
    sources = find_sources(three_sources, owner="test")
    lines = read_lines(three_sources, corpus, owner="test")
    found = collect((read.append(line) or line for line in lines), ["bank"], sources, limit=2)
    assert set(seen) == {"The bank .", "Bank bank"}
    assert len(found["bank"].uses) == 2
    assert [line.doc.text for line in read] == ["A river .", "The bank .", "Bank bank"]


def test_rows_are_those_of_the_pipeline_with_its_sentences_of_which_elmo_reads_only_those_with_a_use(
    three_sources, tmp_path, monkeypatch
):
    texts = ["Grass . We sat on the bank of the river . It was late .", "No money . A bank", "The river . The bank ."]
    corpus = tmp_path / "a.txt"
    corpus.write_text("\n".join(texts), encoding="utf8")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for name in three_sources.pipe_names:
        nlp.add_pipe(name, source=three_sources)
    sources = find_sources(nlp, owner="test")
    elmo = encoder_shims(sources[1].model)[0].network()
    read, run = [], elmo.run
    monkeypatch.setattr(elmo, "run", lambda part, n: read.extend(" ".join(s.inputs) for s in part) or run(part, n))
    (view,) = draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=nlp)
    assert sorted(read) == ["A bank", "The bank .", "We sat on the bank of the river ."]
    for source in sources:
        for doc, row in zip(nlp.pipe(texts), view.found.rows[source.name]):
            place = [token.lower_ for token in doc].index("bank")
            np.testing.assert_allclose(row, source.layers_of([doc])[0].layers[:, place], atol=1e-5)
    read.clear()
    draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=nlp, correction="center")
    assert len(read) == 7  # a correction is fitted on all tokens of the lines


def test_lemmas_count_where_docs_have_them(three_sources, tmp_path):
    words = ["Two", "banks", "lent"]
    doc = Doc(three_sources.vocab, words=words, lemmas=["two", "bank", "lend"])
    DocBin(docs=[doc, three_sources.make_doc("the bank")], store_user_data=True).to_disk(tmp_path / "a.spacy")
    (view,) = draw_senses(tmp_path / "a.html", ["bank"], corpus=tmp_path / "a.spacy", nlp=three_sources)
    assert [use.text for use in view.found.uses] == ["banks", "bank"]
    assert view.sources[0].n_with == 1
    assert "1 of 2 uses have a vector" in (tmp_path / "a.html").read_text(encoding="utf8")


def test_a_word_column_gives_senses_to_that_word_alone(three_sources, tmp_path):
    lines = [("word", "sense", "sentence"), ("bank", "x", "the bank of the river"), ("river", "y", "a river , a bank")]
    views = draw_senses(tmp_path / "a.html", corpus=_tsv(tmp_path / "a.tsv", lines), nlp=three_sources)
    assert [(view.word, view.senses, len(view.numbers)) for view in views] == [("bank", ["x"], 1), ("river", ["y"], 1)]


def test_numbers_of_the_page_are_those_of_the_rows(three_sources, tmp_path):
    corpus = _tsv(tmp_path / "a.tsv", SENTENCES)
    (view,) = draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources)
    data = _Page(tmp_path / "a.html").data["words"][0]
    assert data["s"] == [0, 1, 0, 1, 1]
    assert [len(s["layers"]) for s in data["sources"]] == [1, 3, 3]
    assert data["sources"][0]["layers"][0]["one"]
    order = [0, 2, 1, 3, 4]
    for place, source in enumerate(view.sources):
        for layer, part in enumerate(data["sources"][place]["layers"]):
            rows = np.stack([row[layer] for row in view.found.rows[source.name]])
            similar = cosines(rows)
            assert data["sources"][place]["heat"] == order
            below = [similar[i, j] for k, i in enumerate(order) for j in order[:k]]
            shades = np.array([SHADES.index(shade) for shade in part["m"]]) / 63
            np.testing.assert_allclose(part["lo"] + shades * (part["hi"] - part["lo"]), below, atol=0.02)
            near = np.array(part["near"]).reshape(5, -1, 2)
            for use in range(5):
                np.testing.assert_allclose(near[use, :, 1] / 1000, similar[use, near[use, :, 0]], atol=6e-4)
                assert use not in near[use, :, 0]
    assert [word for word, _ in view.sources[0].near] == ["river", "money", "the"]
    assert view.sources[0].layers[0].score.auc == 0.5


NASTY = [
    ("<script>alert(1)</script>", '<script>alert("1")</script> the bank </script><img src=x onerror=alert(2)>'),
    ("\"'&<!--", "\u05d1\u05e0\u05e7 bank \u202eabc & \"quotes\" 'too' {{ 7 * 7 }} {% raw %}"),
    ("</script>", "x" * 1000 + " bank " + "y" * 1000),
    ("\u2028", "bank 😀 </li></ol> https://example.org"),
]


def test_text_of_the_corpus_is_text_on_the_page(three_sources, tmp_path):
    output, corpus = tmp_path / "a.html", _tsv(tmp_path / "<b>.tsv", NASTY)
    plain = tmp_path / "plain.html"
    draw_senses(output, ["bank", "<i>"], corpus=corpus, nlp=three_sources)
    draw_senses(plain, ["bank"], corpus=_tsv(tmp_path / "b.tsv", [("a", "the bank")] * 4), nlp=three_sources)
    page = _Page(output)
    kinds = [tag for tag, _ in page.elements]
    assert sorted(kinds) == sorted([*(tag for tag, _ in _Page(plain).elements), "p"])  # and a line on "<i>"
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    texts = "".join(text for _, text in page.texts)
    assert '<script>alert("1")</script> the bank </script><img src=x onerror=alert(2)>' in texts
    assert "{{ 7 * 7 }} {% raw %}" in texts
    assert "…" + "x" * 159 + " bank " + "y" * 159 + "…" in texts
    assert page.data["words"][0]["senses"] == [sense for sense, _ in NASTY[:3]]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_fetches_nothing_and_is_in_the_language_asked_for(three_sources, tmp_path, lang):
    output = tmp_path / "a.html"
    draw_senses(output, ["bank"], corpus=_tsv(tmp_path / "a.tsv", SENTENCES), nlp=three_sources, lang=lang)
    text = output.read_text(encoding="utf8")
    assert not re.search(r"https?://|@import|url\(", text)
    page = _Page(output)
    assert not [attrs for _, attrs in page.elements if {"src", "href"} & set(attrs)]
    assert ("html", {"lang": TEXTS[lang]["lang"]}) in page.elements
    assert f"<h1>{TEXTS[lang]['title']}</h1>" in text
    assert "@media print" in text


def test_both_languages_say_the_same_things():
    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    for key, english in TEXTS["en"].items():
        assert set(re.findall(r"%\(\w+\)s", english)) == set(re.findall(r"%\(\w+\)s", TEXTS["zh"][key])), key


def test_the_same_seed_gives_the_same_page(three_sources, tmp_path):
    corpus = tmp_path / "a.txt"
    corpus.write_text("".join(f"the bank {word} .\n" for word in "abcdefghijklmnop" * 5), encoding="utf8")
    pages = []
    for seed in (0, 0, 1):
        draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources, seed=seed)
        pages.append((tmp_path / "a.html").read_text(encoding="utf8"))
    assert pages[0] == pages[1] != pages[2]
    assert "Of the 80 uses a sample of 60 is shown." in pages[0]
    assert TEXTS["en"]["by_cluster"][:20] in pages[0]


@pytest.mark.slow
def test_a_thousand_uses_are_less_than_three_megabytes(three_sources, tmp_path, monkeypatch):
    monkeypatch.setattr(senses_data, "_DRAWS_OF_MANY", 2)  # as many digits, sooner
    random, sources = np.random.default_rng(0), find_sources(three_sources, owner="test")
    found = WordUses("bank", [Use("字" * 160, "bank", "字" * 160, "ab"[i % 2]) for i in range(1000)])
    for source, n_layers in zip(sources, (1, 3, 13)):
        object.__setattr__(source, "n_layers", n_layers)
        found.rows[source.name] = list(random.normal(size=(1000, n_layers, 8)).astype(np.float32))
    found.rows[sources[0].name] = [np.ones((1, 2), np.float32)] * 1000
    view = view_word(found, sources)
    write_page(tmp_path / "a.html", [view], missing=[], corpus="c", limit=1000, lang="en")
    assert (tmp_path / "a.html").stat().st_size < 3_000_000


def test_words_without_a_use_or_a_row_are_named(three_sources, tmp_path):
    corpus = _tsv(tmp_path / "a.tsv", [("a", "grass at the bank"), ("b", "grass , green grass")])
    views = draw_senses(tmp_path / "a.html", ["grass", "zebra"], corpus=corpus, nlp=three_sources)
    text = (tmp_path / "a.html").read_text(encoding="utf8")
    assert "Not in this corpus, and so not on this page: zebra." in text
    assert "“grass” has no row in this source" in text
    assert [source.n_with for source in views[0].sources] == [0, 3, 3]
    with pytest.raises(ValueError, match=r"\[CE012\].*a\.tsv.*'zebra', 'gnu'.*Fix: "):
        draw_senses(tmp_path / "b.html", ["zebra", "gnu"], corpus=corpus, nlp=three_sources)
    assert not (tmp_path / "b.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b""),
        ("a.tsv", b"\n"),
        ("a.tsv", b"word\tsense\tsentence\n"),
        ("a.tsv", b"one column\n"),
        ("a.tsv", b"a\tbank\nbank\ta\tbank\n"),
        ("a.tsv", b"a\t\n"),
        ("a.tsv", b"a\t\xff bank\n"),
        ("a.tsv", None),
    ],
)
def test_a_corpus_that_is_none_is_a_coded_error(three_sources, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"(?s)\[CE0(01|12)\].*a\.t.*Accepted: .*Fix: "):
        draw_senses(tmp_path / "a.html", ["bank"], corpus=tmp_path / name, nlp=three_sources)


@pytest.mark.parametrize(("key", "value"), [("lang", "fr"), ("limit", 0), ("output", None), ("words", ())])
def test_settings_that_are_none_are_coded_errors(three_sources, tmp_path, key, value):
    corpus = _tsv(tmp_path / "a.tsv", SENTENCES)
    settings = {"words": ["bank"], "output": tmp_path / "a.html", key: value}
    settings["output"] = settings["output"] or tmp_path / "nowhere" / "a.html"
    with pytest.raises(ValueError, match=r"\[CE001\] embed senses"):
        draw_senses(corpus=corpus, nlp=three_sources, **settings)


def test_a_pipeline_without_sources_is_a_coded_error(tmp_path):
    with pytest.raises(ValueError, match=r"\[CE001\] embed senses"):
        draw_senses(tmp_path / "a.html", ["bank"], nlp=spacy.blank("xx"))
