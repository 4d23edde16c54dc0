"""Which layers of a network an encoder mixes."""

from __future__ import annotations

from typing import List, cast

from thinc.api import Model

from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import choose_layers


def chosen_layers(model: Model, network: ContextualNetwork) -> List[int]:
    """Give the numbers of the layers that are mixed.

    :param model: the encoder.
    :param network: its network.
    :return: numbers from 0 to ``n_layers - 1``.
    :raises ValueError: if ``layers`` names one that the network does not have.
    """
    settings = cast(ContextualShim, model.shims[0]).settings
    n = network.n_layers
    try:
        return choose_layers(settings.layers, settings.layer_mix, n)
    except IndexError:
        accepted = f"'all', or numbers from {-n} to {n - 1} for this model"
        message = Errors.E001.format(owner=model.name, key="layers", value=settings.layers, accepted=accepted)
        raise ValueError(message) from None
