"""The language model that is trained: ELMo's network, and the softmax that both directions share.

Enters: words, what to read and what to predict. Leaves: losses, and the state to carry on. Peters et al. 2018,
section 3.1: the token encoder and the softmax are shared, the LSTMs of the two directions are not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.networks.elmo.char_ids import BOS_WORD, EOS_WORD
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining.network.lstm import ProjectedLstm
from spacy_ctx_embed.pretraining.network.softmax import AdaptiveSoftmax, FullSoftmax
from spacy_ctx_embed.pretraining.network.workspace import Workspace, Workspaces

DirectionState = List[Tuple[torch.Tensor, torch.Tensor]]  # per layer: h (n_rows, width) and c (n_rows, dim)


@dataclass
class Direction:
    """What one direction of one batch goes through.

    :param index: 0 forward, 1 backward.
    :param places: ``(n_steps, n_rows)`` rows of the word vectors to read.
    :param targets: ``(n_steps * n_rows,)`` ids to predict.
    :param kept: ``(n_steps, n_rows, 1)`` 0 where the state goes back to zeros, or ``None``.
    :param state: where each layer starts.
    """

    index: int
    places: torch.Tensor
    targets: torch.Tensor
    kept: Optional[torch.Tensor]
    state: DirectionState


class LanguageModel(nn.Module):
    """Both directions.

    :param elmo: the network, which has a char-CNN and projections, and no table of words.
    :param softmax: from the top layer to the vocabulary.
    :param dropout: share of each LSTM layer's inputs and of the top's outputs that is dropped in training.
    :param dtype: of the matrix products: float32 or bfloat16.
    """

    def __init__(
        self, elmo: ElmoModule, softmax: FullSoftmax | AdaptiveSoftmax, dropout: float, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.elmo = elmo
        self.softmax = softmax
        self.dropout = dropout
        self.dtype = dtype
        # Of each direction: by number of the layer, and by cluster of the softmax.
        self._workspaces: List[Workspaces] = [defaultdict(Workspace), defaultdict(Workspace)]
        self._softmax_workspaces: List[Workspaces] = [defaultdict(Workspace), defaultdict(Workspace)]

    def spell(self, words: Sequence[str]) -> torch.Tensor:
        """Give vectors of words.

        :param words: ``n_words`` words, ``<S>`` and ``</S>`` for boundaries.
        :return: ``(n_words, width)`` float32 vectors.
        """
        alphabet = self.elmo.config.alphabet
        spelt = {BOS_WORD: alphabet.bos, EOS_WORD: alphabet.eos}
        with self._products():
            return self.elmo.encode_words([spelt.get(word, word) for word in words]).float()

    def leaves(self, index: int) -> List[torch.Tensor]:
        """Give one direction's own weights as leaves of a graph: weight, bias and projection of each layer.

        :param index: 0 forward, 1 backward.
        :return: tensors that share memory with the parameters.
        """
        layers = cast(Sequence[BilmLayer], self.elmo.bilm.layers)
        return [part.detach()[index].requires_grad_() for layer in layers for part in parameters_of(layer)]

    def loss(
        self,
        direction: Direction,
        vectors: torch.Tensor,
        leaves: Sequence[torch.Tensor],
        rng: np.random.Generator,
        frozen: bool = False,
    ) -> Tuple[torch.Tensor, DirectionState]:
        """Read a batch in one direction to train on it.

        :param direction: what to read and to predict.
        :param vectors: ``(n_words, width)`` vectors of its words.
        :param leaves: the direction's weights, see :meth:`leaves`.
        :param rng: for dropout and sampling.
        :param frozen: whether the graph is of the softmax alone.
        :return: mean loss in nats, and the state after the last step.
        """
        with torch.set_grad_enabled(not frozen):
            top, state = self.read(direction, vectors, leaves, rng)
        with self._products():
            workspaces = self._softmax_workspaces[direction.index]
            total = self.softmax(top.view(-1, top.shape[2]), direction.targets, rng, workspaces)
        return total / len(direction.targets), state

    def losses(
        self, direction: Direction, vectors: torch.Tensor, leaves: Sequence[torch.Tensor]
    ) -> Tuple[torch.Tensor, DirectionState]:
        """Read a batch in one direction with nothing dropped, and the softmax whole.

        :param direction: what to read and to predict.
        :param vectors: ``(n_words, width)`` vectors of its words.
        :param leaves: the direction's weights.
        :return: ``(n_steps * n_rows,)`` losses in nats, and the state after the last step.
        """
        top, state = self.read(direction, vectors, leaves, None)
        with self._products():
            return self.softmax.losses(top.view(-1, top.shape[2]), direction.targets), state

    def read(
        self,
        direction: Direction,
        vectors: torch.Tensor,
        leaves: Sequence[torch.Tensor],
        rng: Optional[np.random.Generator],
    ) -> Tuple[torch.Tensor, DirectionState]:
        """Run the layers of one direction.

        :param direction: what to read.
        :param vectors: ``(n_words, width)`` vectors of its words.
        :param leaves: the direction's weights.
        :param rng: for dropout, or ``None``.
        :return: ``(n_steps, n_rows, width)`` outputs of the top layer, and the state after the last step.
        """
        config = self.elmo.config.bilm
        x = F.embedding(direction.places, vectors)
        after: DirectionState = []
        for k in range(config.n_layers):
            x = self._drop(x, rng)
            h, c = direction.state[k]
            weight, bias, projection = leaves[3 * k : 3 * k + 3]
            clips = (config.cell_clip, config.proj_clip)
            workspace = self._workspaces[direction.index][k]
            y, h, c = ProjectedLstm.apply(
                x, weight, bias[0], projection, h, c, direction.kept, clips, self.dtype, workspace
            )
            after.append((h, c))
            x = y + x if k > 0 and config.use_skip_connections else y
        return self._drop(x, rng), after

    def zero_state(self, index: int, n_rows: int) -> DirectionState:
        """Give the state of a text's beginning.

        :param index: 0 forward, 1 backward.
        :param n_rows: rows of the batch.
        :return: zeros for each layer.
        """
        hidden, cells = self.elmo.bilm.zero_state(n_rows)
        return [(h[index], c[index]) for h, c in zip(hidden, cells)]

    def _products(self) -> torch.autocast:
        # No cache of cast weights: threads share it, and one that ends empties it while another still adds to it.
        enabled = self.dtype == torch.bfloat16
        return torch.autocast(self.elmo.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def _drop(self, x: torch.Tensor, rng: Optional[np.random.Generator]) -> torch.Tensor:
        if rng is None or not self.dropout:
            return x
        limit = round(self.dropout * 65536)
        kept = rng.integers(0, 65536, size=x.shape, dtype=np.uint16) >= limit
        return x * torch.from_numpy(kept).to(x.device).to(x.dtype).mul_(65536 / (65536 - limit))


def parameters_of(layer: BilmLayer) -> List[torch.Tensor]:
    """Give the parameters of a layer in the order of :meth:`LanguageModel.leaves`.

    :param layer: a layer with a projection.
    :return: weight, bias, projection; each with a leading axis of the two directions.
    """
    assert layer.projection is not None
    return [layer.weight, layer.bias, layer.projection]
