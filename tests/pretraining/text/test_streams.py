"""pretraining/text/streams.py: what rows read and predict; how batches follow one another; boundaries; resets."""

from __future__ import annotations

from dataclasses import replace
from typing import List

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.pretraining.text.streams import BOUNDARY, END, UNKNOWN, Stream

FORWARD, BACKWARD = 0, 1
sentences = st.lists(st.lists(st.integers(3, 12), min_size=1, max_size=6), min_size=1, max_size=10)
seeds = st.none() | st.integers(0, 5)
resets = st.sampled_from([0.0, 0.3, 1.0])
no_resets = st.just(0.0)
any_vocabulary = st.integers(3, 15)


def text(found: List[List[int]]) -> np.ndarray:
    tokens = np.array([part for words in found for part in (0, *words)] + [0], dtype=np.uint32)
    tokens.setflags(write=False)  # as a file that is mapped into memory
    return tokens


@st.composite
def streams(draw, n_vocab=any_vocabulary, reset=no_resets):
    tokens = text(draw(sentences))
    n_rows = draw(st.integers(1, min(4, len(tokens) - 1)))
    n_steps = draw(st.integers(1, (len(tokens) - 1) // n_rows))
    return Stream(tokens, n_rows, n_steps, draw(n_vocab), draw(reset), draw(seeds))


def epoch_of(stream, epoch=0):
    """``(2, n_rows, n_read)`` inputs and targets of one epoch: each row's batches one after another."""
    steps = range(epoch * stream.steps_per_epoch, (epoch + 1) * stream.steps_per_epoch)
    batches = [stream.batch(step) for step in steps]
    return tuple(
        np.concatenate([getattr(batch, name) for batch in batches], axis=1).transpose(0, 2, 1)
        for name in ("inputs", "targets")
    )


def test_a_text_in_one_row():
    stream = Stream(text([[5, 6, 9], [7]]), 1, 6, 9)
    batch = stream.batch(0)
    assert batch.inputs[FORWARD, :, 0].tolist() == [BOUNDARY, 5, 6, 9, BOUNDARY, 7]
    assert batch.targets[FORWARD, :, 0].tolist() == [5, 6, UNKNOWN, END, 7, END]
    assert batch.inputs[BACKWARD, :, 0].tolist() == [END, 7, END, 9, 6, 5]
    assert batch.targets[BACKWARD, :, 0].tolist() == [7, BOUNDARY, UNKNOWN, 6, 5, BOUNDARY]
    assert not batch.fresh.any()
    assert batch.first


def test_rows_read_stretches_side_by_side():
    stream = Stream(text([[3, 4, 5, 6, 7, 8, 9]]), 2, 2, 20)
    assert (stream.n_tokens, stream.steps_per_epoch, stream.tokens_per_step) == (8, 2, 4)
    first, second, again = map(stream.batch, (0, 1, 2))
    assert first.inputs.tolist() == [[[0, 6], [3, 7]], [[6, 1], [5, 9]]]
    assert second.inputs.tolist() == [[[4, 8], [5, 9]], [[4, 8], [3, 7]]]
    assert second.targets.tolist() == [[[5, 9], [6, 1]], [[3, 7], [0, 6]]]
    assert [first.first, second.first, again.first] == [True, False, True]
    assert np.array_equal(again.inputs, first.inputs)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 7), seeds, st.integers(0, 2))
def test_every_token_is_read_once_in_an_epoch(n_words, n_rows, n_steps, seed, epoch):
    # Each token has an id of its own, so that an id tells where in the text it stands: n_tokens of the n_words words.
    tokens = text([list(range(3, 3 + n_words))])
    stream = Stream(tokens, n_rows, n_steps, 100, seed=seed)
    assume(stream.tokens_per_step <= stream.n_tokens)
    inputs, _ = epoch_of(stream, epoch)
    n_read = stream.steps_per_epoch * stream.tokens_per_step
    assert stream.n_tokens - stream.tokens_per_step < n_read <= stream.n_tokens
    for direction, sign in ((FORWARD, 1), (BACKWARD, -1)):
        places = np.where(inputs[direction] < 3, 0, inputs[direction] - 2)  # (n_rows, n_read)
        assert len(np.unique(places)) == places.size == n_read
        assert (np.diff(places, axis=1) % stream.n_tokens == sign % stream.n_tokens).all()
        if seed is None:
            assert places[0, 0] == (0 if direction == FORWARD else stream.n_tokens // n_rows % stream.n_tokens)


@settings(deadline=None)
@given(streams(), st.integers(0, 2))
def test_targets_are_the_next_inputs(stream, epoch):
    inputs, targets = epoch_of(stream, epoch)
    for direction, begin, end in ((FORWARD, BOUNDARY, END), (BACKWARD, END, BOUNDARY)):
        assert not (inputs[direction] == end).any()
        assert not (targets[direction] == begin).any()
        following = inputs[direction, :, 1:]
        expected = np.where(following == begin, end, np.where(following >= stream.n_vocab, UNKNOWN, following))
        assert np.array_equal(targets[direction, :, :-1], expected)


@settings(deadline=None)
@given(streams())
def test_both_directions_read_the_text_itself(stream):
    ring = stream.tokens[:-1].astype(np.int64)
    inputs, _ = epoch_of(stream)
    twice = np.concatenate([ring, ring])
    n_read = inputs.shape[2]
    windows = {tuple(twice[start : start + n_read]) for start in range(len(ring))}
    for row in range(stream.n_rows):
        assert tuple(inputs[FORWARD, row]) in windows
        assert tuple(np.where(inputs[BACKWARD, row] == END, BOUNDARY, inputs[BACKWARD, row])[::-1]) in windows


@settings(deadline=None)
@given(streams(n_vocab=st.just(6)))
def test_other_words_are_unknown_as_targets_alone(stream):
    inputs, targets = epoch_of(stream)
    assert targets.max() < 6
    assert set(inputs.ravel()) <= set(stream.tokens.tolist()) | {END}
    assert not (inputs == UNKNOWN).any()
    all_inputs, all_targets = epoch_of(replace(stream, n_vocab=100))
    assert np.array_equal(inputs, all_inputs)
    assert np.array_equal(targets, np.where(all_targets < 6, all_targets, UNKNOWN))


@settings(deadline=None)
@given(streams(reset=resets), st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_a_batch_is_a_function_of_its_number(stream, steps):
    found = {step: stream.batch(step) for step in steps}
    again = replace(stream)
    for step in reversed(steps):
        batch = again.batch(step)
        for name in ("inputs", "targets", "fresh"):
            assert np.array_equal(getattr(batch, name), getattr(found[step], name))
        assert batch.first == found[step].first == (step % stream.steps_per_epoch == 0)


@settings(deadline=None)
@given(streams(reset=resets))
def test_states_go_back_to_zeros_at_boundaries_alone(stream):
    for step in range(stream.steps_per_epoch):
        batch = stream.batch(step)
        bounds = np.stack([batch.inputs[FORWARD] == BOUNDARY, batch.inputs[BACKWARD] == END])
        assert batch.fresh.shape == batch.inputs.shape == batch.targets.shape == (2, stream.n_steps, stream.n_rows)
        assert batch.inputs.dtype == batch.targets.dtype == np.int64
        assert not (batch.fresh & ~bounds).any()
        if stream.reset in (0.0, 1.0):
            assert np.array_equal(batch.fresh, bounds & bool(stream.reset))


@pytest.mark.parametrize("reset", [0.1, 0.5, 0.9])
def test_the_asked_share_of_sentences_starts_anew(reset):
    stream = Stream(text([[3, 4]] * 4000), 4, 100, 10, reset, seed=1)
    fresh, n_bounds = np.zeros(2), np.zeros(2)
    for step in range(stream.steps_per_epoch):
        batch = stream.batch(step)
        fresh += batch.fresh.sum(axis=(1, 2))
        n_bounds += (batch.inputs < 3).sum(axis=(1, 2))
    np.testing.assert_allclose(fresh / n_bounds, reset, atol=0.03)


def test_resets_differ_between_batches_directions_and_seeds():
    stream = Stream(text([[3]] * 400), 2, 100, 10, 0.5, seed=1)
    found = [stream.batch(0).fresh, stream.batch(1).fresh, replace(stream, seed=2).batch(0).fresh]
    assert not any(np.array_equal(one, other) for one, other in zip(found, [*found[1:], found[0]]))
    assert not np.array_equal(found[0][FORWARD], found[0][BACKWARD])


def test_rows_start_elsewhere_in_each_epoch():
    stream = Stream(text([list(range(3, 300))]), 3, 5, 400, seed=3)
    starts = [stream.batch(epoch * stream.steps_per_epoch).inputs[FORWARD, 0].tolist() for epoch in range(4)]
    assert len({tuple(found) for found in starts}) == 4
    assert replace(stream, seed=4).batch(0).inputs[FORWARD, 0].tolist() != starts[0]
    still = replace(stream, seed=None)
    assert {still.batch(epoch * still.steps_per_epoch).inputs[FORWARD, 0, 0] for epoch in range(4)} == {0}


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(("n_rows", "n_steps"), [(1, 9), (4, 3), (9, 2), (3, 1)])
def test_texts_shorter_than_a_batch_are_read_again_within_it(n_rows, n_steps, seed):
    stream = Stream(text([[3], [4]]), n_rows, n_steps, 10, seed=seed)
    assert stream.steps_per_epoch == 1
    for step in (0, 1):
        batch = stream.batch(step)
        assert batch.first
        assert batch.inputs.shape == (2, n_steps, n_rows)
        for direction, begin, end in ((FORWARD, BOUNDARY, END), (BACKWARD, END, BOUNDARY)):
            for found, following in zip(batch.inputs[direction].ravel(), batch.targets[direction].ravel()):
                assert following == end if found >= 3 else following in (3, 4)
                assert found != end
                assert following != begin


def test_one_word():
    batch = Stream(text([[3]]), 1, 2, 10).batch(5)
    assert batch.inputs[:, :, 0].tolist() == [[BOUNDARY, 3], [END, 3]]
    assert batch.targets[:, :, 0].tolist() == [[3, END], [3, BOUNDARY]]


def test_nothing_to_read_has_no_tokens():
    assert Stream(np.zeros(0, dtype=np.uint32), 1, 1, 10).n_tokens == 0
    assert Stream(text([]), 1, 1, 10).n_tokens == 0
