"""Analogies, "a is to b as c is to d", answered by 3CosAdd (Mikolov et al. 2013; named by Levy and Goldberg 2014).

Enters: questions, and the rows of the words that may be answers. Leaves: which questions are answered rightly. The
answer is the word whose row has the largest cosine with ``b - a + c``, all of length 1, and is none of the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np

from spacy_ctx_embed.measures.word_pairs import N_SAMPLES, interval
from spacy_ctx_embed.rows.unit import unit_rows

_BLOCK = 256  # questions answered at a time


@dataclass(frozen=True)
class Question:
    """An analogy.

    :param section: what it is about; names of syntactic ones begin with "gram".
    :param words: a, b, c and the answer.
    """

    section: str
    words: Tuple[str, str, str, str]

    @property
    def is_syntactic(self) -> bool:
        """Whether it is about word forms."""
        return self.section.startswith("gram")


def read_questions(file: Path) -> List[Question]:
    """Read analogies.

    :param file: UTF-8 text as word2vec's ``questions-words.txt``: four words a line, and lines ``: section``.
    :return: the questions.
    """
    questions, section = [], ""
    for line in file.read_text(encoding="utf8").splitlines():
        if line.startswith(":"):
            section = line[1:].strip()
        elif line.strip():
            a, b, c, d = line.split()
            questions.append(Question(section, (a, b, c, d)))
    return questions


def three_cos_add(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Answer questions.

    :param rows: ``(n_words, width)`` rows of the words that may be answers.
    :param places: ``(n_questions, 3)`` row numbers of a, b and c.
    :return: ``(n_questions,)`` row numbers of the answers, -1 where there are only the words of the question.
    """
    units = unit_rows(rows).astype(np.float32)
    answers = np.full(len(places), -1, np.int64)
    order = np.argsort(places[:, 0], kind="stable")  # questions beside each other share words
    for start in range(0, len(places), _BLOCK):
        block = order[start : start + _BLOCK]
        used, which = np.unique(places[block], return_inverse=True)
        which = which.reshape(-1, 3)
        scores = units[used] @ units.T  # of each word of the block once, and not of each question
        likeness = scores[which[:, 1]] - scores[which[:, 0]] + scores[which[:, 2]]
        likeness[np.arange(len(block))[:, None], places[block]] = -np.inf
        best = likeness.argmax(axis=1)
        answers[block] = np.where(np.isneginf(likeness[np.arange(len(block)), best]), -1, best)
    return answers


def accuracy_interval(n_right: int, n: int, *, seed: int) -> Tuple[float, float]:
    """Bootstrap over questions: 95 % of the accuracies of samples of this size, drawn with replacement.

    :param n_right: questions answered rightly; how many of a sample's are is binomial.
    :param n: questions answered.
    :param seed: of the samples.
    :return: 2.5th and 97.5th percentile; not numbers without questions.
    """
    if not n:
        return float("nan"), float("nan")
    return interval(np.random.default_rng(seed).binomial(n, n_right / n, N_SAMPLES) / n)
