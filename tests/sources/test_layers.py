"""sources/layers.py and sources/docs.py: every layer of every embedding component, over the Docs of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.sources.docs import read_docs, sentencizer_of
from spacy_ctx_embed.sources.layers import find_sources
from tests.writers.elmo import write_random_elmo

TEXTS = ["the bank of the river", "", "we sat \n on the bank 😀", "dog"]


@pytest.fixture(scope="module")
def nlp(tiny_bert: Path, tmp_path_factory: Any) -> Language:
    """Static, ELMo and BERT vectors."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "table.txt").write_text("the 1 0\nbank 0 1\nriver 1 1\n", encoding="utf8")
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder / "table.txt")}})
    nlp.add_pipe("elmo_embeddings", config={"model": {"name": str(write_random_elmo(folder / "elmo"))}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert), "overlap": 8}})
    nlp.add_pipe("stacked_embeddings")
    return nlp


def test_every_layer_of_every_source_is_the_row_that_the_component_gives_for_it(nlp):
    docs = [nlp.make_doc(text) for text in TEXTS]
    for source in find_sources(nlp, owner="test"):
        found = source.layers_of(docs)
        factory = nlp.get_pipe_meta(source.name).factory
        for layer in range(source.n_layers):
            own = spacy.blank("xx")
            config = dict(nlp.get_pipe_config(source.name)["model"])
            if source.kind != "static":
                config["layers"] = [layer]
            own.add_pipe(factory, config={"model": config})
            for doc, rows in zip(own.pipe(TEXTS), found):
                np.testing.assert_allclose(rows.layers[layer], doc._.embeddings[factory], atol=1e-5)
                assert rows.has_vector.tolist() == [token._.has_vector for token in doc]


def test_only_what_is_read_with_a_wanted_token_is_run_and_its_rows_are_the_same(nlp):
    words = ["the", "bank", ".", "we", "sat", "on", "it", "."]
    docs = [Doc(nlp.vocab, words=words, sent_starts=[i in (0, 3) for i in range(8)]) for _ in range(3)]
    for source in find_sources(nlp, owner="test"):
        whole, some = source.layers_of(docs), source.layers_of(docs, [[1], [], [6, 3]])
        for place, tokens in ((0, [1]), (2, [3, 6])):
            assert some[place].has_vector[tokens].tolist() == whole[place].has_vector[tokens].tolist()
            np.testing.assert_allclose(some[place].layers[:, tokens], whole[place].layers[:, tokens], atol=1e-5)
        if source.kind != "static":
            assert not some[1].has_vector.any()
        if source.kind == "elmo":
            assert some[0].has_vector.tolist() == [True] * 3 + [False] * 5


def test_the_sentencizer_is_the_one_before_all_embeddings(nlp):
    blank = spacy.blank("en")
    assert sentencizer_of(blank) is None
    first = blank.add_pipe("sentencizer")
    assert sentencizer_of(blank) is first
    blank.add_pipe("static_embeddings", source=nlp, before="sentencizer")
    assert sentencizer_of(blank) is None


def test_sources_are_the_components_with_a_model_of_their_own_in_the_order_asked_for(nlp):
    sources = find_sources(nlp, owner="test")
    assert [(s.name, s.kind, s.n_layers) for s in sources] == [
        ("static_embeddings", "static", 1),
        ("elmo_embeddings", "elmo", 3),
        ("bert_embeddings", "bert", 3),
    ]
    names = ["bert_embeddings", "static_embeddings"]
    assert [s.name for s in find_sources(nlp, owner="test", names=names)] == names


@pytest.mark.parametrize("names", [["vectors"], ["stacked_embeddings"]])
def test_a_name_that_is_no_source_is_an_error_that_names_those_that_are(nlp, names):
    with pytest.raises(ValueError, match=r"\[CE001\] embed geometry.*'sources' is .*'elmo_embeddings'.*Fix: "):
        find_sources(nlp, owner="embed geometry", names=names)


def test_a_pipeline_without_vectors_is_an_error():
    with pytest.raises(ValueError, match=r"\[CE001\].*'pipeline' is .*static_embeddings.*Fix: "):
        find_sources(spacy.blank("xx"), owner="test")


def test_docs_are_read_from_lines_or_a_spacy_file(nlp, tmp_path):
    lines, binary = tmp_path / "a.txt", tmp_path / "a.spacy"
    lines.write_text("The bank.\n\n  \nA river\n", encoding="utf8")
    DocBin(docs=[nlp.make_doc("The bank."), nlp.make_doc(""), nlp.make_doc("A river")]).to_disk(binary)
    for corpus in (lines, binary):
        assert [doc.text for doc in read_docs(nlp, corpus, owner="test")] == ["The bank.", "A river"]
        assert len(list(read_docs(nlp, corpus, owner="test", limit=1))) == 1


@pytest.mark.parametrize("content", [None, b"", b" \n\n", b"\xff\xfe bank"])
def test_a_corpus_without_text_is_an_error_that_names_it(nlp, tmp_path, content):
    corpus = tmp_path / "corpus.txt"
    if content is not None:
        corpus.write_bytes(content)
    with pytest.raises(ValueError, match=r"\[CE001\].*'corpus' is .*corpus.txt.*Fix: "):
        list(read_docs(nlp, corpus, owner="test"))


def test_lines_without_a_wanted_word_are_passed_over_before_they_are_tokenized(nlp, tmp_path, monkeypatch):
    corpus = tmp_path / "corpus.txt"
    lines = ["the Bank.", "a river", "embankment", "ΟΔΟΣ", "the river BANK again"]
    corpus.write_text("\n".join(lines), encoding="utf8")
    seen = []
    whole = nlp.make_doc
    monkeypatch.setattr(nlp, "make_doc", lambda text: seen.append(text) or whole(text))
    found = [doc.text for doc in read_docs(nlp, corpus, owner="test", having=["bank", "οδοσ"])]
    assert found == seen == ["the Bank.", "embankment", "ΟΔΟΣ", "the river BANK again"]
    assert [doc.text for doc in read_docs(nlp, corpus, owner="test", limit=4, having=["bank"])] == [lines[0], lines[2]]
    assert list(read_docs(nlp, corpus, owner="test", having=["nowhere"])) == []


def test_a_tokenizer_of_another_kind_sees_every_line(nlp, tmp_path):
    # Its tokens may be no part of the text.
    (tmp_path / "corpus.txt").write_text("a Bank\nriver\n", encoding="utf8")
    own = spacy.blank("xx")
    own.tokenizer = lambda text: Doc(own.vocab, words=["bank"])
    found = list(read_docs(own, tmp_path / "corpus.txt", owner="test", having=["bank"]))
    assert [doc[0].text for doc in found] == ["bank", "bank"]
