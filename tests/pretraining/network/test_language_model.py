"""pretraining/network/language_model.py: training reads as inference does; dropout; what is shared, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spacy_ctx_embed.networks.elmo.alphabets import CodePoints
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining.build import make_softmax
from spacy_ctx_embed.pretraining.network.language_model import Direction, LanguageModel, parameters_of
from spacy_ctx_embed.pretraining.text.streams import Stream
from tests.pretraining.small_models import N_VOCAB, WORDS, plain_lstm, small_model, small_settings, text_of

SENTENCE = "the unbelievable river bank of naïve 🙂 money flows"
NETWORKS = {
    "two_layers": {},
    "one_layer": {"lstm__n_layers": 1},
    "three_layers": {"lstm__n_layers": 3},
    "no_skip": {"lstm__use_skip_connections": False},
    "no_skip_three_layers": {"lstm__use_skip_connections": False, "lstm__n_layers": 3},
    "no_clips": {"lstm__cell_clip": None, "lstm__proj_clip": None},
    "zero_clips": {"lstm__cell_clip": 0, "lstm__proj_clip": 0},
    "as_many_cells_as_outputs": {"lstm__dim": 6},
}


def reading(model, text, n_rows=1, n_steps=None):
    """Both directions of the first batch of a text, and the vectors of all words."""
    batch = Stream(text, n_rows, n_steps or len(text) - 1, N_VOCAB).batch(0)
    directions = [
        Direction(
            index,
            torch.from_numpy(batch.inputs[index]),
            torch.from_numpy(batch.targets[index].ravel()),
            None,
            model.zero_state(index, n_rows),
        )
        for index in (0, 1)
    ]
    return directions, model.spell(WORDS)


# Sums over cells and steps are rounded in another order by other processors: by AVX2 they differ up to 8 times this,
# by AVX-512 without clips, where cells grow, 10 times.
ROUNDING = 16 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("network", list(NETWORKS))
def test_training_reads_a_sentence_as_the_encoder_does(network):
    model, text = small_model(**NETWORKS[network]), text_of(SENTENCE)
    directions, vectors = reading(model, text)
    found = [model.read(part, vectors, model.leaves(part.index), None)[0][:, 0] for part in directions]
    words = ["<S>", *SENTENCE.split(), "</S>"]
    with torch.inference_mode():
        layers, _ = model.elmo.bilm(model.elmo.encode_words(words), [len(words)])
    forward, backward = layers[-1].chunk(2, dim=1)
    # One reads <S> w1 … wn, the other </S> wn … w1: each stops before the last boundary, which nothing follows.
    torch.testing.assert_close(found[0].detach(), forward[:-1].clone(), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(found[1].detach(), backward[1:].flip(0).clone(), atol=ROUNDING, rtol=0)
    assert float(found[0].detach().std()) > 0.02
    for part, spelt in zip(directions, (words[1:], words[-2::-1])):
        assert [WORDS[i] for i in part.targets] == [word if word in WORDS[:N_VOCAB] else "<UNK>" for word in spelt]


def test_clips_are_reached_by_these_tests():
    model = small_model()
    directions, vectors = reading(model, text_of(SENTENCE))
    for part in directions:
        state = model.read(part, vectors, model.leaves(part.index), None)[1]
        assert any(float(c.abs().max()) == pytest.approx(0.15) for _, c in state)
        assert any(float(h.abs().max()) == pytest.approx(0.1) for h, _ in state)


def test_rows_do_not_see_one_another():
    model, text = small_model(), text_of("the river bank", "money flows of")
    directions, vectors = reading(model, text, n_rows=2, n_steps=4)
    for part in directions:
        together, _ = model.read(part, vectors, model.leaves(part.index), None)
        for row in (0, 1):
            state = [(h[:1], c[:1]) for h, c in part.state]
            alone = replace(part, places=part.places[:, row : row + 1], state=state)
            torch.testing.assert_close(
                model.read(alone, vectors, model.leaves(part.index), None)[0][:, 0], together[:, row]
            )


def test_no_word_is_predicted_from_itself_or_from_what_comes_after():
    model, words = small_model(), SENTENCE.split()
    losses = []
    for changed in (words, [*words[:4], "a", *words[5:]]):  # the fifth word, the sixth to be read
        directions, vectors = reading(model, text_of(" ".join(changed)))
        parts = [part.places[:, 0] for part in directions]
        losses.append([model.losses(part, vectors, model.leaves(part.index))[0] for part in directions])
    (forward, backward), (other_forward, other_backward) = losses
    assert [WORDS[i] for i in parts[0][5:6]] == ["a"]
    assert [WORDS[i] for i in parts[1][5:6]] == ["a"]
    assert torch.equal(forward[:4], other_forward[:4])
    assert torch.equal(backward[:4], other_backward[:4])
    assert not torch.isclose(forward[4:], other_forward[4:]).any()
    assert not torch.isclose(backward[4:], other_backward[4:]).any()


@pytest.mark.parametrize("kind", ["full", "adaptive", "sampled"])
def test_the_loss_is_the_mean_of_the_losses(kind):
    changes = {"softmax__kind": kind, "softmax__cutoffs": [4, 8], "softmax__n_samples": N_VOCAB}
    model = small_model(**changes)
    directions, vectors = reading(model, text_of(SENTENCE))
    for part in directions:
        leaves = model.leaves(part.index)
        loss, state = model.loss(part, vectors, leaves, np.random.default_rng(0))
        losses, again = model.losses(part, vectors, leaves)
        torch.testing.assert_close(loss, losses.mean())
        assert losses.shape == (len(part.targets),)
        for one, other in zip(state, again):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.5, 0.9])
def test_dropout_drops_its_share_and_scales_the_rest(dropout):
    model = small_model(dropout=dropout)
    x = torch.ones((100, 40, 10))
    found = model._drop(x, np.random.default_rng(0))
    kept = found != 0
    assert float(kept.float().mean()) == pytest.approx(1 - dropout, abs=0.01)
    assert float(found[kept].min()) == float(found.max()) == pytest.approx(1 / (1 - dropout), rel=1e-4)
    assert float(found.mean()) == pytest.approx(1, abs=0.05)
    by_step, by_row = kept.float().mean(dim=(1, 2)), kept.float().mean(dim=(0, 2))
    assert float(by_step.std()) < 0.05  # every step and row is drawn for itself
    assert float(by_row.std()) < 0.05


def test_nothing_is_dropped_where_nothing_should_be():
    x = torch.ones(3)
    assert small_model(dropout=0.5)._drop(x, None) is x
    assert small_model(dropout=0.0)._drop(x, np.random.default_rng(0)) is x


@pytest.mark.parametrize("skip", [True, False], ids=["skip", "no_skip"])
def test_dropout_falls_on_the_inputs_of_layers_and_on_the_top(skip):
    model = small_model(dropout=0.4, lstm__use_skip_connections=skip, lstm__n_layers=3)
    directions, vectors = reading(model, text_of(SENTENCE))
    for part in directions:
        leaves = model.leaves(part.index)
        found, _ = model.read(part, vectors, leaves, np.random.default_rng(5))
        rng = np.random.default_rng(5)
        x = vectors[part.places]
        for k in range(3):
            x = model._drop(x, rng)
            y, _, _ = plain_lstm(x, *leaves[3 * k : 3 * k + 3], *part.state[k], None, (0.15, 0.1))
            x = x + y if skip and k else y
        torch.testing.assert_close(found, model._drop(x, rng), atol=1e-6, rtol=1e-5)


def test_dropout_is_a_function_of_the_generator():
    model = small_model(dropout=0.5)
    directions, vectors = reading(model, text_of(SENTENCE))

    def run(seed):
        return model.loss(directions[0], vectors, model.leaves(0), np.random.default_rng(seed))[0].item()

    assert run(1) == run(1) != run(2)


def test_losses_drop_nothing():
    directions, vectors = reading(small_model(), text_of(SENTENCE))
    found = [small_model(dropout=share).losses(directions[0], vectors, small_model().leaves(0)) for share in (0.0, 0.5)]
    assert torch.equal(found[0][0], found[1][0])


def test_states_carry_on():
    model, text = small_model(), text_of("the river bank of money", "a bank flows")
    whole, vectors = reading(model, text)
    stream = Stream(text, 1, 5, N_VOCAB)
    for part in whole:
        leaves, state, parts = model.leaves(part.index), part.state, []
        for step in (0, 1):
            places = torch.from_numpy(stream.batch(step).inputs[part.index])
            top, state = model.read(replace(part, places=places, state=state), vectors, leaves, None)
            assert not any(tensor.requires_grad for pair in state for tensor in pair)
            parts.append(top)
        torch.testing.assert_close(torch.cat(parts), model.read(part, vectors, leaves, None)[0])


def test_leaves_are_the_parameters_of_one_direction():
    model = small_model()
    layers = list(model.elmo.bilm.layers)
    for index in (0, 1):
        leaves = model.leaves(index)
        expected = [part[index] for layer in layers for part in parameters_of(layer)]
        assert len(leaves) == len(expected) == 6
        for leaf, part in zip(leaves, expected):
            assert leaf.is_leaf
            assert leaf.requires_grad
            assert leaf.data_ptr() == part.data_ptr()
            assert torch.equal(leaf, part)
    assert parameters_of(layers[0]) == [layers[0].weight, layers[0].bias, layers[0].projection]


def test_the_beginning_of_a_text_is_zeros():
    state = small_model(lstm__n_layers=3).zero_state(1, 5)
    assert [(h.shape, c.shape) for h, c in state] == [((5, 6), (5, 8))] * 3
    assert not any(tensor.any() for pair in state for tensor in pair)


def test_bfloat16_stays_near_float32():
    text = text_of(SENTENCE, SENTENCE)
    models = [small_model(precision=kind, seed=1, **NETWORKS["no_clips"]) for kind in ("float32", "bfloat16")]
    results = []
    for model in models:
        directions, vectors = reading(model, text)
        assert vectors.dtype == torch.float32
        leaves = model.leaves(0)
        loss, _ = model.loss(directions[0], vectors, leaves, np.random.default_rng(0))
        shared = list(model.softmax.parameters())
        results.append([loss.detach(), vectors.detach(), *torch.autograd.grad(loss, [vectors, *leaves, *shared])])
    for found, expected in zip(results[1], results[0], strict=True):
        assert found.dtype == torch.float32
        assert float((found - expected).norm() / expected.norm()) < 0.05
    assert results[0][0] != results[1][0]


def test_words_are_spelt_as_in_inference():
    model = small_model()
    assert torch.equal(model.spell(WORDS), model.elmo.encode_words(WORDS))
    alone = torch.cat([model.spell([word]) for word in WORDS])
    torch.testing.assert_close(model.spell(WORDS), alone, atol=1e-6, rtol=1e-5)


def test_boundaries_are_those_of_the_models_alphabet():
    # Models of code points have other words for them; <S> would be spelt as three characters.
    rows = {symbol: i for i, symbol in enumerate([*CodePoints.SYMBOLS, *"<S>/ab"])}
    settings = small_settings()
    config = settings.network()
    char_cnn = replace(config.char_cnn, n_chars=len(rows), pad_char=rows["<pad>"])
    elmo = ElmoModule(replace(config, char_cnn=char_cnn, alphabet=CodePoints(rows)))
    model = LanguageModel(elmo, make_softmax(settings.softmax, 6, 4), 0.0, torch.float32)
    assert torch.equal(model.spell(["<S>", "ab", "</S>"]), elmo.encode_words(["<bos>", "ab", "<eos>"]))
