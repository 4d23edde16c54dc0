"""What each embedding component of a pipeline gives for Docs, layer by layer and un-mixed.

Enters: a pipeline, then Docs in batches. Leaves: for each source and Doc the rows of all layers, through the layer
cache where the component has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Sequence, cast

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_ctx_embed.data import Statuses1d, covered
from spacy_ctx_embed.encoder import Encoder, encoder_of
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.shim import ContextualShim, encoder_shims
from spacy_ctx_embed.errors import Errors


@dataclass(frozen=True)
class LayerRows:
    """Rows of one Doc.

    :param layers: ``(n_layers, n_tokens, width)`` float32, zeros where a token has no row.
    :param status: ``(n_tokens,)`` uint8 array of :class:`~spacy_ctx_embed.data.Status` values.
    """

    layers: np.ndarray
    status: Statuses1d

    @property
    def has_vector(self) -> np.ndarray:
        """``(n_tokens,)`` whether a token's rows stand for it."""
        return covered(self.status)


@dataclass(frozen=True)
class Source:
    """One embedding component.

    :param name: its name in the pipeline.
    :param kind: "static", "elmo", "bert", or what another package calls its family.
    :param model_name: name of its model, as in the config.
    :param n_layers: how many layers there are; 1 for static vectors.
    :param model: its encoder.
    :param encoder: what that offers.
    :param vocab: that of the pipeline, whose vectors a static source may read.
    """

    name: str
    kind: str
    model_name: str
    n_layers: int
    model: Model = field(repr=False, compare=False)
    encoder: Encoder = field(repr=False, compare=False)
    vocab: Optional[Vocab] = field(default=None, repr=False, compare=False)

    def layers_of(self, docs: Sequence[Doc], wanted: Optional[Sequence[Sequence[int]]] = None) -> List[LayerRows]:
        """Give the rows of a batch of Docs.

        :param docs: ``n_docs`` Docs; sentence starts are used where they are set.
        :param wanted: which tokens of each Doc rows are wanted of, all if not given. They are the same rows, and only
            what is read together with one of these tokens need be run; the status of the others may be that of tokens
            without a row.
        :return: one :class:`LayerRows` per Doc.
        """
        shim = encoder_shims(self.model)[0]
        if not isinstance(shim.settings, ContextualSettings):
            return [LayerRows(item.rows[None], item.status) for item in self.encoder.encode(self.model, docs)]
        return _unmixed(cast(ContextualShim, shim), docs, self.n_layers, wanted)


def find_sources(nlp: Language, *, owner: str, names: Optional[Sequence[str]] = None) -> List[Source]:
    """Find the embedding components of a pipeline, opening their models.

    :param nlp: the pipeline.
    :param owner: the command, for messages.
    :param names: components wanted, in this order; all that have a model of their own if not given.
    :return: the sources; stacked components are none.
    :raises ValueError: if a name is none of them, or there is none.
    """
    found = {source.name: source for source in all_sources(nlp)}
    wanted = list(found) if names is None else list(names)
    for name in wanted:
        if name not in found:
            accepted = ", ".join(map(repr, found)) or "a pipeline with an embedding component"
            raise ValueError(Errors.E001.format(owner=owner, key="sources", value=name, accepted=accepted))
    if not wanted:
        accepted = "a pipeline with static_embeddings, elmo_embeddings or bert_embeddings"
        raise ValueError(Errors.E001.format(owner=owner, key="pipeline", value=nlp.pipe_names, accepted=accepted))
    return [found[name] for name in wanted]


def all_sources(nlp: Language) -> List[Source]:
    """Give the embedding components that have a model of their own, opening these.

    :param nlp: the pipeline.
    :return: the sources, in the pipeline's order; there may be none.
    """
    found = (_source(name, pipe, nlp.vocab) for name, pipe in nlp.pipeline)
    return [source for source in found if source is not None]


def _source(name: str, pipe: object, vocab: Vocab) -> Optional[Source]:
    model = getattr(pipe, "model", None)
    if not isinstance(model, Model):
        return None
    encoder, shims = encoder_of(model), encoder_shims(model)
    if encoder is None or not shims:
        return None
    network = shims[0].network()
    n_layers = network.n_layers if isinstance(network, ContextualNetwork) else 1
    return Source(name, network.kind, shims[0].settings.name, n_layers, model, encoder, vocab)


def _unmixed(
    shim: ContextualShim, docs: Sequence[Doc], n_layers: int, wanted: Optional[Sequence[Sequence[int]]]
) -> List[LayerRows]:
    import torch

    from spacy_ctx_embed.encoders.contextual.model import without_rows
    from spacy_ctx_embed.encoders.contextual.unmixed import unmixed_layers

    network, cuts = shim.network(), np.cumsum([0, *(len(doc) for doc in docs)])
    layers = np.zeros((n_layers, int(cuts[-1]), network.width), dtype=np.float32)
    status = np.concatenate([np.zeros(0, np.uint8), *map(without_rows, docs)])
    only = None
    if wanted is not None:
        only = np.zeros(int(cuts[-1]), dtype=bool)
        for start, places in zip(cuts, wanted):
            only[int(start) + np.asarray(places, dtype=np.int64)] = True
    with torch.inference_mode():
        for part in unmixed_layers(shim, network, docs, list(range(n_layers)), wanted=only):
            layers[:, part.rows] = part.layers.cpu().numpy()
            status[part.rows] = part.statuses
    return [LayerRows(layers[:, start:end], status[start:end]) for start, end in zip(cuts, cuts[1:])]
