"""Batches of segments through a network: un-mixed layers of the tokens of Docs, and of whole texts where wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Union

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, Segment
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.encoders.texts import TextPass, TextRequest
from spacy_ctx_embed.networks.batching import group_by_length

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Part:
    """Layers of some rows of a batch of Docs.

    :param rows: which rows, all tokens of all Docs counted one after another: a slice, or ``(n_rows,)`` numbers.
    :param layers: ``(n_layers, n_rows, width)`` float32 tensor on the network's device, in the order asked for.
    """

    rows: Union[slice, Ints1d]
    layers: torch.Tensor


def run_docs(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    starts: np.ndarray,
    texts: Optional[TextRequest],
) -> Iterator[Part]:
    """Run Docs.

    :param shim: holds the settings.
    :param network: its network.
    :param docs: ``n_docs`` Docs.
    :param layers: layer numbers.
    :param starts: ``(n_docs,)`` number of the first row of each Doc.
    :param texts: to be filled with vectors of whole texts; ``None`` where nobody wants any.
    :yields: the parts.
    """
    segments = network.segment(docs)
    if texts is None:
        for members in _batches(shim, network, segments):
            yield Part(_rows_of(members, starts), network.run(members, layers).layers)
        return
    both = TextPass(texts.how, layers)
    for members in _batches(shim, network, texts.how.segments(docs, segments)):
        tokens, found = both.take(members, network.run(members, both.layers).layers)
        if len(tokens):
            yield Part(_rows_of(members, starts)[tokens], found)
    texts.found.update(both.vectors())


def _rows_of(members: Sequence[Segment], starts: np.ndarray) -> Ints1d:
    return np.concatenate([segment.tokens + starts[segment.doc] for segment in members])


def _batches(shim: ContextualShim, network: ContextualNetwork, segments: Sequence[Segment]) -> List[List[Segment]]:
    if network.in_order:
        return [list(segments)] if segments else []
    lengths = [segment.length for segment in segments]
    on_cpu = network.device.type == "cpu"
    groups = group_by_length(lengths, shim.settings.max_batch_tokens, save_padding=on_cpu)
    return [[segments[i] for i in group] for group in groups]
