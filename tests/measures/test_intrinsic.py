"""measures/intrinsic.py, measures/word_table.py, sources/words.py: words looked up, scores and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
import spacy

from spacy_ctx_embed.measures.analogies import Question
from spacy_ctx_embed.measures.distill import distill
from spacy_ctx_embed.measures.intrinsic import WordTests, intrinsic, load_tests
from spacy_ctx_embed.measures.word_pairs import Pair, spearman
from spacy_ctx_embed.measures.word_table import WordTable, table_of, table_of_means
from spacy_ctx_embed.rows.unit import cosines
from spacy_ctx_embed.sources.layers import find_sources
from spacy_ctx_embed.sources.words import table_words

ROWS = {
    "man": [1, 0, 0.1],
    "woman": [0, 1, 0.1],
    "king": [1, 0, 2],
    "queen": [0, 1, 2],
    "dog": [1, 1, -1],
    "Dog": [3, 1, -1],
}
PAIRS = [Pair("man", "woman", 3), Pair("King", "queen", 5), Pair("dog", "man", 1), Pair("Dog", "unseen", 2)]
QUESTIONS = [
    Question("family", ("man", "woman", "King", "queen")),
    Question("gram1", ("man", "king", "woman", "dog")),
    Question("gram1", ("man", "king", "woman", "unseen")),
]
TESTS = WordTests([("pairs", PAIRS)], QUESTIONS)
TEXTS = ["the bank of the river", "we sat on the bank", "a king and a queen", "the dog and the man sat", "woman"]


@pytest.fixture(scope="module")
def nlp(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("intrinsic")
    lines = [" ".join(map(str, [word, *row])) for word, row in ROWS.items()]
    (folder / "table.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder / "table.txt")}})
    nlp.add_pipe("bert_embeddings", config={"model": {"name": str(tiny_bert), "overlap": 8}})
    return nlp


def _scores(nlp, name, **options):
    sources = find_sources(nlp, owner="test", names=[name])
    return list(intrinsic(sources, nlp.vocab, TESTS, owner="test", **options))


def test_a_static_source_is_measured_by_its_table(nlp):
    scores = _scores(nlp, "static_embeddings")
    pairs, every, semantic, syntactic = scores
    rows = {word: np.array(row, np.float32) for word, row in ROWS.items()}
    known = [("man", "woman"), ("king", "queen"), ("dog", "man")]
    found = cosines(np.array([rows[a] for a, _ in known]), np.array([rows[b] for _, b in known]))
    assert pairs.value == pytest.approx(spearman(found, np.array([3.0, 5.0, 1.0])))
    assert (pairs.n_answered, pairs.n_all, pairs.n_candidates, pairs.rows) == (3, 4, 0, "table")
    assert (every.value, every.n_answered, every.n_all, every.n_candidates) == (0.5, 2, 3, 6)
    assert (semantic.test, semantic.value, semantic.n_answered, semantic.n_all) == ("semantic", 1, 1, 1)
    assert (syntactic.test, syntactic.value, syntactic.n_answered, syntactic.n_all) == ("syntactic", 0, 1, 2)
    assert scores == _scores(nlp, "static_embeddings", layer=-1)


def test_only_frequent_words_answer_and_are_asked(nlp):
    _, every, *_ = _scores(nlp, "static_embeddings", vocabulary=4)
    assert (every.value, every.n_answered, every.n_candidates) == (1, 1, 4)
    pairs, every, *_ = _scores(nlp, "static_embeddings", vocabulary=2)
    assert pairs.n_answered == 3
    assert every.n_answered == 0
    assert math.isnan(every.value) and math.isnan(every.low)


def test_words_of_a_contextual_source_stand_alone(nlp):
    scores = _scores(nlp, "bert_embeddings")
    assert [(score.layer, score.test) for score in scores[::4]] == [(0, "pairs"), (1, "pairs"), (2, "pairs")]
    assert {score.rows for score in scores} == {"alone"}
    (source,) = find_sources(nlp, owner="test", names=["bert_embeddings"])
    rows = {w: source.layers_of([nlp.make_doc(w)])[0].layers[-1, 0] for p in PAIRS for w in (p.left, p.right)}
    found = cosines(np.array([rows[p.left] for p in PAIRS]), np.array([rows[p.right] for p in PAIRS]))
    assert scores[-4].value == pytest.approx(spearman(found, np.array([p.score for p in PAIRS])))
    assert scores[-4].n_answered == 4
    assert scores[-3].n_candidates == len(TESTS.words())
    (_, every, *_) = _scores(nlp, "bert_embeddings", layer=-1, candidates=["man", "woman", "king", "queen", "sat"])
    assert (every.n_answered, every.n_candidates, every.layer) == (1, 5, 2)


def test_means_over_a_corpus_are_the_distilled_table(nlp):
    def docs():
        return (nlp.make_doc(text) for text in TEXTS)

    scores = _scores(nlp, "bert_embeddings", corpus=docs, layer=1)
    (source,) = find_sources(nlp, owner="test", names=["bert_embeddings"])
    found = distill(source, docs(), owner="test", layers=[1])
    table = WordTable(found.words, found.layers, len(found.words))
    known = PAIRS[:3]
    left, right = (table.places(side) for side in zip(*((pair.left, pair.right) for pair in known)))
    rho = spearman(cosines(found.layers[0][left], found.layers[0][right]), np.array([p.score for p in known]))
    assert scores[0].value == pytest.approx(rho)
    assert (scores[0].n_answered, scores[0].rows, scores[0].layer) == (3, "mean", 1)
    assert scores[1].n_candidates == len(found.words)
    assert {score.rows for score in _scores(nlp, "static_embeddings", corpus=docs)} == {"table"}
    named = _scores(nlp, "bert_embeddings", corpus=docs, layer=1, candidates=["unseen", "woman", "bank", "woman"])
    assert named[0] == scores[0]
    assert named[1].n_candidates == 2
    table = table_of_means(found, ["woman", "bank"], 9)
    assert (table.words[:2], sorted(table.words), table.n_frequent) == (["woman", "bank"], sorted(found.words), 2)
    row = found.layers[0, found.words.index("woman")]
    np.testing.assert_array_equal(table.layers[0, 0], row)


def test_words_are_found_as_written_and_else_lower_cased():
    table = WordTable(["a", "B", "b", "A"], np.zeros((1, 4, 2)), 3)
    assert table.places(["a", "A", "B", "C", "b"]).tolist() == [0, 3, 1, -1, 2]
    assert table.places(["a", "A", "B"], frequent=True).tolist() == [0, 0, 1]


def test_words_without_a_row_are_none_of_the_table(nlp):
    static, bert = find_sources(nlp, owner="test")
    table = table_of(static, nlp.vocab, [0], ["unseen", "KING", " "], [], 2)
    assert table.words == ["man", "woman", "KING"]
    assert table.layers[0, 2].tolist() == ROWS["king"]
    assert table_words(static, nlp.vocab, 3) == ["man", "woman", "king"]
    assert table_words(bert, nlp.vocab, 3) == []


def test_words_of_the_vocabs_own_vectors_are_listed():
    nlp = spacy.blank("xx")
    for word in ("river", "bank"):
        nlp.vocab.set_vector(word, np.ones(4, np.float32) * len(word))
    nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    (source,) = find_sources(nlp, owner="test")
    assert table_words(source, nlp.vocab, 9) == ["river", "bank"]


def test_a_layer_that_is_not_there_is_an_error(nlp):
    with pytest.raises(ValueError, match=r"\[CE086\] test: --layer = 5 is no layer of 'bert_embeddings'"):
        _scores(nlp, "bert_embeddings", layer=5)


def test_the_tests_are_those_of_gensims_wheel(monkeypatch, tmp_path):
    tests = load_tests(owner="test")
    assert [(name, len(pairs)) for name, pairs in tests.pairs] == [("wordsim353", 353), ("simlex999", 999)]
    assert len(tests.questions) == 19544
    monkeypatch.setattr("gensim.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"\[CE086\] test: test data = .*wordsim353.tsv.*Fix: "):
        load_tests(owner="test")
