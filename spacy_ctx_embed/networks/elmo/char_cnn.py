"""Character ids to context-independent word vectors: ELMo's token encoder.

Enters: ``(n_words, max_chars)`` ids, best of distinct words. Leaves: ``(n_words, projection_dim)`` vectors.
Source of the formulas: Peters et al. 2018, Kim et al. 2015, and bilm-tf ``bilm/model.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.elmo.char_ids import N_CHARS, PAD_CHAR
from spacy_ctx_embed.networks.elmo.max_over_windows import MaxOverWindows
from spacy_ctx_embed.networks.packed.packable import FrozenLinear, Highway

ACTIVATIONS = ("relu", "tanh")
# Character positions convolved at once: what is in flight stays within the CPU's caches, or fills a GPU. In training,
# where everything is kept for the way back anyhow, fewer and larger products are faster.
_CPU_POSITIONS, _CPU_TRAINING_POSITIONS, _GPU_POSITIONS = 2048, 8192, 131072


@dataclass(frozen=True)
class CharCnnConfig:
    """Sizes of a token encoder.

    :param embedding_dim: width of a character's vector.
    :param filters: ``(width in characters, number of outputs)`` of each convolution.
    :param activation: ``"relu"`` or ``"tanh"``, after the maximum over the positions.
    :param n_highway: number of highway layers.
    :param max_chars: ids per word.
    :param projection_dim: width of a word's vector.
    :param use_projection: whether a linear layer leads to it; without one it is the number of filters.
    :param n_chars: rows of the table of characters.
    :param pad_char: id that fills a word up to ``max_chars``.
    :param word_dim: width of a vector per word that joins the filters' outputs before the projection.
    """

    embedding_dim: int
    filters: Tuple[Tuple[int, int], ...]
    activation: str
    n_highway: int
    max_chars: int
    projection_dim: int
    use_projection: bool = True
    n_chars: int = N_CHARS
    pad_char: int = PAD_CHAR
    word_dim: int = 0

    @property
    def n_filters(self) -> int:
        """Outputs of all convolutions together."""
        return sum(n for _, n in self.filters)


class CharCnn(nn.Module):
    """Embedding, convolutions, maximum over all positions, activation, highway layers, projection.

    A convolution is a matrix product over windows, ``convs[i].weight`` being ``(n_outputs, width * embedding_dim)``.
    ``highways[k].weight`` is ``(2 * n_filters, n_filters)``: the candidate above, the gate (``carry``) below.

    :param config: the sizes.
    """

    def __init__(self, config: CharCnnConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = make_embedding(config.n_chars, config.embedding_dim)
        self.convs = nn.ModuleList(FrozenLinear(width * config.embedding_dim, n) for width, n in config.filters)
        self.highways = nn.ModuleList(Highway(config.n_filters) for _ in range(config.n_highway))
        features = config.word_dim + config.n_filters
        self.projection = FrozenLinear(features, config.projection_dim) if config.use_projection else None

    def forward(self, ids: torch.Tensor, words: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Encode words.

        Only windows that touch a word's own characters are computed: the others hold nothing but padding and all
        give one value, which enters the maximum once. Exact, because a maximum does not count.

        :param ids: ``(n_words, max_chars)`` int64 ids.
        :param words: ``(n_words, word_dim)`` vectors of whole words, which stand before the filters' outputs.
        :return: ``(n_words, projection_dim)`` vectors of the weights' dtype.
        """
        width = self.config.projection_dim if self.projection is not None else self.config.n_filters
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        lengths, order = ((ids != self.config.pad_char) * places).amax(dim=1).sort()
        budget = _CPU_TRAINING_POSITIONS if torch.is_grad_enabled() else _CPU_POSITIONS
        if ids.device.type != "cpu":
            budget = _GPU_POSITIONS
        vectors = [self.embedding.weight.new_zeros((0, width))]
        for start, end, longest in _chunks(lengths.tolist(), budget):
            chunk = order[start:end]
            x = self._features(ids[chunk], longest)  # (n_words, n_filters)
            x = torch.relu(x) if self.config.activation == "relu" else torch.tanh(x)
            for highway in self.highways:
                x = highway(x)
            if words is not None:
                x = torch.cat([words[chunk], x], dim=1)
            vectors.append(x if self.projection is None else self.projection(x))
        return torch.cat(vectors)[order.argsort()]

    def _features(self, ids: torch.Tensor, longest: int) -> torch.Tensor:
        # (n_words, max_chars) ids of which only the first ``longest`` are not padding -> (n_words, n_filters)
        max_chars = ids.shape[1]
        widest = max(width for width, _ in self.config.filters)
        chars = self.embedding(ids[:, : longest + widest - 1])  # (n_words, n_chars, embedding_dim)
        padding = self.embedding.weight[self.config.pad_char]
        learns = torch.is_grad_enabled() and any(part.requires_grad for part in self.parameters())
        found = []
        for (width, _), conv in zip(self.config.filters, cast(Sequence[FrozenLinear], self.convs)):
            n_chars = min(longest + width - 1, max_chars)
            if learns:
                conv.unpack()
                best = cast(torch.Tensor, MaxOverWindows.apply(chars[:, :n_chars], conv.weight, conv.bias))
            else:
                windows = chars[:, :n_chars].unfold(1, width, 1).transpose(2, 3)  # (n_words, n_windows, width, dim)
                sums = conv(windows.reshape(-1, width * chars.shape[2]))  # (n_words * n_windows, n_outputs)
                best = sums.view(len(ids), -1, sums.shape[1]).amax(dim=1)  # (n_words, n_outputs)
            if n_chars < max_chars:
                best = torch.maximum(best, conv(padding.repeat(width)[None]))
            found.append(best)
        return torch.cat(found, dim=1)


def _chunks(lengths: List[int], budget: int) -> Iterator[Tuple[int, int, int]]:
    # Cuts rising lengths into (start, end, longest) with (end - start) * longest within the budget, or one word.
    if not lengths:
        return
    start = 0
    for i, length in enumerate(lengths):
        if i > start and (i + 1 - start) * length > budget:
            yield start, i, lengths[i - 1]
            start = i
    yield start, len(lengths), lengths[-1]


def make_embedding(n_rows: int, width: int) -> nn.Embedding:
    """Make an embedding as torch does, but leave one on the ``meta`` device alone.

    There, drawing numbers for nobody makes torch import its compiler, which takes seconds.

    :param n_rows: rows.
    :param width: columns.
    :return: the embedding, normally distributed.
    """
    weight = torch.empty(n_rows, width)
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(n_rows, width, _weight=weight)
