"""measures/analogies.py: 3CosAdd against a plain loop and gensim."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath

from spacy_ctx_embed.measures import analogies
from spacy_ctx_embed.measures.analogies import accuracy_interval, read_questions, three_cos_add


def _loop(rows, question):
    a, b, c = (rows[place] / np.linalg.norm(rows[place]) for place in question)
    best, found = -np.inf, -1
    for place, row in enumerate(rows):
        likeness = (row / np.linalg.norm(row)) @ (b - a + c)
        if place not in question and likeness > best:
            best, found = likeness, place
    return found


@pytest.mark.parametrize("block", [3, 256])
def test_answers_are_those_of_a_plain_loop_whatever_the_blocks(block, monkeypatch):
    monkeypatch.setattr(analogies, "_BLOCK", block)
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 6))
    questions = random.integers(0, 40, (50, 3))
    assert three_cos_add(rows, questions).tolist() == [_loop(rows, question) for question in questions.tolist()]


def test_a_zero_row_and_a_table_of_the_question_alone_do_no_harm():
    rows = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    assert three_cos_add(rows, np.array([[0, 1, 2]])).tolist() == [-1]
    assert three_cos_add(rows, np.empty((0, 3), int)).tolist() == []


def test_a_table_has_the_accuracy_that_gensim_gives_it():
    questions = read_questions(Path(datapath("questions-words.txt")))
    assert len(questions) == 19544
    assert sum(question.is_syntactic for question in questions) == 10675
    assert questions[0].words == ("Athens", "Greece", "Baghdad", "Iraq")
    words = list(dict.fromkeys(word for question in questions for word in question.words))
    words = [word for i, word in enumerate(words) if i % 7]
    random = np.random.default_rng(0)
    rows = random.normal(size=(len(words), 12)).astype(np.float32)
    index = {word: i for i, word in enumerate(words)}
    for question in questions[::3]:  # so that some are right
        if all(word in index for word in question.words):
            a, b, c, d = (index[word] for word in question.words)
            rows[d] = rows[b] - rows[a] + rows[c]
    table = KeyedVectors(12)
    table.add_vectors(words, rows)
    n = 250
    expected = table.evaluate_word_analogies(datapath("questions-words.txt"), restrict_vocab=n, case_insensitive=False)[
        1
    ][-1]
    known = [question.words for question in questions if all(index.get(word, n) < n for word in question.words)]
    places = np.array([[index[word] for word in words] for words in known])
    right = three_cos_add(rows[:n], places[:, :3]) == places[:, 3]
    assert len(known) == len(expected["correct"]) + len(expected["incorrect"]) > 500
    assert right.sum() == len(expected["correct"]) > 5


def test_the_interval_is_that_of_its_seed():
    low, high = accuracy_interval(60, 100, seed=0)
    assert (low, high) == accuracy_interval(60, 100, seed=0)
    assert 0.45 < low < 0.6 < high < 0.75
    assert all(map(math.isnan, accuracy_interval(0, 0, seed=0)))
