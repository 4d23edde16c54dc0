"""How good vectors of words are in themselves: word similarity and analogies, for each layer of each source.

Enters: sources, and for contextual ones the Docs of a corpus, if any. Leaves: one :class:`Score` per source, layer and
test, with how much of the test had rows; a word without one is not guessed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.measures.analogies import Question, accuracy_interval, read_questions, three_cos_add
from spacy_ctx_embed.measures.distill import distill, layer_number
from spacy_ctx_embed.measures.word_pairs import Pair, read_pairs, spearman, spearman_interval
from spacy_ctx_embed.measures.word_table import WordTable, table_of, table_of_means
from spacy_ctx_embed.rows.unit import cosines
from spacy_ctx_embed.sources.layers import Source

PAIR_SETS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}
QUESTIONS = "questions-words.txt"


@dataclass(frozen=True)
class WordTests:
    """What is asked.

    :param pairs: name and pairs of each similarity test.
    :param questions: analogies.
    """

    pairs: Sequence[Tuple[str, Sequence[Pair]]]
    questions: Sequence[Question]

    def words(self) -> List[str]:
        """List the words that are asked for.

        :return: each once, the most frequent of the tests first.
        """
        counts = Counter(word for _, pairs in self.pairs for pair in pairs for word in (pair.left, pair.right))
        counts.update(word for question in self.questions for word in question.words)
        return [word for word, _ in counts.most_common()]


@dataclass(frozen=True)
class Score:
    """One test of one layer.

    :param component: the source.
    :param kind: its family.
    :param layer: the layer.
    :param rows: "table", "alone" (each word a text of its own) or "mean" (over the contexts of a corpus).
    :param test: name of the test.
    :param measure: "spearman" or "accuracy".
    :param value: rho, or the part answered rightly; not a number where nothing could be measured.
    :param low: lower end of the 95 % bootstrap interval.
    :param high: upper end.
    :param n_answered: pairs or questions all of whose words have a row.
    :param n_all: pairs or questions.
    :param n_candidates: words that may be the answer of an analogy; 0 for pairs.
    """

    component: str
    kind: str
    layer: int
    rows: str
    test: str
    measure: str
    value: float
    low: float
    high: float
    n_answered: int
    n_all: int
    n_candidates: int


def load_tests(*, owner: str) -> WordTests:
    """Read the tests that gensim brings along: WordSim-353, SimLex-999 and word2vec's analogies.

    :param owner: the command, for messages.
    :return: the tests.
    :raises FileNotFoundError: if this gensim was installed without its test data.
    """
    import gensim

    folder = Path(gensim.__file__).parent / "test" / "test_data"
    for name in (*PAIR_SETS.values(), QUESTIONS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                Errors.E086.format(
                    owner=owner,
                    key="test data",
                    value=str(folder / name),
                    reason="is not there",
                    accepted="gensim with its test data, as its wheels on PyPI have it",
                    fix="pip install --force-reinstall gensim",
                )
            )
    pairs = [(name, read_pairs(folder / file)) for name, file in PAIR_SETS.items()]
    return WordTests(pairs, read_questions(folder / QUESTIONS))


def intrinsic(
    sources: Sequence[Source],
    vocab: Vocab,
    tests: WordTests,
    *,
    owner: str,
    layer: Optional[int] = None,
    corpus: Optional[Callable[[], Iterable[Doc]]] = None,
    contexts: int = 100,
    candidates: Sequence[str] = (),
    vocabulary: int = 30_000,
    seed: int = 0,
) -> Iterator[Score]:
    """Measure sources, one after another.

    :param sources: the sources.
    :param vocab: the pipeline's vocab.
    :param tests: what is asked.
    :param owner: the command, for messages.
    :param layer: this layer alone, a negative one from the last on; all if not given.
    :param corpus: gives Docs anew at each call; words of a contextual source are then means over their contexts.
    :param contexts: how many contexts of a word count at most.
    :param candidates: words that may be answers of an analogy, the most frequent first. Where there are
        none: the most frequent words of a table or corpus, and for words that stand alone those of the tests.
    :param vocabulary: how many of the most frequent words may be answers.
    :param seed: of the bootstrap.
    :yields: the scores.
    :raises ValueError: if a layer is not there.
    """
    plans = [
        (source, list(range(source.n_layers)) if layer is None else [layer_number(source, layer, owner=owner)])
        for source in sources
    ]
    asked = tests.words()
    for source, numbers in plans:
        if corpus is not None and source.kind != "static":
            found = distill(source, corpus(), owner=owner, layers=numbers, contexts=contexts)
            table, rows = table_of_means(found, candidates, vocabulary), "mean"
        else:
            table = table_of(source, vocab, numbers, asked, candidates, vocabulary)
            rows = "table" if source.kind == "static" else "alone"
        for number, matrix in zip(numbers, table.layers):
            yield from (
                Score(source.name, source.kind, number, rows, *fields)
                for fields in score_rows(table, matrix, tests, seed=seed)
            )


_Fields = Tuple[str, str, float, float, float, int, int, int]


def score_rows(table: WordTable, matrix: np.ndarray, tests: WordTests, *, seed: int = 0) -> List[_Fields]:
    """Measure one layer of a table.

    :param table: the words.
    :param matrix: ``(n_words, width)`` their rows.
    :param tests: what is asked.
    :param seed: of the bootstrap.
    :return: per test the last eight fields of a :class:`Score`.
    """
    return [*_pair_scores(table, matrix, tests, seed), *_analogy_scores(table, matrix, tests, seed)]


def _pair_scores(table: WordTable, matrix: np.ndarray, tests: WordTests, seed: int) -> Iterator[_Fields]:
    for name, pairs in tests.pairs:
        left, right = (table.places(side) for side in zip(*((pair.left, pair.right) for pair in pairs)))
        known = (left >= 0) & (right >= 0)
        said = np.array([pair.score for pair in pairs])[known]
        found = cosines(matrix[left[known]], matrix[right[known]])
        low, high = spearman_interval(found, said, seed=seed)
        yield name, "spearman", spearman(found, said), low, high, int(known.sum()), len(pairs), 0


def _analogy_scores(table: WordTable, matrix: np.ndarray, tests: WordTests, seed: int) -> Iterator[_Fields]:
    if not tests.questions:
        return
    words = [word for question in tests.questions for word in question.words]
    places = table.places(words, frequent=True).reshape(-1, 4)
    known = (places >= 0).all(axis=1)
    right = np.zeros(len(places), dtype=bool)
    if known.any():
        right[known] = three_cos_add(matrix[: table.n_frequent], places[known, :3]) == places[known, 3]
    syntactic = np.array([question.is_syntactic for question in tests.questions])
    every = np.ones(len(places), dtype=bool)
    for name, part in (("analogies", every), ("semantic", ~syntactic), ("syntactic", syntactic)):
        if part.any():
            n, n_right = int((known & part).sum()), int((right & part).sum())
            low, high = accuracy_interval(n_right, n, seed=seed)
            value = n_right / n if n else float("nan")
            yield name, "accuracy", value, low, high, n, int(part.sum()), table.n_frequent
