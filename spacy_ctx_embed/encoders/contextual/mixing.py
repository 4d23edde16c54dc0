"""Which layers of a network an encoder mixes, and with what factors.

Enters: an encoder and its network. Leaves: layer numbers, and the function from un-mixed layers to rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple, cast

from thinc.api import Model, xp2torch

from spacy_ctx_embed.encoders.contextual.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import EncoderShim
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import choose_layers, mix_layers, scalar_factors, weigh_layers

if TYPE_CHECKING:
    import torch

MIX_PARAMS = ("mix_weights", "mix_gamma")  # parameters of an encoder whose layer_mix is "scalar_mix"


def chosen_layers(model: Model, network: ContextualNetwork) -> List[int]:
    """Give the numbers of the layers that are mixed.

    :param model: the encoder.
    :param network: its network.
    :return: numbers from 0 to ``n_layers - 1``.
    :raises ValueError: if ``layers`` names one that the network does not have.
    """
    settings = cast(EncoderShim, model.shims[0]).settings
    try:
        return choose_layers(settings["layers"], settings["layer_mix"], network.n_layers)
    except IndexError:
        n = network.n_layers
        raise ValueError(
            Errors.E001.format(
                owner=model.name,
                key="layers",
                value=settings["layers"],
                accepted=f"'all', or numbers from {-n} to {n - 1} for this model",
            )
        ) from None


def mixer(model: Model) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give what mixes layers as the settings say; a scalar mix computes its factors once for all parts of a batch.

    :param model: the encoder.
    :return: a function from ``(n_layers, n_tokens, width)`` to ``(n_tokens, nO)``.
    """
    params = mix_params(model)
    if params is None:
        return partial(mix_layers, layer_mix=cast(EncoderShim, model.shims[0]).settings["layer_mix"])
    return partial(weigh_layers, factors=scalar_factors(*params))


def mix_params(model: Model) -> Optional[Tuple[torch.Tensor, torch.Tensor]]:
    """Give what a scalar mix has learnt.

    :param model: the encoder.
    :return: weights before the softmax, ``(n_layers,)``, and the scale, ``(1,)``; ``None`` for another mix.
    """
    if not model.has_param(MIX_PARAMS[0]):
        return None
    weights, gamma = (xp2torch(model.get_param(name)) for name in MIX_PARAMS)
    return weights, gamma
