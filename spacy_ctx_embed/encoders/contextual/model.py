"""The way from Docs to rows that ELMo and BERT share: segment, batch, run, mix, put each row in its place.

Enters: Docs and a network that can cut them into segments and run a batch of those. Leaves: a Thinc model
``Model[List[Doc], List[Floats2d]]``. A family adds its own network; nothing here knows which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, torch2xp
from thinc.types import Floats2d

from spacy_ctx_embed.backprop import no_gradient
from spacy_ctx_embed.checks import check_fine_tuning, check_layers, check_one_of, check_positive
from spacy_ctx_embed.data import Status, Statuses1d, TokenRows
from spacy_ctx_embed.encoders.contextual.mixing import chosen_layers, mixer
from spacy_ctx_embed.encoders.contextual.network import ContextualNetwork
from spacy_ctx_embed.encoders.contextual.unmixed import unmixed_layers
from spacy_ctx_embed.encoders.shim import EncoderShim, Opener
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import (
    MIXES,
    mixed_width,
)
from spacy_ctx_embed.segments.spaces import whitespace

if TYPE_CHECKING:
    import torch


# (encoder, its network, sample Docs when it is initialised) -> nothing: sets what the family keeps among its parameters
Prepare = Callable[[Model, Any, Optional[Sequence[Doc]]], None]


def make_contextual(
    owner: str,
    settings: Dict[str, Any],
    opener: Opener,
    precisions: Sequence[str],
    trainable_precisions: Sequence[str] = ("float32",),
    params: Sequence[str] = (),
    prepare: Optional[Prepare] = None,
) -> Model:
    """Build a contextual encoder. Opens no file.

    :param owner: registered name, for messages.
    :param settings: the config values: name, layers, layer_mix, trainable, precision, max_batch_tokens and the
        family's own.
    :param opener: opens the network (a :class:`ContextualNetwork`).
    :param precisions: the values of ``precision`` that the family offers.
    :param trainable_precisions: those that it offers where ``trainable`` is true.
    :param params: names of the family's own parameters.
    :param prepare: called with the network before each use, and with sample Docs when the encoder is initialised.
    :return: the encoder; dimension nO is set when the network is opened.
    :raises ValueError: if a shared setting has a value that is not accepted.
    """
    check_layers(owner, settings["layers"])
    check_one_of(owner, "layer_mix", settings["layer_mix"], MIXES)
    check_one_of(owner, "precision", settings["precision"], precisions)
    check_one_of(owner, "trainable", settings["trainable"], (True, False))
    check_fine_tuning(owner, settings)
    if settings["trainable"] and settings["precision"] not in trainable_precisions:
        accepted = " or ".join(map(repr, trainable_precisions)) + " where trainable = true"
        value = settings["precision"]
        raise ValueError(Errors.E001.format(owner=owner, key="precision", value=value, accepted=accepted))
    check_positive(owner, "max_batch_tokens", settings["max_batch_tokens"])
    return Model(
        owner,
        forward,
        init=init,
        dims={"nO": None},
        params={"mix_weights": None, "mix_gamma": None, **dict.fromkeys(params)},
        attrs={"encode": encode, "learns": learns, "prepare": prepare},
        shims=[EncoderShim(settings, opener)],
    )


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Rows of a batch of Docs.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :param is_train: whether the gradient will be asked for.
    :return: one ``(n_tokens, nO)`` float32 array per Doc on the model's device, and the backward pass.
    """
    network = open_network(model)
    if is_train and learns(model):
        from spacy_ctx_embed.encoders.contextual.training import forward_train

        return forward_train(model, network, docs)
    rows, _ = _rows(model, network, docs)
    arrays = [cast(Floats2d, torch2xp(part, ops=model.ops)) for part in rows.split([len(doc) for doc in docs])]
    return arrays, no_gradient


def learns(model: Model) -> bool:
    """Tell whether a gradient changes anything in an encoder.

    :param model: the encoder.
    :return: true where the network or the scalar mix is learnt.
    """
    settings = cast(EncoderShim, model.shims[0]).settings
    return bool(settings["trainable"]) or settings["layer_mix"] == "scalar_mix"


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Open the network, which sets the output width and the parameters of the mix.

    :param model: the encoder.
    :param X: sample Docs, for what a family computes from them once.
    :param Y: not used.
    """
    open_network(model, X)


def encode(model: Model, docs: Sequence[Doc]) -> List[TokenRows]:
    """Rows and statuses of a batch of Docs, on the CPU and without a graph.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :return: one :class:`TokenRows` per Doc.
    """
    rows, statuses = _rows(model, open_network(model), docs)
    flat = rows.cpu().numpy()
    ends = np.cumsum([len(doc) for doc in docs])
    return [TokenRows(flat[end - len(doc) : end], status) for doc, end, status in zip(docs, ends, statuses)]


def open_network(model: Model, samples: Optional[Sequence[Doc]] = None) -> ContextualNetwork:
    """Give the model's network; at first use open it and set what depends on it.

    :param model: the encoder.
    :param samples: sample Docs, when the encoder is initialised.
    :return: its network.
    :raises ValueError: if ``layers`` names a layer that the network does not have.
    """
    shim = cast(EncoderShim, model.shims[0])
    network = cast(ContextualNetwork, shim.network())
    chosen = chosen_layers(model, network)
    width = mixed_width(shim.settings["layer_mix"], len(chosen), network.width)
    if not model.has_dim("nO") or model.get_dim("nO") != width:
        model.set_dim("nO", width, force=True)
    if shim.settings["layer_mix"] == "scalar_mix" and not model.has_param("mix_weights"):
        weights, gamma = np.zeros(len(chosen), dtype="f"), 1.0
        if network.mix is not None and chosen == list(range(network.n_layers)):
            weights, gamma = np.asarray(network.mix[0], dtype="f"), network.mix[1]
        model.set_param("mix_weights", model.ops.asarray1f(weights.tolist()))
        model.set_param("mix_gamma", model.ops.alloc1f(1) + gamma)
    if model.attrs["prepare"] is not None:
        model.attrs["prepare"](model, network, samples)
        if samples is not None:
            shim.forget_digest()  # the start may be another one now
    return network


def _rows(model: Model, network: ContextualNetwork, docs: Sequence[Doc]) -> Tuple[torch.Tensor, List[Statuses1d]]:
    # All rows of all docs, (sum of n_tokens, nO), zero where there is no vector; and the statuses doc by doc.
    import torch

    shim = cast(EncoderShim, model.shims[0])
    n_rows = sum(len(doc) for doc in docs)
    mix = mixer(model)
    rows: Optional[torch.Tensor] = None
    has = np.zeros(n_rows, dtype=bool)
    with torch.inference_mode():
        for part in unmixed_layers(shim, network, docs, chosen_layers(model, network)):
            mixed = mix(part.layers)
            if rows is None:
                rows = mixed.new_zeros((n_rows, mixed.shape[1]))
            rows[part.rows] = mixed
            has[part.rows] = True
        if rows is None:
            rows = torch.zeros((n_rows, model.get_dim("nO")))
    return rows, _statuses(docs, has)


def _statuses(docs: Sequence[Doc], has: np.ndarray) -> List[Statuses1d]:
    # has: (sum of n_tokens,) whether the token has a vector.
    ends = np.cumsum([len(doc) for doc in docs], dtype=np.int64)
    statuses = []
    for doc, end in zip(docs, ends):
        without = np.where(whitespace(doc), Status.SPACE, Status.UNCOVERED)
        statuses.append(np.where(has[end - len(doc) : end], Status.OK, without).astype(np.uint8))
    return statuses
