"""The forward and backward pass of an encoder that learns: its scalar mix, and its network where ``trainable`` is true.

Enters: Docs. Leaves: rows, and the function that takes their gradient to the parameters of the mix and the network.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Tuple, cast

import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d

from spacy_ctx_embed.encoders.contextual.layers import chosen_layers
from spacy_ctx_embed.encoders.contextual.unmixed import unmixed_layers
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.scalar_mix import add_mix_gradient, mix_params, mixer
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.rows.mix import backprop_layers


def forward_train(model: Model, network: ContextualNetwork, docs: List[Doc]) -> Tuple[List[Floats2d], Callable]:
    """Run an encoder that learns.

    :param model: the encoder.
    :param network: its network.
    :param docs: ``n_docs`` Docs.
    :return: one ``(n_tokens, nO)`` float32 array per Doc on the model's device, and the backward pass.
    """
    shim = cast(ContextualShim, model.shims[0])
    layer_mix, trainable = shim.settings.layer_mix, bool(shim.settings.trainable)
    lengths = [len(doc) for doc in docs]
    with _learning(network) if trainable else torch.no_grad():
        parts = list(unmixed_layers(shim, network, docs, chosen_layers(model, network)))
    device = parts[0].layers.device if parts else torch.device("cpu")
    rows = torch.zeros((sum(lengths), model.get_dim("nO")), device=device)
    mix = mixer(model, layer_mix)
    with torch.no_grad():
        for part in parts:
            rows[part.rows] = mix(part.layers)
    kept = _dropout_mask(rows, shim.settings.dropout)
    if kept is not None:
        rows = rows * kept

    def backprop(d_rows: List[Floats2d]) -> List[Doc]:
        if not parts:
            return []
        gradient = torch.cat([xp2torch(part, device=device) for part in d_rows])
        if kept is not None:
            gradient = gradient * kept
        d_mixed = [gradient[part.rows] for part in parts]
        add_mix_gradient(model, layer_mix, d_mixed, [part.layers for part in parts])
        if not trainable:
            return []
        learnt = [part for part in parts if part.layers.requires_grad]
        with torch.no_grad():
            params = mix_params(model, layer_mix) or ()
            d_layers = [backprop_layers(gradient[part.rows], len(part.layers), layer_mix, *params) for part in learnt]
        if learnt:
            torch.autograd.backward([part.layers for part in learnt], d_layers)
        return []  # Docs have no gradient

    return [cast(Floats2d, torch2xp(part, ops=model.ops)) for part in rows.split(lengths)], backprop


@contextmanager
def _learning(network: ContextualNetwork) -> Iterator[None]:
    # With a graph, and with the network's own dropout.
    network.module.train()
    try:
        with torch.enable_grad():
            yield
    finally:
        network.module.eval()


def _dropout_mask(rows: torch.Tensor, dropout: float) -> Optional[torch.Tensor]:
    # (n_tokens, width): 0 for what is dropped, and for the rest what keeps the expectation.
    if not dropout:
        return None
    return (rows.new_empty(rows.shape).uniform_() >= dropout) / (1 - dropout)
