"""The n-gram language model of the benchmarks: a distribution, and the one of the definition."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

PATH = Path(__file__).parents[2] / "benchmarks" / "kneser_ney.py"
if not PATH.exists():
    pytest.skip("benchmarks/ is not in this tree", allow_module_level=True)
spec = importlib.util.spec_from_file_location("kneser_ney", PATH)
kneser_ney = importlib.util.module_from_spec(spec)
sys.modules["kneser_ney"] = kneser_ney  # dataclasses look their module up
spec.loader.exec_module(kneser_ney)


class SlowKneserNey:
    """The same model from the definition, in dictionaries of tuples."""

    def __init__(self, stream, n_vocab, order):
        self.n_vocab, self.order = n_vocab, order
        plain = [Counter() for _ in range(order + 1)]
        for context, word in self.events(stream):
            ngram = (*context, word)
            for n in range(1, min(order, len(ngram)) + 1):
                plain[n][ngram[-n:]] += 1
        self.counts = [Counter() for _ in range(order + 1)]
        for n in range(1, order + 1):
            lefts = defaultdict(set)
            if n < order:
                for longer in plain[n + 1]:
                    lefts[longer[1:]].add(longer[0])
            for ngram, count in plain[n].items():
                begins_sentence = n > 1 and ngram[0] == 0
                self.counts[n][ngram] = count if n == order or begins_sentence else len(lefts[ngram])
        self.discounts = [None, *(self.estimate(self.counts[n].values()) for n in range(1, order + 1))]
        self.after = [defaultdict(dict) for _ in range(order + 1)]
        for n in range(1, order + 1):
            for ngram, count in self.counts[n].items():
                self.after[n][ngram[:-1]][ngram[-1]] = count

    def events(self, stream):
        sentence = [0]
        for word in stream[1:].tolist():
            word = word if word < self.n_vocab else 2
            yield tuple(sentence), word
            sentence = [0] if word == 0 else [*sentence, word]

    @staticmethod
    def estimate(counts):
        n1, n2, n3, n4 = (sum(count == j for count in counts) for j in (1, 2, 3, 4))
        if not (n1 and n2 and n3 and n4):
            return (0.5, 1.0, 1.5)
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        return found if min(found) > 0 else (0.5, 1.0, 1.5)

    def prob(self, context, word):
        if context is None:
            return 1 / (self.n_vocab - 1)
        lower = self.prob(context[1:] if context else None, word)
        n = len(context) + 1
        following = self.after[n].get(context)
        if following is None:
            return lower
        total = sum(following.values())
        taken = [self.discounts[n][min(count, 3) - 1] for count in following.values()]
        count = following.get(word, 0)
        kept = count - self.discounts[n][min(count, 3) - 1] if count else 0.0
        return kept / total + sum(taken) / total * lower

    def log_probs(self, stream):
        longest = self.order - 1
        return [math.log(self.prob(c[-longest:] if longest else (), w)) for c, w in self.events(stream)]


def random_stream(seed, n_words, n_ids, end=0.15):
    """Words by Zipf's law, each likely to repeat the one two before it."""
    rng = np.random.default_rng(seed)
    words = 2 + np.minimum(rng.zipf(1.3, n_words), n_ids - 2)
    words[2:] = np.where(rng.random(n_words - 2) < 0.4, words[:-2], words[2:])
    words[rng.random(n_words) < end] = 0
    return np.concatenate([[0], words, [0]]).astype(np.uint32)


def text_stream(n_sentences):
    """Sentences of a small grammar: the noun, two words back, tells much about the last word."""
    rng = np.random.default_rng(5)
    sentences = [
        [3, 10 + noun, 4, 30 + 3 * noun + rng.integers(3), 0] for noun in rng.integers(0, 10, n_sentences).tolist()
    ]
    return np.array([0, *(word for sentence in sentences for word in sentence)])


def perplexity(model, stream):
    return math.exp(-model.log_probs(stream).mean())


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("context", [[], [3], [4, 3], [3, 3, 4], [3, 4, 5, 3, 4, 3], [199, 198], [2, 3], [250, 3]])
def test_probabilities_over_all_targets_sum_to_one(order, context):
    n_vocab = 220
    model = kneser_ney.train(random_stream(0, 5000, 200), n_vocab, order)
    targets = [0, *range(2, n_vocab)]
    last = [model.log_probs(np.array([0, *context, target]))[-1] for target in targets]
    assert np.exp(last).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("n_words", "n_ids", "n_vocab"), [(3000, 12, 15), (6000, 300, 120), (300, 50, 60), (3, 5, 9)])
def test_agrees_with_the_definition(order, n_words, n_ids, n_vocab):
    train, other = random_stream(1, n_words, n_ids), random_stream(2, 400, n_ids + 5)
    fast, slow = kneser_ney.train(train, n_vocab, order), SlowKneserNey(train, n_vocab, order)
    for stream in (train, other, other[::-1]):
        np.testing.assert_allclose(fast.log_probs(stream), slow.log_probs(stream), rtol=0, atol=1e-10)


ids = st.lists(st.sampled_from([0, 0, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10]), min_size=1, max_size=80)


@given(train=ids, other=ids, order=st.integers(1, 5))
def test_agrees_with_the_definition_on_any_stream(train, other, order):
    train, other = np.array([0, *train]), np.array([0, *other])
    fast, slow = kneser_ney.train(train, 9, order), SlowKneserNey(train, 9, order)
    np.testing.assert_allclose(fast.log_probs(other), slow.log_probs(other), rtol=0, atol=1e-10)


def test_the_orders_that_are_compared_estimate_their_discounts():
    model = kneser_ney.train(random_stream(1, 6000, 300), 120, 5)
    for order in model.orders:
        assert order.discounts[1:].tolist() != [0.5, 1.0, 1.5]


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 10, 5, 2, 7])
    y = 40 / 60
    expected = [0, 1 - 2 * y * 10 / 40, 2 - 3 * y * 5 / 10, 3 - 4 * y * 2 / 5]
    np.testing.assert_allclose(kneser_ney.discounts_from(counts), expected)


@pytest.mark.parametrize("counts", [[], [1, 1, 1], [2, 3, 4], [1, 2, 3], [1] * 9 + [2] + [3] * 9 + [4]])
def test_discounts_without_enough_counts_fall_back(counts):
    assert kneser_ney.discounts_from(np.array(counts, dtype=int)).tolist() == [0.0, 0.5, 1.0, 1.5]


def test_more_context_helps_on_a_text_with_structure():
    text = text_stream(600)
    train, test = text[:2501], text[2500:]
    one, two, three = (perplexity(kneser_ney.train(train, 70, order), test) for order in (1, 2, 3))
    assert three < two < one
    assert three == pytest.approx(30 ** (1 / 5), rel=0.1)  # ten nouns, three words each, and three sure tokens


def test_a_context_ends_at_the_boundary_of_its_sentence():
    model = kneser_ney.train(random_stream(3, 2000, 30), 40)
    after_one, after_other = (model.log_probs(np.array([0, *words, 0, 3, 4])) for words in ([3, 3], [7, 9]))
    assert after_one[-2:].tolist() == after_other[-2:].tolist() == model.log_probs(np.array([0, 3, 4])).tolist()


def test_ids_outside_the_vocabulary_are_unknown_words():
    stream = random_stream(4, 2000, 100)
    unknown = np.where(stream >= 20, 2, stream)
    assert (stream >= 20).any()
    expected = kneser_ney.train(unknown, 20).log_probs(unknown)
    assert kneser_ney.train(stream, 20).log_probs(stream).tolist() == expected.tolist()


@pytest.mark.parametrize("stream", [[], [3, 4, 0], [0, 1, 0], [0, -3, 0], [[0, 3], [0, 3]], [0]])
def test_a_stream_that_is_none_is_refused(stream):
    with pytest.raises(ValueError, match="stream"):
        kneser_ney.train(np.array(stream, dtype=np.int64), 10)


def test_an_order_or_vocabulary_too_small_is_refused():
    with pytest.raises(ValueError, match="order=0"):
        kneser_ney.train(np.array([0, 3, 0]), 10, order=0)
    with pytest.raises(ValueError, match="n_vocab=2"):
        kneser_ney.train(np.array([0, 3, 0]), 2)
