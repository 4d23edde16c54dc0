"""The way from Docs to rows that ELMo and BERT share: segment, batch, run, mix, put each row in its place.

Enters: Docs and a network that can cut them into segments and run a batch of those. Leaves: a Thinc model
``Model[List[Doc], List[Floats2d]]``. A family adds its own network; nothing here knows which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d, FloatsXd

from spacy_ctx_embed.data import LayerStack, Segment, Status, Statuses1d, TokenRows
from spacy_ctx_embed.encoders.settings import check_layers, check_one_of, check_positive
from spacy_ctx_embed.encoders.shim import EncoderShim, Network, Opener
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.networks.batching import group_by_length
from spacy_ctx_embed.networks.device import calm_threads
from spacy_ctx_embed.rows.mix import MIXES, backprop_mix, choose_layers, mix_layers, mixed_width
from spacy_ctx_embed.segments.spaces import whitespace

if TYPE_CHECKING:
    import torch


class ContextualNetwork(Network, Protocol):
    """A network over segments. ``n_layers`` counts all layers, the context-independent layer 0 included.

    ``mix`` holds the weights (before the softmax, one per layer) and the scale at which a scalar mix of all layers
    starts, ``None`` for equal shares. ``in_order`` is true where row i of a batch depends on row i of the batch before
    (a stateful biLM): the segments of a call are then one batch, in the order of the text.
    """

    n_layers: int
    in_order: bool
    mix: Optional[Tuple[Tuple[float, ...], float]]

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into segments; a token that no segment names gets no vector."""

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        The result is ``(len(layers), n_tokens, width)``, float32, the tokens of all segments one after another.
        Gradients are kept unless the caller has turned them off.
        """


# (encoder, its network, sample Docs when it is initialised) -> nothing: sets what the family keeps among its parameters
Prepare = Callable[[Model, Any, Optional[Sequence[Doc]]], None]


def make_contextual(
    owner: str,
    settings: Dict[str, Any],
    opener: Opener,
    precisions: Sequence[str],
    params: Sequence[str] = (),
    prepare: Optional[Prepare] = None,
) -> Model:
    """Build a contextual encoder. Opens no file.

    :param owner: registered name, for messages.
    :param settings: the config values: name, layers, layer_mix, trainable, precision, max_batch_tokens and the
        family's own.
    :param opener: opens the network (a :class:`ContextualNetwork`).
    :param precisions: the values of ``precision`` that the family offers.
    :param params: names of the family's own parameters.
    :param prepare: called with the network before each use, and with sample Docs when the encoder is initialised.
    :return: the encoder; dimension nO is set when the network is opened.
    :raises ValueError: if a shared setting has a value that is not accepted.
    """
    check_layers(owner, settings["layers"])
    check_one_of(owner, "layer_mix", settings["layer_mix"], MIXES)
    check_one_of(owner, "precision", settings["precision"], precisions)
    if settings["trainable"] and settings["precision"] != "float32":
        accepted = "'float32' where trainable = true"
        value = settings["precision"]
        raise ValueError(Errors.E001.format(owner=owner, key="precision", value=value, accepted=accepted))
    check_positive(owner, "max_batch_tokens", settings["max_batch_tokens"])
    return Model(
        owner,
        forward,
        init=init,
        dims={"nO": None},
        params={"mix_weights": None, "mix_gamma": None, **dict.fromkeys(params)},
        attrs={"encode": encode, "prepare": prepare},
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
    if is_train:
        return _forward_train(model, network, docs)
    rows, _ = _rows(model, network, docs)
    arrays = [cast(Floats2d, torch2xp(part, ops=model.ops)) for part in rows.split([len(doc) for doc in docs])]
    return arrays, _no_gradient


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
    chosen = _chosen(model, network)
    width = mixed_width(shim.settings["layer_mix"], len(chosen), network.width)
    if not model.has_dim("nO"):
        model.set_dim("nO", width)
    if shim.settings["layer_mix"] == "scalar_mix" and not model.has_param("mix_weights"):
        weights, gamma = np.zeros(len(chosen), dtype="f"), 1.0
        if network.mix is not None and chosen == list(range(network.n_layers)):
            weights, gamma = np.asarray(network.mix[0], dtype="f"), network.mix[1]
        model.set_param("mix_weights", model.ops.asarray1f(weights.tolist()))
        model.set_param("mix_gamma", model.ops.alloc1f(1) + gamma)
    if model.attrs["prepare"] is not None:
        model.attrs["prepare"](model, network, samples)
    return network


def _chosen(model: Model, network: ContextualNetwork) -> List[int]:
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


def _rows(model: Model, network: ContextualNetwork, docs: Sequence[Doc]) -> Tuple[torch.Tensor, List[Statuses1d]]:
    # All rows of all docs, (sum of n_tokens, nO), zero where there is no vector; and the statuses doc by doc.
    import torch

    settings = cast(EncoderShim, model.shims[0]).settings
    segments = network.segment(docs)
    offsets = np.cumsum([0, *(len(doc) for doc in docs)])
    params = _mix_params(model)
    rows: Optional[torch.Tensor] = None
    with torch.inference_mode():
        for _, places, stack in _batches(model, network, segments, offsets):
            mixed = mix_layers(stack.layers, settings["layer_mix"], *params)
            if rows is None:
                rows = mixed.new_zeros((int(offsets[-1]), mixed.shape[1]))
            rows[places] = mixed
        if rows is None:
            rows = torch.zeros((int(offsets[-1]), model.get_dim("nO")))
    return rows, _statuses(docs, segments)


def _forward_train(model: Model, network: ContextualNetwork, docs: List[Doc]) -> Tuple[List[Floats2d], Callable]:
    import torch

    settings = cast(EncoderShim, model.shims[0]).settings
    layer_mix, trainable = settings["layer_mix"], bool(settings["trainable"])
    lengths = [len(doc) for doc in docs]
    offsets = np.cumsum([0, *lengths])
    segments = network.segment(docs)
    if network.module is not None:
        network.module.train(trainable)
    with torch.set_grad_enabled(trainable):
        done = list(_batches(model, network, segments, offsets))
    if network.module is not None:
        network.module.eval()
    shape = (len(_chosen(model, network)), int(offsets[-1]), network.width)
    stack = torch.zeros(shape, device=done[0][2].layers.device) if done else torch.zeros(shape)
    for _, places, part in done:
        stack[:, places] = part.layers.detach().float()
    params = _mix_params(model)
    rows = mix_layers(stack, layer_mix, *params)
    kept = _dropout_mask(rows, settings.get("dropout", 0.0))
    if kept is not None:
        rows = rows * kept

    def backprop(d_rows: List[Floats2d]) -> List[Doc]:
        gradient = torch.cat([xp2torch(part, device=stack.device) for part in d_rows]).reshape(rows.shape)
        if kept is not None:
            gradient = gradient * kept
        d_stack, d_weights, d_gamma = backprop_mix(gradient, stack, layer_mix, *params)
        if d_weights is not None and d_gamma is not None:
            model.inc_grad("mix_weights", cast(FloatsXd, torch2xp(d_weights, ops=model.ops)))
            model.inc_grad("mix_gamma", cast(FloatsXd, torch2xp(d_gamma, ops=model.ops)))
        if trainable:
            outputs = [part.layers for _, _, part in done]
            torch.autograd.backward(outputs, [d_stack[:, places] for _, places, _ in done])
        return docs

    return [cast(Floats2d, torch2xp(part, ops=model.ops)) for part in rows.split(lengths)], backprop


def _dropout_mask(rows: torch.Tensor, dropout: float) -> Optional[torch.Tensor]:
    # (n_tokens, width): 0 for what is dropped, and for the rest what keeps the expectation.
    if not dropout:
        return None
    return (rows.new_empty(rows.shape).uniform_() >= dropout) / (1 - dropout)


def _batches(
    model: Model, network: ContextualNetwork, segments: Sequence[Segment], offsets: np.ndarray
) -> Iterator[Tuple[List[Segment], torch.Tensor, LayerStack]]:
    # Runs the segments batch by batch; with each batch the flat row numbers that its tokens belong in.
    import torch

    shim = cast(EncoderShim, model.shims[0])
    calm_threads(shim.home_pid)
    layers = _chosen(model, network)
    if network.in_order:
        batches = [list(range(len(segments)))] if segments else []
    else:
        batches = group_by_length([s.length for s in segments], shim.settings["max_batch_tokens"])
    for batch in batches:
        members = [segments[i] for i in batch]
        stack = network.run(members, layers)
        places = np.concatenate([s.tokens + offsets[s.doc] for s in members])
        yield members, torch.from_numpy(places).to(stack.layers.device), stack


def _mix_params(model: Model) -> Tuple[Optional[torch.Tensor], Optional[torch.Tensor]]:
    if not model.has_param("mix_weights"):
        return None, None
    return xp2torch(model.get_param("mix_weights")), xp2torch(model.get_param("mix_gamma"))


def _statuses(docs: Sequence[Doc], segments: Sequence[Segment]) -> List[Statuses1d]:
    statuses = []
    for doc in docs:
        statuses.append(np.where(whitespace(doc), Status.SPACE, Status.UNCOVERED).astype(np.uint8))
    for segment in segments:
        statuses[segment.doc][segment.tokens] = Status.OK
    return statuses


def _no_gradient(d_rows: List[Floats2d]) -> List[Doc]:
    # Prediction keeps no graph; Thinc only calls the backward pass of begin_update.
    return []
