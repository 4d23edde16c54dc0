"""From the top of a language model to the words of its vocabulary: three softmaxes of one interface.

Enters: ``(n, width)`` vectors and the ids to predict. Leaves: the sum of their losses. Ids are ranks by
frequency. Sources: Grave et al. 2017, arXiv:1609.04309 (adaptive softmax); Jean et al. 2015, arXiv:1412.2007, and
TensorFlow's ``sampled_softmax_loss`` with its log-uniform sampler (sampled softmax, as in bilm-tf).
"""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from spacy_ctx_embed.networks.elmo.max_over_windows import product_dtype
from spacy_ctx_embed.pretraining.network.cross_entropy import LinearCrossEntropy
from spacy_ctx_embed.pretraining.network.workspace import Workspaces

_LOGITS = 1 << 26  # of a full softmax at once, in an evaluation: 256 MB


class FullSoftmax(nn.Module):
    """One logit per word: exact, and slow from some 10,000 words on.

    :param width: of the vectors.
    :param n_vocab: words.
    """

    def __init__(self, width: int, n_vocab: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_vocab, width))
        self.bias = nn.Parameter(torch.zeros(n_vocab))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(
        self, x: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator, workspaces: Workspaces
    ) -> torch.Tensor:
        """Give the losses for training.

        :param x: ``(n, width)`` vectors.
        :param targets: ``(n,)`` ids.
        :param rng: for what is drawn; not needed here.
        :param workspaces: memory to work in, of this direction.
        :return: their sum of negative log-likelihoods in nats.
        """
        return LinearCrossEntropy.apply(x, self.weight, self.bias, targets, product_dtype(x), workspaces[0])

    def losses(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Give the exact negative log-likelihoods.

        :param x: ``(n, width)`` vectors.
        :param targets: ``(n,)`` ids.
        :return: ``(n,)`` losses in nats.
        """
        n_rows = max(_LOGITS // len(self.weight), 1)
        parts = zip(x.split(n_rows), targets.split(n_rows))
        return torch.cat([F.cross_entropy(self._logits(rows), ids, reduction="none") for rows, ids in parts])

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """Give the whole distribution.

        :param x: ``(n, width)`` vectors.
        :return: ``(n, n_vocab)`` natural logarithms of probabilities.
        """
        return torch.log_softmax(self._logits(x), dim=1)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias).float()


class SampledSoftmax(FullSoftmax):
    """In training, the word to predict against words drawn by the log-uniform distribution over ranks.

    :param width: of the vectors.
    :param n_vocab: words, the most frequent first.
    :param n_samples: words drawn per batch, each once.
    """

    def __init__(self, width: int, n_vocab: int, n_samples: int) -> None:
        super().__init__(width, n_vocab)
        self.n_samples = n_samples

    def forward(
        self, x: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator, workspaces: Workspaces
    ) -> torch.Tensor:
        """Give the losses for training. A drawn word that is the target of a row does not count in that row.

        :param x: ``(n, width)`` vectors.
        :param targets: ``(n,)`` ids.
        :param rng: for the words drawn.
        :param workspaces: memory to work in, of this direction.
        :return: their sum of losses in nats.
        """
        if self.n_samples >= 0.99 * len(self.weight):  # drawing so many takes longer than all of them
            return super().forward(x, targets, rng, workspaces)
        n_vocab = len(self.weight)
        ids, n_tries = draw_log_uniform(rng, n_vocab, self.n_samples)
        drawn = torch.from_numpy(ids).to(x.device)
        true = (x * self.weight[targets]).sum(dim=1) + self.bias[targets] - _log_expected(targets, n_vocab, n_tries)
        others = F.linear(x, self.weight[drawn], self.bias[drawn]).float() - _log_expected(drawn, n_vocab, n_tries)
        others = others.masked_fill(drawn == targets[:, None], -math.inf)
        return (torch.logsumexp(torch.cat([true[:, None].float(), others], dim=1), dim=1) - true.float()).sum()


class AdaptiveSoftmax(nn.Module):
    """Frequent words in the head, the others in clusters of smaller width: exact, and fast on a CPU too.

    :param width: of the vectors.
    :param n_vocab: words, the most frequent first.
    :param cutoffs: rising ranks at which a cluster begins; those at or beyond ``n_vocab`` are left out.
    :param div_value: how many times narrower each cluster is than the one before.
    """

    def __init__(self, width: int, n_vocab: int, cutoffs: Sequence[int], div_value: float) -> None:
        super().__init__()
        kept = [cutoff for cutoff in cutoffs if cutoff < n_vocab] or [max(n_vocab // 2, 1)]
        self.inner = nn.AdaptiveLogSoftmaxWithLoss(width, n_vocab, kept, div_value=div_value, head_bias=True)

    def forward(
        self, x: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator, workspaces: Workspaces
    ) -> torch.Tensor:
        """Give the losses for training.

        :param x: ``(n, width)`` vectors.
        :param targets: ``(n,)`` ids.
        :param rng: for what is drawn; not needed here.
        :param workspaces: memory to work in, of this direction.
        :return: their sum of negative log-likelihoods in nats.
        """
        dtype = product_dtype(x)
        cluster, in_head = self._clusters(targets)
        total = LinearCrossEntropy.apply(x, self.inner.head.weight, self.inner.head.bias, in_head, dtype, workspaces[0])
        for i, tail in enumerate(self._tails(), start=1):
            places = (cluster == i).nonzero()[:, 0]
            if len(places):
                inner = tail[0](x[places]).float()
                ids = targets[places] - self.inner.cutoffs[i - 1]
                total = total + LinearCrossEntropy.apply(
                    inner, cast(nn.Linear, tail[1]).weight, None, ids, dtype, workspaces[i]
                )
        return total

    def losses(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Give the exact negative log-likelihoods.

        :param x: ``(n, width)`` vectors.
        :param targets: ``(n,)`` ids.
        :return: ``(n,)`` losses in nats.
        """
        cluster, in_head = self._clusters(targets)
        head = F.linear(x, self.inner.head.weight, self.inner.head.bias).float()
        losses = F.cross_entropy(head, in_head, reduction="none")
        for i, tail in enumerate(self._tails(), start=1):
            places = (cluster == i).nonzero()[:, 0]
            logits = tail(x[places]).float()
            found = F.cross_entropy(logits, targets[places] - self.inner.cutoffs[i - 1], reduction="none")
            losses = losses.index_add(0, places, found)
        return losses

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """Give the whole distribution.

        :param x: ``(n, width)`` vectors.
        :return: ``(n, n_vocab)`` natural logarithms of probabilities.
        """
        return self.inner.log_prob(x)

    def _tails(self) -> List[nn.Sequential]:
        return cast(List[nn.Sequential], list(self.inner.tail))

    def _clusters(self, targets: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        # The cluster of each target, 0 for the head; and its place in the head, which also stands for its cluster.
        bounds = torch.tensor(self.inner.cutoffs, device=targets.device)
        cluster = torch.bucketize(targets, bounds, right=True)
        return cluster, torch.where(cluster == 0, targets, self.inner.cutoffs[0] - 1 + cluster)


def draw_log_uniform(rng: np.random.Generator, n_vocab: int, n_samples: int) -> Tuple[np.ndarray, int]:
    """Draw different ranks, rank k with a chance in proportion to ``log(k + 2) - log(k + 1)`` at each try.

    :param rng: where chance comes from.
    :param n_vocab: number of ranks.
    :param n_samples: how many to draw, fewer than there are.
    :return: ``(n_samples,)`` int64 ranks, and how many tries it took.
    """
    found = np.empty(0, dtype=np.int64)
    while True:
        tries = np.exp(rng.random(2 * n_samples) * math.log(n_vocab + 1)).astype(np.int64) - 1
        found = np.concatenate([found, np.clip(tries, 0, n_vocab - 1)])
        ranks, first = np.unique(found, return_index=True)
        if len(ranks) >= n_samples:
            places = np.sort(first)[:n_samples]
            return found[places], int(places[-1]) + 1


def _log_expected(ids: torch.Tensor, n_vocab: int, n_tries: int) -> torch.Tensor:
    # Logarithm of how often a rank is expected among distinct ranks of so many tries: 1 - (1 - p) ** n_tries.
    p = torch.log1p(1 / (ids.double() + 1)) / math.log(n_vocab + 1)
    return torch.log(-torch.expm1(n_tries * torch.log1p(-p))).float()
