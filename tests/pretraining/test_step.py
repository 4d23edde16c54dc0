"""pretraining/step.py: gradients of a step against one graph over the whole loss; threads; repetition; evaluation."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

import numpy as np
import pytest
import torch

from spacy_ctx_embed.pretraining.network.workspace import Workspace
from spacy_ctx_embed.pretraining.step import Stepper
from spacy_ctx_embed.pretraining.text.streams import Stream
from tests.pretraining.small_models import N_VOCAB, WORDS, plain_lstm, random_text, small_model, text_of

SEED = 3
MODELS = {
    "two_layers": {},
    "one_layer": {"lstm__n_layers": 1},
    "three_layers_no_skip": {"lstm__n_layers": 3, "lstm__use_skip_connections": False},
    "no_clips": {"lstm__cell_clip": None, "lstm__proj_clip": None},
    "tanh_no_highway": {"char_cnn__activation": "tanh", "char_cnn__n_highway": 0},
    "adaptive": {"softmax__kind": "adaptive", "softmax__cutoffs": [4, 7]},
    "sampled": {"softmax__kind": "sampled", "softmax__n_samples": 5},
    "dropout": {"dropout": 0.3},
}


def stream_of(n_tokens=60, n_rows=3, n_steps=5, reset=0.5):
    return Stream(random_text(n_tokens), n_rows, n_steps, N_VOCAB, reset, seed=1)


def train(model, stream, n_threads, n_steps=2, rate=0.1):
    """Losses, states and gradients of some steps; after each, the weights go down their gradient."""
    found = []
    with closing(Stepper(model, WORDS, n_threads, SEED)) as stepper:
        states = stepper.zero_states(stream.n_rows)
        for step in range(n_steps):
            losses, states = stepper.train(stream.batch(step), states, step)
            grads = {name: part.grad.clone() for name, part in model.named_parameters()}
            found.append((losses, states, grads))
            with torch.no_grad():
                for part in model.parameters():
                    part.sub_(rate * part.grad)
    return found


def plain_step(model, batch, states, step):
    """The same by one graph over all words and both directions."""
    vectors, config = model.elmo.encode_words(WORDS), model.elmo.config.bilm
    n_steps, total, means, after = batch.inputs.shape[1], 0.0, [], []
    for index in (0, 1):
        rng = np.random.default_rng([SEED, 2, step, index])
        x, state = vectors[torch.from_numpy(batch.inputs[index])], []
        fresh = torch.from_numpy(~batch.fresh[index]).float()[:, :, None]
        for k, layer in enumerate(model.elmo.bilm.layers):
            x = model._drop(x, rng)
            weights = (layer.weight[index], layer.bias[index, 0], layer.projection[index])
            y, *last = plain_lstm(x, *weights, *states[index][k], fresh, (config.cell_clip, config.proj_clip))
            state.append(tuple(part.detach() for part in last))
            x = x + y if k and config.use_skip_connections else y
        x, targets = model._drop(x, rng).flatten(0, 1), torch.from_numpy(batch.targets[index].ravel())
        if hasattr(model.softmax, "n_samples"):  # no other way to its loss; it is plain torch, and has tests of its own
            loss = model.softmax(x, targets, rng, defaultdict(Workspace)) / len(targets)
        else:
            loss = model.softmax.losses(x, targets).mean()
        total = total + 0.5 * n_steps * loss
        means.append(loss.item())
        after.append(state)
    named = dict(model.named_parameters())
    return means, after, dict(zip(named, torch.autograd.grad(total, list(named.values()))))


def assert_same(found, expected, **tolerance):
    for (losses, states, grads), (other_losses, other_states, other_grads) in zip(found, expected, strict=True):
        assert losses == pytest.approx(other_losses, abs=0 if tolerance.get("atol") == 0 else 1e-5)
        for one, other in zip(_flat(states), _flat(other_states), strict=True):
            torch.testing.assert_close(one, other, **tolerance)
        assert list(grads) == list(other_grads)
        for name, grad in grads.items():
            torch.testing.assert_close(
                grad, other_grads[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance
            )


def _flat(states):
    return [part for direction in states for pair in direction for part in pair]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("model", list(MODELS))
def test_gradients_equal_one_graph_over_both_directions(model, n_threads):
    ours, plain, stream = small_model(**MODELS[model]), small_model(**MODELS[model]), stream_of()
    states, expected = [plain.zero_state(index, stream.n_rows) for index in (0, 1)], []
    for step in (0, 1):
        expected.append(plain_step(plain, stream.batch(step), states, step))
        states = expected[-1][1]
        with torch.no_grad():
            for name, part in plain.named_parameters():
                part.sub_(0.1 * expected[-1][2][name])
    found = train(ours, stream, n_threads)
    assert_same(found, expected, atol=2e-6, rtol=1e-4)
    assert all(bool(grad.any()) for _, _, grads in found for grad in grads.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("model", ["two_layers", "adaptive", "sampled"])
def test_a_run_can_be_repeated_to_the_last_bit(model, n_threads, precision):
    changes = {**MODELS[model], "dropout": 0.2, "precision": precision}
    first, *others = (train(small_model(**changes), stream_of(), n_threads, n_steps=4) for _ in range(4))
    for again in others:
        assert_same(first, again, atol=0, rtol=0)


def test_the_number_of_threads_changes_nothing_but_rounding():
    found = [train(small_model(dropout=0.2), stream_of(), n_threads) for n_threads in (1, 2)]
    assert_same(*found, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", ["no_clips", "adaptive", "sampled"])
def test_bfloat16_stays_near_float32_with_two_threads(kind):
    # Both threads cast the same weights: each must get its own gradient of them.
    changes = {**MODELS[kind], "lstm__cell_clip": None, "lstm__proj_clip": None, "seed": 1}
    models = [small_model(precision=precision, **changes) for precision in ("bfloat16", "float32")]
    (losses, _, grads), (other_losses, _, other_grads) = (train(model, stream_of(), 2, 1)[0] for model in models)
    assert losses == pytest.approx(other_losses, abs=0.02)
    assert losses != other_losses
    for name, grad in grads.items():
        assert grad.dtype == torch.float32
        assert float((grad - other_grads[name]).norm() / other_grads[name].norm()) < 0.1, name


@pytest.mark.parametrize("kind", ["two_layers", "adaptive", "sampled"])
def test_a_step_is_a_function_of_its_number_and_of_the_seed(kind):
    model, batch = small_model(**{**MODELS[kind], "dropout": 0.2}), stream_of().batch(0)

    def losses(seed, step):
        with closing(Stepper(model, WORDS, 2, seed)) as stepper:
            found = [stepper.train(batch, stepper.zero_states(3), number)[0] for number in (step, step + 1, step)]
            assert found[0] == found[2] != found[1]
            return found[0]

    assert losses(0, 5) == losses(0, 5)
    assert losses(0, 5) != losses(1, 5)


def test_gradients_do_not_add_up_over_steps():
    model, stream = small_model(), stream_of()
    with closing(Stepper(model, WORDS, 2, SEED)) as stepper:
        states, grads = stepper.zero_states(3), []
        for _ in range(2):
            stepper.train(stream.batch(0), states, 0)
            grads.append([part.grad.clone() for part in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*grads))


def test_states_that_are_given_are_not_written_to():
    model, stream = small_model(), stream_of(reset=1.0)
    with closing(Stepper(model, WORDS, 2, SEED)) as stepper:
        _, states = stepper.train(stream.batch(0), stepper.zero_states(3), 0)
        kept = [part.clone() for part in _flat(states)]
        stepper.train(stream.batch(1), states, 1)
        stepper.evaluate(stream.batch(2), states)
    assert all(torch.equal(one, other) for one, other in zip(_flat(states), kept))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("kind", ["full", "adaptive"])
def test_evaluation_gives_the_losses_of_training_without_dropout(kind, n_threads):
    model, stream = small_model(softmax__kind=kind, softmax__cutoffs=[4, 7]), stream_of()
    with closing(Stepper(model, WORDS, n_threads, SEED)) as stepper:
        states = other_states = stepper.zero_states(3)
        for step in range(3):
            losses, states = stepper.train(stream.batch(step), states, step)
            found, other_states = stepper.evaluate(stream.batch(step), other_states)
            assert [part.shape for part in found] == [(15,), (15,)]
            assert not any(part.requires_grad for part in found)
            assert [part.mean().item() for part in found] == pytest.approx(losses, abs=1e-6)
            for one, other in zip(_flat(states), _flat(other_states)):
                torch.testing.assert_close(one, other)


def test_evaluation_drops_nothing_and_samples_nothing():
    changes = {"softmax__kind": "sampled", "softmax__n_samples": 2}
    found = []
    for model in (small_model(dropout=0.5, **changes), small_model()):
        with closing(Stepper(model, WORDS, 2, SEED)) as stepper:
            found.append(stepper.evaluate(stream_of().batch(0), stepper.zero_states(3))[0])
    assert all(torch.equal(one, other) for one, other in zip(*found))


def test_evaluation_leaves_the_gradients_of_the_step_before():
    model, stream = small_model(), stream_of()
    with closing(Stepper(model, WORDS, 2, SEED)) as stepper:
        _, states = stepper.train(stream.batch(0), stepper.zero_states(3), 0)
        before = [part.grad.clone() for part in model.parameters()]
        stepper.evaluate(stream.batch(1), states)
    assert all(torch.equal(part.grad, grad) for part, grad in zip(model.parameters(), before))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_batch_of_one_distinct_word(n_threads):
    # In the middle of a sentence there need be no boundary, and so fewer words than threads.
    model, stream = small_model(), Stream(text_of("the " * 12), 1, 4, N_VOCAB)
    batch = stream.batch(1)
    assert len(np.unique(batch.inputs)) == 1
    expected = plain_step(model, batch, [model.zero_state(index, 1) for index in (0, 1)], 0)
    with closing(Stepper(model, WORDS, n_threads, SEED)) as stepper:
        losses, states = stepper.train(batch, stepper.zero_states(1), 0)
        found = stepper.evaluate(batch, stepper.zero_states(1))[0]
    grads = {name: part.grad for name, part in model.named_parameters()}
    assert_same([(losses, states, grads)], [expected], atol=1e-6, rtol=1e-4)
    assert [part.mean().item() for part in found] == pytest.approx(losses, abs=1e-6)


def test_words_are_read_by_their_characters_also_where_they_are_unknown_as_targets():
    model, stream = small_model(), Stream(text_of("flows", "unbelievable"), 1, 4, N_VOCAB)
    batch = stream.batch(0)
    assert WORDS.index("flows") >= N_VOCAB
    with closing(Stepper(model, WORDS, 1, SEED)) as stepper:
        before = stepper.evaluate(batch, stepper.zero_states(1))[0][0]
    with closing(Stepper(model, [*WORDS[:-2], "walks", WORDS[-1]], 1, SEED)) as stepper:
        after = stepper.evaluate(batch, stepper.zero_states(1))[0][0]
    assert before[0] == after[0]
    assert not torch.isclose(before[1:], after[1:]).any()


def test_small_steps_down_the_gradient_lower_the_loss():
    model, stream = small_model(), stream_of()
    with closing(Stepper(model, WORDS, 2, SEED)) as stepper:
        states, losses = stepper.zero_states(3), []
        for _ in range(15):
            losses.append(sum(stepper.train(stream.batch(0), states, 0)[0]))
            with torch.no_grad():
                for part in model.parameters():
                    part.sub_(0.02 * part.grad)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("model", ["two_layers", "adaptive", "sampled", "dropout"])
def test_where_the_network_is_frozen_the_softmax_learns_as_ever(model):
    found = []
    for frozen in (False, True):
        one, stream = small_model(**MODELS[model]), stream_of()
        with closing(Stepper(one, WORDS, 2, SEED)) as stepper:
            losses, states = stepper.train(stream.batch(0), stepper.zero_states(stream.n_rows), 0, frozen)
        found.append((losses, states, {name: part.grad for name, part in one.named_parameters()}))
    (losses, states, grads), (same_losses, same_states, of_softmax) = found
    assert losses == same_losses
    assert all(torch.equal(one, other) for one, other in zip(_flat(states), _flat(same_states), strict=True))
    for name, grad in of_softmax.items():
        assert torch.equal(grad, grads[name]) if name.startswith("softmax.") else grad is None
