"""The way from Docs to rows that ELMo and BERT share: segment, batch, run, mix, put each row in its place.

Enters: Docs and a network that can cut them into segments and run a batch of those. Leaves: a Thinc model
``Model[List[Doc], List[Floats2d]]``. A family adds its own network; nothing here knows which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Optional, Sequence, Tuple, TypeVar, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, torch2xp
from thinc.types import Floats2d

from spacy_ctx_embed.data import Status, Statuses1d, TokenRows
from spacy_ctx_embed.encoder import Encoder, no_gradient
from spacy_ctx_embed.encoders.contextual.layers import chosen_layers
from spacy_ctx_embed.encoders.contextual.unmixed import unmixed_layers
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.scalar_mix import MIX_PARAMS, check_mix, mixer, start_mix
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.shim import ContextualShim, EncoderShim, Opener
from spacy_ctx_embed.encoders.texts import TextRequest
from spacy_ctx_embed.rows.head import finish
from spacy_ctx_embed.rows.mix import mixed_width
from spacy_ctx_embed.segments.spaces import whitespace

if TYPE_CHECKING:
    import torch

SettingsT = TypeVar("SettingsT", bound=ContextualSettings)
NetworkT = TypeVar("NetworkT", bound=ContextualNetwork)


def make_contextual(
    settings: SettingsT, opener: Opener[SettingsT, NetworkT], params: Sequence[str] = ()
) -> Model[List[Doc], List[Floats2d]]:
    """Build a contextual encoder. Opens no file.

    :param settings: the config values of the family, checked.
    :param opener: opens the network.
    :param params: names of parameters that the network sets itself, in ``prepare``.
    :return: the encoder; dimension nO is set when the network is opened.
    """
    return Model(
        settings.owner,
        forward,
        init=init,
        dims={"nO": None},
        params=dict.fromkeys((*MIX_PARAMS, *params)),
        attrs=Encoder(encode, learns, mixed_layers).attrs,
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
    return cast(ContextualShim, model.shims[0]).settings.learns


def mixed_layers(model: Model) -> Optional[Tuple[str, List[int]]]:
    """Say what a scalar mix is of, opening the network.

    :param model: the encoder.
    :return: the model's name, and the numbers of the layers; ``None`` for another mix.
    """
    settings = cast(ContextualShim, model.shims[0]).settings
    if settings.layer_mix != "scalar_mix":
        return None
    return settings.name, chosen_layers(model, open_network(model))


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
    network, shim = open_network(model), cast(ContextualShim, model.shims[0])
    texts = None if shim.text_pooling is None else TextRequest(network.texts(shim.text_pooling))
    rows, statuses = _rows(model, network, docs, texts)
    flat = rows.cpu().numpy()
    ends = np.cumsum([len(doc) for doc in docs])
    vectors = [None] * len(docs) if texts is None else _text_vectors(model, texts, len(docs))
    return [
        TokenRows(flat[end - len(doc) : end], status, text=vector)
        for doc, end, status, vector in zip(docs, ends, statuses, vectors)
    ]


def open_network(model: Model, samples: Optional[Sequence[Doc]] = None) -> ContextualNetwork:
    """Give the model's network; at first use open it and set what depends on it.

    :param model: the encoder.
    :param samples: sample Docs, when the encoder is initialised.
    :return: its network.
    :raises ValueError: if ``layers`` names a layer that the network does not have, or others than a saved mix is of.
    """
    shim = cast(ContextualShim, model.shims[0])
    network, layer_mix = shim.network(), shim.settings.layer_mix
    chosen = chosen_layers(model, network)
    width = mixed_width(layer_mix, len(chosen), network.width)
    # Set so because Thinc changes no dimension of a model with parameters; of ours none has this one.
    model._dims["nO"] = width
    if layer_mix == "scalar_mix":
        start_mix(model, len(chosen), network.mix if chosen == list(range(network.n_layers)) else None)
        check_mix(model, shim.settings.owner, shim.settings.layers, len(chosen))
    if shim.text_pooling is not None:
        network.texts(shim.text_pooling)  # may find that there is no such vector
    if network.prepare(model, samples):
        shim.forget_digest()
    return network


def _rows(
    model: Model, network: ContextualNetwork, docs: Sequence[Doc], texts: Optional[TextRequest] = None
) -> Tuple[torch.Tensor, List[Statuses1d]]:
    # All rows of all docs, (sum of n_tokens, nO), zero where the network gave none; and the statuses doc by doc.
    import torch

    shim = cast(ContextualShim, model.shims[0])
    ends = np.cumsum([len(doc) for doc in docs], dtype=np.int64)
    statuses = np.concatenate([np.zeros(0, np.uint8), *map(without_rows, docs)])
    mix = mixer(model, shim.settings.layer_mix)
    rows: Optional[torch.Tensor] = None
    with torch.inference_mode():
        for part in unmixed_layers(shim, network, docs, chosen_layers(model, network), texts):
            mixed = mix(part.layers)
            if rows is None:
                rows = mixed.new_zeros((len(statuses), mixed.shape[1]))
            rows[part.rows] = mixed
            statuses[part.rows] = part.statuses
        if rows is None:
            rows = torch.zeros((len(statuses), model.get_dim("nO")))
    return rows, [statuses[end - len(doc) : end] for doc, end in zip(docs, ends)]


def without_rows(doc: Doc) -> Statuses1d:
    """Tell what the tokens of a Doc are until the network gives them a row.

    :param doc: any Doc.
    :return: ``(n_tokens,)`` statuses, "space" or "uncovered".
    """
    return np.where(whitespace(doc), np.uint8(Status.SPACE), np.uint8(Status.UNCOVERED))


def _text_vectors(model: Model, texts: TextRequest, n_docs: int) -> List[np.ndarray]:
    # (text_width,) each; zeros where a text has none.
    import torch

    head, numbers = texts.how.head, list(texts.found)
    width = model.get_dim("nO") if head is None else texts.how.width
    vectors = np.zeros((n_docs, width), dtype=np.float32)
    if numbers:
        with torch.inference_mode():
            layers = torch.cat([texts.found[i] for i in numbers], dim=1)  # (n_pooled_layers, n_texts, n_modes * width)
            if head is None:
                layers = mixer(model, cast(ContextualShim, model.shims[0]).settings.layer_mix)(layers)[None]
        pooled = layers[0].cpu().numpy()
        vectors[numbers] = pooled if head is None else finish(head, pooled)
    return [np.array(vector) for vector in vectors]
