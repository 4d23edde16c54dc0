"""ELMo's scalar mix as parameters of an encoder: where it starts, what it makes of layers, what it learns.

Equation 1 of Peters et al. 2018 (arXiv:1802.05365): gamma * sum_k softmax(weights)_k * layer_k. The arithmetic is in
:mod:`spacy_ctx_embed.rows.mix`; every encoder with ``layer_mix = "scalar_mix"`` keeps weights and gamma in this way.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional, Sequence, Tuple, cast

from thinc.api import Model, torch2xp, xp2torch
from thinc.types import FloatsXd

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import backprop_factors, layer_products, mix_layers, scalar_factors, weigh_layers

if TYPE_CHECKING:
    import torch

MIX_PARAMS = ("mix_weights", "mix_gamma")
_STARTING = threading.Lock()  # held for microseconds


def start_mix(model: Model, n_layers: int, start: Optional[Tuple[Sequence[float], float]] = None) -> None:
    """Give an encoder its mix, where it has none yet.

    :param model: the encoder, with ``MIX_PARAMS`` among its parameters.
    :param n_layers: layers that are mixed.
    :param start: weights before the softmax and gamma; equal shares and 1 if not given.
    """
    with _STARTING:  # another thread's first use of the encoder may be at it, and have one of the two
        if not model.has_param(MIX_PARAMS[0]):
            weights, gamma = start or ([0.0] * n_layers, 1.0)
            model.set_param(MIX_PARAMS[0], model.ops.asarray1f(list(weights)))
            model.set_param(MIX_PARAMS[1], model.ops.alloc1f(1) + gamma)


def check_mix(model: Model, owner: str, layers: object, n_layers: int) -> None:
    """Refuse a mix that was learnt for another number of layers, and saved.

    :param model: the encoder, with a mix.
    :param owner: its registered name.
    :param layers: its setting.
    :param n_layers: layers that are mixed.
    :raises ValueError: if the mix has weights for more or fewer.
    """
    n_learnt = model.get_param(MIX_PARAMS[0]).size
    if n_learnt != n_layers:
        accepted = f"{n_learnt} layers, for which layer_mix = 'scalar_mix' of this saved pipeline has weights"
        raise ValueError(Errors.E001.format(owner=owner, key="layers", value=layers, accepted=accepted))


def mix_params(model: Model, layer_mix: str = "scalar_mix") -> Optional[Tuple[torch.Tensor, torch.Tensor]]:
    """Give what a scalar mix has learnt.

    :param model: the encoder.
    :param layer_mix: its setting: parameters of a saved mix stay where the setting is another one now.
    :return: weights before the softmax, ``(n_layers,)``, and gamma, ``(1,)``; ``None`` for another mix, or none yet.
    """
    if layer_mix != "scalar_mix" or not model.has_param(MIX_PARAMS[0]):
        return None
    weights, gamma = (xp2torch(model.get_param(name)) for name in MIX_PARAMS)
    return weights, gamma


def mixer(model: Model, layer_mix: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give what mixes layers; a scalar mix computes its factors once for all parts of a batch.

    :param model: the encoder.
    :param layer_mix: its setting.
    :return: a function from ``(n_layers, n_tokens, width)`` to ``(n_tokens, width)``, wider for concat.
    """
    params = mix_params(model, layer_mix)
    if params is None:
        return partial(mix_layers, layer_mix=layer_mix)
    return partial(weigh_layers, factors=scalar_factors(*params))


def add_mix_gradient(
    model: Model, layer_mix: str, d_rows: Sequence[torch.Tensor], layers: Sequence[torch.Tensor]
) -> None:
    """Collect the gradient of a scalar mix; of another mix there is none.

    :param model: the encoder, whose parameters' gradients are added to.
    :param layer_mix: its setting.
    :param d_rows: gradient of the mixed rows of each part of a batch, ``(n_tokens, width)``.
    :param layers: what was mixed to them, ``(n_layers, n_tokens, width)`` each.
    """
    import torch

    params = mix_params(model, layer_mix)
    if params is None or not layers:
        return
    with torch.no_grad():
        products = torch.stack([layer_products(*pair) for pair in zip(d_rows, layers)]).sum(dim=0)
        for name, d_param in zip(MIX_PARAMS, backprop_factors(products, *params)):
            model.inc_grad(name, cast(FloatsXd, torch2xp(d_param, ops=model.ops)))
