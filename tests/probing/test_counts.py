"""probing/counts.py: counts of each document give back spaCy's scores."""

from __future__ import annotations

import random

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_ctx_embed.probing.counts import count
from spacy_ctx_embed.probing.significance import f_score
from tests.probing.tiny import make_docs

SCORES = [
    ("ner", "ents_f"),
    ("senter", "sents_f"),
    ("tagger", "tag_acc"),
    ("morphologizer", "morph_acc"),
    ("morphologizer", "pos_acc"),
    ("parser", "dep_las"),
    ("parser", "dep_uas"),
    ("parser", "sents_f"),
    ("spancat", "spans_sc_f"),
    ("textcat", "cats_score"),
    ("textcat", "cats_macro_f"),
    ("textcat", "cats_micro_f"),
    ("textcat_multilabel", "cats_macro_f"),
    ("textcat_multilabel", "cats_micro_f"),
]


def _wrong(gold: Doc, draw: random.Random) -> Doc:
    """Predictions with mistakes, and with tokens of its own here and there."""
    words = [token.text for token in gold]
    if draw.random() < 0.4:
        words[1:2] = [words[1][:2], words[1][2:]]
    spaces = [i != 1 or len(words) == len(gold) for i in range(len(words))]
    n = len(words)
    doc = Doc(gold.vocab, words=words, spaces=spaces)
    for token in doc:
        token.tag_ = draw.choice("DNVP")
        token.pos_ = draw.choice(["NOUN", "VERB"])
        token.set_morph(draw.choice(["Case=Nom", "Case=Acc"]))
        token.dep_ = draw.choice(["det", "nsubj", "pobj", "punct"])
    start = draw.randrange(2, n - 1)
    found = [Span(doc, start, draw.randrange(start + 1, n), label=draw.choice(["ORG", "GPE"]))]
    if draw.random() < 0.5:
        found.append(Span(doc, 4 + n - len(gold), n - 1, label="GPE"))
    doc.ents = found[-1:]
    doc.spans["sc"] = found
    doc.cats = {"ANIMAL": draw.random(), "THING": draw.random()}
    return doc


def _parsed(doc: Doc, gold: Doc, draw: random.Random) -> Doc:
    # The gold tree with other labels, or two sentences in which all tokens hang on the first.
    cut = draw.randrange(1, len(doc))
    heads = [0 if i < cut else cut for i in range(len(doc))]
    if len(doc) == len(gold) and draw.random() < 0.7:
        heads = [token.head.i for token in gold]
    return Doc(
        doc.vocab,
        words=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
        heads=heads,
        deps=[draw.choice(["det", "nsubj", "pobj", "punct"]) for _ in doc],
    )


@pytest.fixture
def examples():
    draw = random.Random(3)
    golds = make_docs(30)
    for gold in golds:
        for token in gold:
            token.pos_ = draw.choice(["NOUN", "VERB"])
            token.set_morph(draw.choice(["Case=Nom", "Case=Acc"]))
    return golds, draw


@pytest.mark.parametrize(("factory", "score"), SCORES)
def test_counts_give_back_the_score(factory, score, examples):
    golds, draw = examples
    predicted = [_wrong(gold, draw) for gold in golds]
    if factory in ("parser", "senter"):
        predicted = [_parsed(doc, gold, draw) for doc, gold in zip(predicted, golds)]
    pairs = [Example(doc, gold) for doc, gold in zip(predicted, golds)]
    pipe = spacy.blank("xx").add_pipe(factory)
    if factory.startswith("textcat"):
        pipe.add_label("ANIMAL")
        pipe.add_label("THING")
    value = pipe.score(pairs)[score]
    assert 0 < value < 1
    counts = count(score, pipe, pairs, value)
    assert counts is not None and counts.shape[0] == len(pairs) and counts.shape[2] == 3
    assert f_score(counts.sum(axis=0)) == pytest.approx(value)
    part = count(score, pipe, pairs[:7], pipe.score(pairs[:7])[score])
    assert np.array_equal(part, counts[:7])


def test_a_text_without_annotation_counts_for_nothing(examples):
    golds, draw = examples
    pairs = [Example(_wrong(gold, draw), Doc(gold.vocab, words=[t.text for t in gold])) for gold in golds[:3]]
    pairs += [Example(_wrong(gold, draw), gold) for gold in golds[3:]]
    pipe = spacy.blank("xx").add_pipe("ner")
    counts = count("ents_f", pipe, pairs, pipe.score(pairs)["ents_f"])
    assert counts is not None and not counts[:3].any()


@pytest.mark.parametrize("score", ["cats_macro_auc", "ents_p", "mine"])
def test_another_kind_of_score_has_no_counts(score, examples):
    golds, _ = examples
    assert count(score, None, [Example(gold, gold) for gold in golds], 1.0) is None


def test_a_scorer_with_rules_of_its_own_has_no_counts(examples):
    golds, _ = examples
    assert count("ents_f", None, [Example(gold, gold) for gold in golds], 0.9) is None
