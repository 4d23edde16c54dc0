"""pretraining/evaluation.py: perplexity of models and texts of which it is known."""

from __future__ import annotations

import math
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from spacy_ctx_embed.pretraining import evaluation
from spacy_ctx_embed.pretraining.evaluation import Perplexity, evaluate
from spacy_ctx_embed.pretraining.step import Stepper
from spacy_ctx_embed.pretraining.text.folder import BOUNDARY
from tests.pretraining.small_models import N_VOCAB, WORDS, random_text, small_model, text_of


def perplexity(model, text, *args, **kwargs):
    with closing(Stepper(model, WORDS, 2, 0)) as stepper:
        return evaluate(stepper, text, N_VOCAB, *args, **kwargs)


def guessing(probabilities):
    """A model that predicts the same words everywhere."""
    model = small_model()
    with torch.no_grad():
        model.softmax.weight.zero_()
        model.softmax.bias.copy_(torch.tensor(probabilities).log())
    return model


@pytest.mark.parametrize("n_tokens", [2, 31, 32, 33, 100, 3000])
def test_a_uniform_model_has_the_size_of_its_vocabulary(n_tokens):
    found = perplexity(guessing([1 / N_VOCAB] * N_VOCAB), random_text(n_tokens))
    assert found.forward == pytest.approx(N_VOCAB, rel=1e-6)
    assert found.backward == pytest.approx(N_VOCAB, rel=1e-6)
    assert found.mean == pytest.approx(N_VOCAB, rel=1e-6)
    assert found.loss == pytest.approx(math.log(N_VOCAB), rel=1e-6)


def test_words_and_sentence_ends_count():
    shares = [0.1, 0.2, 0.05, 0.4] + [0.25 / (N_VOCAB - 4)] * (N_VOCAB - 4)  # <S>, </S>, <UNK>, "the" and the rest
    text = text_of("the flows the", "the")  # "flows" is <UNK>
    found = perplexity(guessing(shares), text)
    assert found.n_tokens == 6
    assert math.log(found.forward) == pytest.approx(-(3 * math.log(0.4) + math.log(0.05) + 2 * math.log(0.2)) / 6)
    assert math.log(found.backward) == pytest.approx(-(3 * math.log(0.4) + math.log(0.05) + 2 * math.log(0.1)) / 6)


def test_the_mean_of_both_directions_is_geometric():
    found = Perplexity(4.0, 9.0, 10)
    assert found.mean == pytest.approx(6)
    assert found.loss == pytest.approx(math.log(6))


@pytest.mark.parametrize("n_tokens", [2, 20, 32, 64, 992, 2048])
def test_texts_of_whole_batches_are_read_to_the_end(n_tokens):
    assert perplexity(small_model(), random_text(n_tokens)).n_tokens == n_tokens


@pytest.mark.parametrize("n_tokens", [33, 63, 100, 2047, 2049, 5000])
def test_a_rest_smaller_than_a_batch_is_left_out(n_tokens):
    found = perplexity(guessing([1 / N_VOCAB] * N_VOCAB), random_text(n_tokens)).n_tokens
    assert max(n_tokens // 2, n_tokens - 2048) < found <= n_tokens


@pytest.mark.parametrize("max_tokens", [2, 10, 32, 40])
def test_max_tokens_of_one_row_reads_the_beginning_to_the_end_of_a_sentence(max_tokens):
    text, model = random_text(400), small_model()
    ends = np.flatnonzero(text == BOUNDARY)[1:]
    end = ends[ends <= max_tokens][-1] if ends[0] <= max_tokens else ends[0]
    found = perplexity(model, text, max_tokens)
    assert found == perplexity(model, text[: end + 1])
    assert found != perplexity(model, text)


@example(n_tokens=389, share=0.125, boundaries=0.01)
@given(n_tokens=st.integers(200, 6000), share=st.floats(0.05, 0.95), boundaries=st.sampled_from([0.01, 0.1, 0.5]))
def test_max_tokens_reads_sentences_of_all_parts(n_tokens, share, boundaries):
    # Words are numbered by their places: what is read tells where it stood.
    text = random_text(n_tokens, boundaries=boundaries).astype(np.uint32)
    text = text[np.append(True, (text[1:] != BOUNDARY) | (text[:-1] != BOUNDARY))]  # sentences have words
    n_tokens = len(text) - 1
    text[text != BOUNDARY] = np.flatnonzero(text != BOUNDARY)
    longest = int(np.diff(np.flatnonzero(text == BOUNDARY)).max())
    max_tokens = max(int(n_tokens * share), 1)
    read = evaluation._from_all_parts(text, max_tokens)
    found = read[read != BOUNDARY]
    n_parts = max(min(evaluation.N_ROWS, max_tokens // evaluation.N_STEPS), 1)
    assert (read[0], read[-1]) == (BOUNDARY, BOUNDARY)
    assert list(found) == sorted(set(found))
    assert all(text[i + 1] in (BOUNDARY, i + 1) for i in found)
    sentences = {tuple(part) for part in np.split(text, np.flatnonzero(text == BOUNDARY)) if len(part)}
    assert all(tuple(part) in sentences for part in np.split(read, np.flatnonzero(read == BOUNDARY)) if len(part))
    assert max_tokens - n_parts * longest <= len(read) - 1 <= max(max_tokens, n_parts * longest)
    assert found[-1] >= n_tokens - n_tokens // n_parts - longest


@pytest.mark.parametrize("max_tokens", [0, 400, 5000])
def test_max_tokens_of_zero_or_of_more_than_there_are_reads_all(max_tokens):
    text, model = random_text(400), small_model()
    assert perplexity(model, text, max_tokens) == perplexity(model, text)


def test_the_state_is_carried_from_batch_to_batch(monkeypatch):
    text, model = random_text(24), small_model()
    whole = perplexity(model, text)
    monkeypatch.setattr(evaluation, "N_ROWS", 1)
    for n_steps in (1, 4, 6, 12):
        monkeypatch.setattr(evaluation, "N_STEPS", n_steps)
        found = perplexity(model, text)
        assert found.n_tokens == 24
        assert (found.forward, found.backward) == pytest.approx((whole.forward, whole.backward), rel=1e-6)


@pytest.mark.parametrize("n_steps", [3, 9, 18])
def test_with_a_reset_at_each_start_sentences_are_read_alone(n_steps, monkeypatch):
    sentences = ["the river bank", "money", "a bank of naïve money flows", "the 🙂 unbelievable river"]
    model = small_model()
    alone = [perplexity(model, text_of(sentence)) for sentence in sentences]
    weights = [len(sentence.split()) + 1 for sentence in sentences]
    assert [found.n_tokens for found in alone] == weights
    monkeypatch.setattr(evaluation, "N_ROWS", 1)
    monkeypatch.setattr(evaluation, "N_STEPS", n_steps)
    found = perplexity(model, text_of(*sentences), reset=1)
    assert found.n_tokens == 18
    for direction in ("forward", "backward"):
        losses = [math.log(getattr(part, direction)) for part in alone]
        assert math.log(getattr(found, direction)) == pytest.approx(np.average(losses, weights=weights), rel=1e-6)
    assert perplexity(model, text_of(*sentences)) != found


def test_a_figure_can_be_repeated():
    text, model = random_text(300), small_model(dropout=0.5)
    assert perplexity(model, text, reset=0.5) == perplexity(model, text, reset=0.5)
