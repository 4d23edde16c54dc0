"""A small network -> a wider one that computes the same, so that what the small one has learnt is not learnt again.

What is new reads at random and is not read yet: each weight from a new unit to an old one is zero. New units have
gradients from the first step on. Source of the idea: Chen et al. 2016, arXiv:1511.05641 (Net2Net), which copies units
where this one draws new ones.
"""

from __future__ import annotations

from typing import List, cast

import torch

from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmLayer
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.packed.packable import FrozenLinear, Highway


def can_grow(small: ElmoModule) -> bool:
    """Tell whether there is a way from a network to a wider one.

    :param small: the network, which has a char-CNN and projections of its LSTMs.
    :return: whether it reads the bytes of words and projects what its filters give.
    """
    config = small.config
    return isinstance(config.alphabet, Utf8Bytes) and cast(CharCnn, small.char_cnn).projection is not None


def first_too_small(wide: ElmoModule, small: ElmoModule) -> str:
    """Find a size that a network can't grow to.

    :param wide: what it should become.
    :param small: the network, which :func:`can_grow`.
    :return: the setting below ``[pretraining]``, ``""`` if there is none.
    """
    new, old = cast(CharCnn, wide.char_cnn).config, cast(CharCnn, small.char_cnn).config
    counts = dict(new.filters)
    each_once = all(len(dict(cnn.filters)) == len(cnn.filters) for cnn in (new, old))
    same = {
        "char_cnn.embedding_dim": new.embedding_dim == old.embedding_dim,
        "char_cnn.activation": new.activation == old.activation,
        "char_cnn.n_highway": new.n_highway == old.n_highway,
        "char_cnn.max_characters_per_token": new.max_chars == old.max_chars,
        "char_cnn.filters": each_once and all(counts.get(width, 0) >= n for width, n in old.filters),
    }
    lstm, before = wide.config.bilm, small.config.bilm
    same |= {
        "lstm.dim": lstm.dim >= before.dim,
        "lstm.projection_dim": lstm.projection_dim >= before.projection_dim,
        "lstm.n_layers": lstm.n_layers == before.n_layers,
        "lstm.use_skip_connections": lstm.use_skip_connections == before.use_skip_connections,
        "lstm.cell_clip": lstm.cell_clip == before.cell_clip,
        "lstm.proj_clip": lstm.proj_clip == before.proj_clip,
    }
    return next((key for key, fits in same.items() if not fits), "")


def take_over(wide: ElmoModule, small: ElmoModule) -> None:
    """Make the wide network compute in its first outputs what the small one computes.

    :param wide: a network with random weights, which are kept where the small one has none.
    :param small: a network that can grow to it, see :func:`first_too_small`.
    """
    with torch.no_grad():
        _take_over_char_cnn(cast(CharCnn, wide.char_cnn), cast(CharCnn, small.char_cnn))
        layers = zip(cast(List[BilmLayer], list(wide.bilm.layers)), cast(List[BilmLayer], list(small.bilm.layers)))
        for new, old in layers:
            _take_over_layer(new, old)


def put_units(new: torch.Tensor, old: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> None:
    """Make some units of a layer read what those of another read, and nothing else.

    :param new: ``(n_units, n_inputs)`` weights, in which they are put.
    :param old: ``(n_rows, n_columns)`` weights of the other layer.
    :param rows: ``(n_rows,)`` its units among those of ``new``.
    :param columns: ``(n_columns,)`` its inputs among those of ``new``.
    """
    with torch.no_grad():
        new[rows] = 0.0
        new[rows[:, None], columns] = old


def _take_over_char_cnn(new: CharCnn, old: CharCnn) -> None:
    assert new.projection is not None and old.projection is not None
    new.embedding.weight.copy_(old.embedding.weight)
    starts, start = {}, 0
    for i, (width, n) in enumerate(new.config.filters):
        starts[width] = (i, start)
        start += n
    places: List[int] = []  # of the old filters' outputs among the new ones
    convs = cast(List[FrozenLinear], list(new.convs))
    for (width, n), conv in zip(old.config.filters, cast(List[FrozenLinear], list(old.convs))):
        i, start = starts[width]
        convs[i].weight[:n] = conv.weight
        convs[i].bias[:n] = conv.bias
        places += range(start, start + n)
    columns = torch.tensor(places)
    highways = (cast(List[Highway], list(cnn.highways)) for cnn in (new, old))
    for highway, before in zip(*highways):
        rows = torch.cat([columns, columns + new.config.n_filters])  # candidates, and gates below them
        put_units(highway.weight, before.weight, rows, columns)
        highway.bias[rows] = before.bias
    rows = torch.arange(len(old.projection.weight))
    put_units(new.projection.weight, old.projection.weight, rows, columns)
    new.projection.bias[rows] = old.projection.bias


def _take_over_layer(new: BilmLayer, old: BilmLayer) -> None:
    assert new.projection is not None and old.projection is not None
    width, dim = old.config.projection_dim, old.config.dim
    inputs = torch.cat(
        [torch.arange(width), torch.arange(width) + new.config.projection_dim]
    )  # then the recurrent ones
    gates = torch.cat([torch.arange(dim) + k * new.config.dim for k in range(4)])
    for direction in (0, 1):
        # The weights are (inputs, units) here: what is read stands in the rows.
        put_units(new.weight[direction].t(), old.weight[direction].t(), gates, inputs)
        put_units(new.projection[direction].t(), old.projection[direction].t(), torch.arange(width), torch.arange(dim))
    new.bias[:, :, gates] = old.bias
