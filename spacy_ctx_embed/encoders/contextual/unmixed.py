"""Un-mixed layers of Docs: run by the network in batches, or taken from the cache where they are known.

Enters: Docs and a loaded network. Leaves: parts, which name rows of the batch and bring their layers. What is mixed and
learnt from them is decided elsewhere, so that the cache outlives every change of the mix.
"""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.contextual.cached import look_up
from spacy_ctx_embed.encoders.contextual.passes import Part, run_docs
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.encoders.texts import TextRequest
from spacy_ctx_embed.networks.device import limit_threads

_MAX_ENTRY = 64 << 20  # bytes: a longer Doc is run batch by batch each time, so that its layers are never all in memory


def unmixed_layers(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    texts: Optional[TextRequest] = None,
) -> Iterator[Part]:
    """Give the layers of all tokens that have some; every such token is in one part.

    Where a graph is wanted the caller enables gradients, and there must be no cache.

    :param shim: holds the settings and, where there is one, the cache.
    :param network: its network.
    :param docs: ``n_docs`` Docs.
    :param layers: layer numbers, 0 to ``n_layers - 1``.
    :param texts: to be filled with vectors of whole texts; ``None`` where nobody wants any.
    :yields: the parts.
    """
    limit_threads(shim.home_pid)
    if network.in_order and shim.is_new_process():  # starts as a fresh one would
        network.forget_state()
    starts = np.cumsum([0, *(len(doc) for doc in docs)])
    if shim.cache is None or network.in_order:
        yield from run_docs(shim, network, docs, layers, starts, texts)
        return
    row_bytes = len(layers) * network.width * 4
    small = [i for i, doc in enumerate(docs) if len(doc) > 0 and len(doc) * row_bytes <= _MAX_ENTRY]
    large = [i for i, doc in enumerate(docs) if len(doc) * row_bytes > _MAX_ENTRY]
    for give, numbers in ((run_docs, large), (look_up, small)):
        if numbers:
            own = None if texts is None else TextRequest(texts.how)
            yield from give(shim, network, [docs[i] for i in numbers], layers, starts[numbers], own)
            if texts is not None and own is not None:
                texts.found.update({numbers[i]: vector for i, vector in own.found.items()})
