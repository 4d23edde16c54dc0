"""An n-gram language model to compare perplexities with: interpolated modified Kneser-Ney, in NumPy.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998, TR-10-98, section 3;
1999, Computer Speech and Language 13): three discounts per order, continuation counts below the highest order. As in
KenLM (Heafield et al. 2013, "Scalable Modified Kneser-Ney Language Model Estimation"), an n-gram that begins with
``<s>`` has no left neighbour and keeps its plain count, and the unigrams are interpolated with a uniform distribution.

A text is one stream of ids, ``0 w1 … wn 0 w1 … wn 0``: id 0 is the boundary of sentences, 2 is ``<UNK>``, words begin
at 3 and are ranked by frequency. Every position after the first is predicted, a 0 there as the end of its sentence.
A context begins at the latest with the boundary before its sentence. For the backward direction, pass ``stream[::-1]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

BOUNDARY = 0
UNKNOWN = 2
FIRST_WORD = 3

# D1, D2, D3+ where the counts of counts give none: as lmplz --discount_fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class NgramOrder:
    """The n-grams of one length.

    :param keys: ``(n_ngrams,)``, int64, sorted: number of the context times ``n_vocab`` plus the last word. The number
        of an empty context is 0, of one word its id, of more words their row in the order below.
    :param counts: ``(n_ngrams,)``, int32: continuation counts, or plain counts in the highest order and after ``<s>``.
    :param totals: ``(n_contexts,)``, float64: sum of the counts after a context; 0 where nothing follows it.
    :param backoffs: ``(n_contexts,)``, float64: weight of the next lower order after a context.
    :param discounts: ``(4,)``, float64: what is taken from a count of 0, 1, 2, and 3 or more.
    """

    keys: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    backoffs: np.ndarray
    discounts: np.ndarray


@dataclass(frozen=True)
class KneserNey:
    """A trained model.

    :param n_vocab: ids from here on are ``<UNK>``.
    :param orders: unigrams first.
    """

    n_vocab: int
    orders: Tuple[NgramOrder, ...]

    def log_probs(self, stream: np.ndarray) -> np.ndarray:
        """Log probability of every token after the first; the perplexity is ``exp(-mean)``.

        After a context that training never saw, the next lower order counts in full.

        :param stream: ``(n_tokens,)``, unsigned or signed integers that begin with a boundary.
        :return: ``(n_tokens - 1,)``, float64, natural logarithms.
        :raises ValueError: if the stream does not begin with a boundary or contains ids that are no target.
        """
        words, depths = _events(stream, self.n_vocab)
        targets = words[1:]
        probs = np.full(len(targets), 1.0 / _n_targets(self.n_vocab))
        rows = np.zeros(len(targets), dtype=np.int64)
        for n, order in enumerate(self.orders, start=1):
            contexts = _contexts(n, words, depths, rows)
            at = np.flatnonzero(contexts >= 0)
            at = at[order.totals[contexts[at]] > 0]
            context = contexts[at]
            found_rows, counts = _look_up(order, context * self.n_vocab + targets[at])
            kept = counts - order.discounts[np.minimum(counts, 3)]
            probs[at] = kept / order.totals[context] + order.backoffs[context] * probs[at]
            rows = np.full(len(targets), -1, dtype=np.int64)
            rows[at] = found_rows
        return np.log(probs)


def train(stream: np.ndarray, n_vocab: int, order: int = 5) -> KneserNey:
    """Count and discount the n-grams of a text.

    Five orders of 20 million tokens take half a minute on one core and 2 GiB at the peak.

    :param stream: ``(n_tokens,)``, unsigned or signed integers that begin with a boundary.
    :param n_vocab: ids from here on become ``<UNK>``. Targets are 0, 2 and the words below ``n_vocab``.
    :param order: longest n-grams, in tokens.
    :return: the model.
    :raises ValueError: if order, vocabulary or stream cannot be used.
    """
    if order < 1:
        raise ValueError(f"order={order}: needs 1 or more")
    words, depths = _events(stream, n_vocab)
    if len(words) < 2:
        raise ValueError("stream: nothing to count after the first boundary")
    keys, rows = _number(n_vocab, 1, words, depths, np.zeros(len(words) - 1, dtype=np.int32))
    n_contexts = 1
    orders = []
    for n in range(1, order + 1):
        counts = np.bincount(rows[rows >= 0], minlength=len(keys))
        longer_keys, longer_rows = keys[:0], rows[:0]
        if n < order:
            longer_keys, longer_rows = _number(n_vocab, n + 1, words, depths, rows)
            left = _left_neighbours(rows, longer_rows, len(keys), len(longer_keys))
            counts = np.where(left > 0, left, counts)  # none: begins with <s>
        orders.append(_discount(keys, counts, keys // n_vocab, n_contexts))
        n_contexts = n_vocab if n == 1 else len(keys)
        keys, rows = longer_keys, longer_rows
    return KneserNey(n_vocab, tuple(orders))


def discounts_from(counts: np.ndarray) -> np.ndarray:
    """What to take from a count of 0, 1, 2, and 3 or more (Chen and Goodman 1998, equation 26).

    Tiny texts, and the unigrams of a vocabulary without rare words, may lack n-grams with a count of 1, 2, 3 or 4, or
    have so few that a discount is not positive: then the whole order takes ``FALLBACK_DISCOUNTS``.

    :param counts: ``(n_ngrams,)``, integers of 1 or more.
    :return: ``(4,)``, float64; the first is 0, the others are in ``(0, 1]``, ``(0, 2]``, ``(0, 3]``.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    discounts = np.array((0.0, *FALLBACK_DISCOUNTS))
    if n[1:5].all():
        share = n[1] / (n[1] + 2 * n[2])
        estimates = [j - (j + 1) * share * n[j + 1] / n[j] for j in (1, 2, 3)]
        if min(estimates) > 0:
            discounts[1:] = estimates
    return discounts


def _n_targets(n_vocab: int) -> int:
    return n_vocab - 1  # id 1 is no target


def _events(stream: np.ndarray, n_vocab: int) -> Tuple[np.ndarray, np.ndarray]:
    """Ids below ``n_vocab``, and how many tokens of context each target has.

    :param stream: ``(n_tokens,)``, integers.
    :param n_vocab: ids from here on become ``<UNK>``.
    :return: words ``(n_tokens,)``, int32; tokens from the boundary to each target ``(n_tokens - 1,)``, int32.
    :raises ValueError: if vocabulary or stream cannot be used.
    """
    if n_vocab < FIRST_WORD:
        raise ValueError(f"n_vocab={n_vocab}: needs {FIRST_WORD} or more")
    if stream.ndim != 1 or not len(stream) or stream[0] != BOUNDARY:
        raise ValueError(f"stream: needs one dimension and a first id of {BOUNDARY}")
    words = np.where(stream >= n_vocab, UNKNOWN, stream).astype(np.int32)
    if ((words < UNKNOWN) & (words != BOUNDARY)).any():
        raise ValueError(f"stream: ids are {BOUNDARY}, {UNKNOWN}, or {FIRST_WORD} and more")
    positions = np.arange(len(words), dtype=np.int32)
    boundaries = np.maximum.accumulate(np.where(words == BOUNDARY, positions, 0))
    return words, positions[1:] - boundaries[:-1]


def _contexts(n: int, words: np.ndarray, depths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Number of the context of each target's n-gram.

    :param n: length of the n-grams, in tokens.
    :param words: ``(n_tokens,)``.
    :param depths: ``(n_tokens - 1,)``, tokens from the boundary to each target.
    :param rows: ``(n_tokens - 1,)``, row of the n-gram of length ``n - 1`` that ends in each target, -1 for none.
    :return: ``(n_tokens - 1,)``, int64, -1 for none.
    """
    if n == 1:
        return np.zeros(len(depths), dtype=np.int64)
    if n == 2:
        return words[:-1].astype(np.int64)
    contexts = np.full(len(depths), -1, dtype=np.int64)
    contexts[1:] = rows[:-1]
    contexts[depths < n - 1] = -1
    return contexts


def _number(
    n_vocab: int, n: int, words: np.ndarray, depths: np.ndarray, rows: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the different n-grams of a text.

    :param n_vocab: factor of the contexts in a key.
    :param n: length of the n-grams, in tokens.
    :param words: ``(n_tokens,)``.
    :param depths: ``(n_tokens - 1,)``, tokens from the boundary to each target.
    :param rows: ``(n_tokens - 1,)``, row of the n-gram of length ``n - 1`` that ends in each target, -1 for none.
    :return: keys ``(n_ngrams,)``, int64, sorted; row of the n-gram that ends in each target ``(n_tokens - 1,)``, int32,
        -1 for none.
    """
    contexts = _contexts(n, words, depths, rows)
    at = np.flatnonzero(contexts >= 0)
    keys, inverse = np.unique(contexts[at] * n_vocab + words[1:][at], return_inverse=True)
    longer = np.full(len(depths), -1, dtype=np.int32)
    longer[at] = inverse
    return keys, longer


def _left_neighbours(rows: np.ndarray, longer_rows: np.ndarray, n_ngrams: int, n_longer: int) -> np.ndarray:
    """Count the different tokens before each n-gram.

    :param rows: ``(n_tokens - 1,)``, row of the n-gram that ends in each target, -1 for none.
    :param longer_rows: ``(n_tokens - 1,)``, the same for n-grams that are one token longer.
    :param n_ngrams: different n-grams.
    :param n_longer: different longer ones.
    :return: ``(n_ngrams,)``, integers.
    """
    at = np.flatnonzero(longer_rows >= 0)
    without_first = np.empty(n_longer, dtype=np.int32)
    without_first[longer_rows[at]] = rows[at]  # each occurrence of a longer one writes the same
    return np.bincount(without_first, minlength=n_ngrams)


def _discount(keys: np.ndarray, counts: np.ndarray, contexts: np.ndarray, n_contexts: int) -> NgramOrder:
    """Estimate discounts, and the weights that pass what they take to the next lower order.

    :param keys: ``(n_ngrams,)``.
    :param counts: ``(n_ngrams,)``.
    :param contexts: ``(n_ngrams,)``, number of the context of each n-gram.
    :param n_contexts: number of contexts, those that nothing follows included.
    :return: the order.
    """
    discounts = discounts_from(counts)
    totals = np.bincount(contexts, weights=counts, minlength=n_contexts)
    taken = np.bincount(contexts, weights=discounts[np.minimum(counts, 3)], minlength=n_contexts)
    backoffs = np.divide(taken, totals, out=np.ones(n_contexts), where=totals > 0)
    return NgramOrder(keys, counts.astype(np.int32), totals, backoffs, discounts)


def _look_up(order: NgramOrder, keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Rows and counts of n-grams.

    :param order: where to look.
    :param keys: ``(n_keys,)``, int64.
    :return: rows, -1 where there is none, and counts, 0 there: ``(n_keys,)`` each.
    """
    by_key = np.argsort(keys)  # neighbours are then looked up where the processor's cache still has them
    rows = np.empty(len(keys), dtype=np.int64)
    rows[by_key] = np.searchsorted(order.keys, keys[by_key])
    rows = np.minimum(rows, len(order.keys) - 1)
    known = order.keys[rows] == keys
    return np.where(known, rows, -1), np.where(known, order.counts[rows], 0)
