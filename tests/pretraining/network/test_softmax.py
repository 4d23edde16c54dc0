"""pretraining/network/softmax.py: three softmaxes against torch, and the sampled one against TensorFlow's formula."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spacy_ctx_embed.pretraining.network import cross_entropy
from spacy_ctx_embed.pretraining.network import softmax as module
from spacy_ctx_embed.pretraining.network.softmax import AdaptiveSoftmax, FullSoftmax, SampledSoftmax, draw_log_uniform
from spacy_ctx_embed.pretraining.network.workspace import Workspace

WIDTH, N_VOCAB = 8, 20
CUTOFFS = [4, 7, 13]
TARGETS = {
    "all_clusters": [0, 3, 4, 6, 7, 12, 13, 19, 5, 0],
    "head_alone": [0, 1, 2, 3],
    "last_alone": [13, 19, 14],
    "middle_missing": [2, 19, 4, 13],
    "one": [9],
}
KINDS = {
    "full": lambda: FullSoftmax(WIDTH, N_VOCAB),
    "sampled": lambda: SampledSoftmax(WIDTH, N_VOCAB, 6),
    "adaptive": lambda: AdaptiveSoftmax(WIDTH, N_VOCAB, CUTOFFS, 1.5),
}


def make(kind, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        softmax = KINDS[kind]()
        for parameter in softmax.parameters():  # biases begin as zeros
            nn.init.normal_(parameter, std=0.7)
    return softmax


def vectors(n, seed=1):
    return torch.randn((n, WIDTH), generator=torch.Generator().manual_seed(seed)).requires_grad_()


def train(softmax, x, targets, rng=None, workspaces=None):
    """The loss, and the gradients of the vectors and of all parameters."""
    loss = softmax(
        x, targets, rng or np.random.default_rng(0), defaultdict(Workspace) if workspaces is None else workspaces
    )
    return [loss.detach(), *gradients(loss, [x, *softmax.parameters()])]


def gradients(loss, leaves):
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad.clone() for grad, leaf in zip(found, leaves)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_log_probs_are_a_distribution_that_agrees_with_losses(kind):
    softmax, x = make(kind), vectors(N_VOCAB)
    targets = torch.arange(N_VOCAB).flip(0)
    with torch.no_grad():
        log_probs = softmax.log_probs(x)
        losses = softmax.losses(x, targets)
    assert log_probs.shape == (N_VOCAB, N_VOCAB)
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(N_VOCAB))
    torch.testing.assert_close(losses, -log_probs.gather(1, targets[:, None])[:, 0])


@pytest.mark.parametrize("names", list(TARGETS))
@pytest.mark.parametrize("block", [1, 3 * N_VOCAB, 1 << 20])
def test_adaptive_equals_torch(block, names, monkeypatch):
    monkeypatch.setattr(cross_entropy, "_LOGITS", block)
    softmax, targets = make("adaptive"), torch.tensor(TARGETS[names])
    x = vectors(len(targets))
    expected = softmax.inner(x, targets)
    for found, other in zip(
        train(softmax, x, targets),
        [-expected.output.sum().detach(), *gradients(-expected.output.sum(), [x, *softmax.parameters()])],
        strict=True,
    ):
        torch.testing.assert_close(found, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(softmax.losses(x, targets), -expected.output)


def test_clusters_of_one_shape_do_not_share_memory():
    softmax = AdaptiveSoftmax(WIDTH, N_VOCAB, [2, 8, 14], 1.0)
    targets = torch.tensor([2, 9, 15, 3, 8, 19])  # two of each
    x = vectors(len(targets))
    loss = -softmax.inner(x, targets).output.sum()
    expected = [loss.detach(), *gradients(loss, [x, *softmax.parameters()])]
    for found, other in zip(train(softmax, x, targets), expected, strict=True):
        torch.testing.assert_close(found, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 3 * N_VOCAB, 1 << 20])
def test_full_equals_torch(block, monkeypatch):
    monkeypatch.setattr(cross_entropy, "_LOGITS", block)
    monkeypatch.setattr(module, "_LOGITS", block)
    softmax, targets = make("full"), torch.tensor(TARGETS["all_clusters"])
    x = vectors(len(targets))
    losses = F.cross_entropy(x @ softmax.weight.t() + softmax.bias, targets, reduction="none")
    expected = [losses.sum().detach(), *gradients(losses.sum(), [x, *softmax.parameters()])]
    for found, other in zip(train(softmax, x, targets), expected, strict=True):
        torch.testing.assert_close(found, other)
    torch.testing.assert_close(softmax.losses(x, targets), losses)


@pytest.mark.parametrize(
    ("n_vocab", "cutoffs", "kept"),
    [
        (20, [4, 7, 13], [4, 7, 13, 20]),
        (13, [4, 7, 13], [4, 7, 13]),
        (14, [4, 7, 13], [4, 7, 13, 14]),
        (6, [4, 7], [4, 6]),
        (9, [4000, 16000], [4, 9]),
        (4, [4], [2, 4]),
    ],
)
def test_cutoffs_beyond_the_vocabulary_are_left_out(n_vocab, cutoffs, kept):
    softmax = AdaptiveSoftmax(WIDTH, n_vocab, cutoffs, 1.5)
    assert list(softmax.inner.cutoffs) == kept
    x = vectors(3)
    torch.testing.assert_close(softmax.log_probs(x).exp().sum(dim=1), torch.ones(3))
    assert softmax.log_probs(x).shape == (3, n_vocab)


@pytest.mark.parametrize("kind", list(KINDS))
def test_memory_used_again_changes_nothing(kind):
    softmax, workspaces = make(kind), defaultdict(Workspace)
    for seed, targets in enumerate([*TARGETS.values(), *TARGETS.values()]):
        x, ids = vectors(len(targets), seed), torch.tensor(targets)
        again = train(softmax, x, ids, np.random.default_rng(seed), workspaces)
        for found, expected in zip(again, train(softmax, x, ids, np.random.default_rng(seed))):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", list(KINDS))
def test_bfloat16_products_stay_near_float32(kind):
    softmax, targets = make(kind), torch.tensor(TARGETS["all_clusters"])
    x = vectors(len(targets))
    expected = [*train(softmax, x, targets), softmax.losses(x, targets).detach()]
    with torch.autocast("cpu", torch.bfloat16):
        found = [*train(softmax, x, targets), softmax.losses(x, targets).detach()]
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 0.03
    assert not torch.equal(found[-1], expected[-1])


@pytest.mark.parametrize("enabled", [False, True])
def test_products_run_in_what_autocast_says(enabled):
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        for n in (0, 3):
            assert module.product_dtype(vectors(n)) == (torch.bfloat16 if enabled else torch.float32)


def log_uniform(n_vocab):
    ranks = np.arange(n_vocab)
    return (np.log(ranks + 2) - np.log(ranks + 1)) / np.log(n_vocab + 1)


def tensorflow_loss(x, weight, bias, targets, drawn, n_tries):
    """``tf.nn.sampled_softmax_loss`` with ``num_true=1`` and accidental hits removed, one row at a time."""
    expected = 1 - (1 - log_uniform(len(weight))) ** n_tries  # _ExpectedCount of a sampler without repetition
    total = x.new_zeros(())
    for row, target in zip(x, targets.tolist()):
        logits = [row @ weight[target] + bias[target] - math.log(expected[target])]
        logits += [row @ weight[i] + bias[i] - math.log(expected[i]) for i in drawn if i != target]
        total = total + F.cross_entropy(torch.stack(logits)[None], torch.tensor([0]), reduction="sum")
    return total


@pytest.mark.parametrize("n_samples", [1, 6, N_VOCAB - 1])
def test_sampled_equals_tensorflow(n_samples):
    softmax, targets = make("sampled"), torch.tensor(TARGETS["all_clusters"])
    softmax.n_samples = n_samples
    x = vectors(len(targets))
    drawn, n_tries = draw_log_uniform(np.random.default_rng(3), N_VOCAB, n_samples)
    loss = tensorflow_loss(x, softmax.weight, softmax.bias, targets, drawn.tolist(), n_tries)
    expected = [loss.detach(), *gradients(loss, [x, *softmax.parameters()])]
    for found, other in zip(train(softmax, x, targets, np.random.default_rng(3)), expected, strict=True):
        torch.testing.assert_close(found, other, atol=2e-5, rtol=2e-5)


def test_a_drawn_word_does_not_count_against_itself(monkeypatch):
    monkeypatch.setattr(module, "draw_log_uniform", lambda rng, n_vocab, n: (np.array([5]), 1))
    softmax = make("sampled")
    softmax.n_samples = 1
    loss, d_x, d_weight, d_bias = train(softmax, vectors(2), torch.tensor([5, 5]))
    assert float(loss) == 0
    assert not (d_x.any() or d_weight.any() or d_bias.any())
    assert float(train(softmax, vectors(2), torch.tensor([5, 6]))[0]) > 0


def test_only_words_drawn_and_targets_have_gradients():
    softmax, targets = make("sampled"), torch.tensor([0, 19])
    drawn, _ = draw_log_uniform(np.random.default_rng(3), N_VOCAB, 6)
    d_bias = train(softmax, vectors(2), targets, np.random.default_rng(3))[3]
    assert set(d_bias.nonzero()[:, 0].tolist()) == {0, 19, *drawn.tolist()}


@pytest.mark.parametrize("n_samples", [N_VOCAB, N_VOCAB + 5])
def test_with_as_many_samples_as_words_it_is_the_full_softmax(n_samples):
    softmax, targets = make("sampled"), torch.tensor(TARGETS["all_clusters"])
    softmax.n_samples = n_samples
    x = vectors(len(targets))
    for found, expected in zip(train(softmax, x, targets), train(make("full"), x, targets), strict=True):
        assert torch.equal(found, expected)


def test_with_nearly_all_words_drawn_the_mean_is_near_the_full_softmax():
    softmax, targets = make("sampled"), torch.tensor(TARGETS["all_clusters"])
    softmax.n_samples = N_VOCAB - 1
    x, rng = vectors(len(targets)), np.random.default_rng(0)
    expected = train(make("full"), x, targets)
    draws = [train(softmax, x, targets, rng) for _ in range(200)]
    for found, other in zip(zip(*draws), expected, strict=True):
        mean = torch.stack(found).mean(dim=0)
        assert float((mean - other).norm() / other.norm()) < 0.08


def test_a_model_that_is_right_is_not_pulled_away(monkeypatch):
    # What the expected counts are for: with few words drawn, the mean gradient is still zero at the true distribution.
    counts = torch.tensor([9, 1, 14, 3, 3, 20, 2, 7, 1, 5, 11, 24])
    targets = torch.arange(len(counts)).repeat_interleave(counts)
    softmax = SampledSoftmax(1, len(counts), 4)
    with torch.no_grad():
        softmax.bias.copy_((counts / counts.sum()).log())

    def mean_gradient():
        rng, x = np.random.default_rng(6), torch.zeros((len(targets), 1)).requires_grad_()
        grads = [train(softmax, x, targets, rng)[3] for _ in range(500)]
        return float(torch.stack(grads).mean(dim=0).abs().sum() / len(targets))

    assert mean_gradient() < 0.05
    monkeypatch.setattr(module, "_log_expected", lambda ids, *_: torch.zeros(len(ids)))
    assert mean_gradient() > 0.3


@pytest.mark.parametrize(("n_vocab", "n_samples"), [(2, 1), (5, 4), (20, 6), (1000, 300), (100000, 50)])
def test_drawn_ranks_are_distinct_and_in_range(n_vocab, n_samples):
    rng = np.random.default_rng(0)
    for _ in range(20):
        ranks, n_tries = draw_log_uniform(rng, n_vocab, n_samples)
        assert ranks.dtype == np.int64
        assert len(set(ranks.tolist())) == len(ranks) == n_samples <= n_tries
        assert ranks.min() >= 0
        assert ranks.max() < n_vocab


def test_a_first_rank_is_log_uniform():
    rng, n_vocab, n = np.random.default_rng(1), 6, 6000
    counts = Counter(int(draw_log_uniform(rng, n_vocab, 1)[0][0]) for _ in range(n))
    expected = log_uniform(n_vocab)
    assert expected.sum() == pytest.approx(1)
    for rank, p in enumerate(expected):
        assert counts[rank] == pytest.approx(n * p, abs=4 * math.sqrt(n * p * (1 - p)))


def test_a_draw_goes_on_where_tries_repeat_themselves():
    # As drawn one by one: ranks in the order of their first try, and the number of tries until the last of them.
    rng = np.random.default_rng(2)
    for n_samples in (1, 3, 7):
        state = rng.bit_generator.state
        ranks, n_tries = draw_log_uniform(rng, 8, n_samples)
        again = np.random.default_rng()
        again.bit_generator.state = state
        tries = (np.exp(again.random(n_tries) * math.log(9)).astype(int) - 1).tolist()
        assert list(dict.fromkeys(tries)) == ranks.tolist()
        assert len(set(tries[:-1])) == n_samples - 1


def test_expected_counts_are_how_often_ranks_are_drawn():
    rng, n_vocab, n_samples, n = np.random.default_rng(3), 30, 10, 3000
    counts, expected = np.zeros(n_vocab), np.zeros(n_vocab)
    for _ in range(n):
        ranks, n_tries = draw_log_uniform(rng, n_vocab, n_samples)
        counts[ranks] += 1
        expected += np.exp(module._log_expected(torch.arange(n_vocab), n_vocab, n_tries).numpy())
    assert counts.sum() == n * n_samples
    np.testing.assert_allclose(expected / n, counts / n, atol=0.04)
