"""Rows of several components combined to one: concatenated, averaged or summed.

Enters: Docs on which the sources ran. Leaves: a Thinc model ``Model[List[Doc], List[Floats2d]]`` that reads their
rows; it has no weights and runs no network. It reads them as the encoders gave them: a listener may learn from what is
combined, so that a ``correction`` of the sources is left out, and that of the combining component is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.data import Status, Statuses1d, TokenRows, covered
from spacy_ctx_embed.encoder import Encoder, encoder_of, no_gradient
from spacy_ctx_embed.errors import Errors, MissingEmbeddingsError

COMBINES = ("concat", "mean", "sum")


@dataclass(frozen=True)
class StackedSettings:
    """What a config says about rows that are combined.

    :param name: the component that it works for; its own rows are never a source.
    :param sources: component names, in order; ``None`` for all embedding components that ran on the Doc before.
    :param combine: "concat", "mean" or "sum"; mean and sum need sources of one width, and mean leaves out a source
        that has no vector for the token.
    :param weights: one factor per source, applied to its rows before they are combined; mean divides by their sum.
    :param normalize: scale each source's row to length 1 first, so that no source outweighs another by its scale.
    """

    name: str
    sources: Optional[List[str]] = None
    combine: str = "concat"
    weights: Optional[List[float]] = None
    normalize: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        name, sources, weights = self.name, self.sources, self.weights
        check_one_of(name, "combine", self.combine, COMBINES)
        if sources is not None and (not sources or name in sources or not all(isinstance(s, str) for s in sources)):
            accepted = "null, or a list of names of components before this one"
            raise ValueError(Errors.E001.format(owner=name, key="sources", value=sources, accepted=accepted))
        if weights is not None:
            right_number = sources is None or len(weights) == len(sources)
            if not right_number or not weights or (self.combine == "mean" and sum(weights) <= 0):
                accepted = "null, or one number per source (for combine = 'mean' with a positive sum)"
                raise ValueError(Errors.E001.format(owner=name, key="weights", value=weights, accepted=accepted))


def make_stacked_rows(settings: StackedSettings) -> Model[List[Doc], List[Floats2d]]:
    """Build a model that combines the rows of earlier components.

    :param settings: what it combines and how.
    :return: the model.
    """
    attrs = Encoder(encode, settings=settings).attrs
    return Model("stacked_rows", forward, init=init, dims={"nO": None}, attrs=attrs)


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Combined rows; nothing is learnt here and no gradient leaves.

    :param model: the model.
    :param docs: ``n_docs`` Docs.
    :param is_train: not used.
    :return: one ``(n_tokens, nO)`` array per Doc, and the empty backward pass.
    """
    return [model.ops.asarray2f(cast(Floats2d, item.rows)) for item in encode(model, docs)], no_gradient


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Do nothing: the width is that of the sources, known when they have run.

    :param model: the model.
    :param X: not used.
    :param Y: not used.
    """


def encode(model: Model, docs: Sequence[Doc]) -> List[TokenRows]:
    """Combine the rows of each Doc.

    :param model: the model.
    :param docs: Docs on which the sources ran.
    :return: one :class:`TokenRows` per Doc.
    """
    settings = cast(Encoder, encoder_of(model)).settings
    combined = [_combine(settings, doc) for doc in docs]
    if combined:
        model.set_dim("nO", combined[0].rows.shape[1], force=True)
    return combined


def _combine(settings: StackedSettings, doc: Doc) -> TokenRows:
    name, combine, weights = settings.name, settings.combine, settings.weights
    sources = settings.sources or [source for source in storage.names(doc) if source != name]
    if not sources:
        raise ValueError(Errors.E021.format(key=name))
    try:
        records = [storage.read(doc, source) for source in sources]
    except MissingEmbeddingsError as error:
        raise ValueError(str(error)) from None  # spaCy takes a KeyError from a component for a missing initialize()
    if weights is not None and len(weights) != len(records):
        accepted = f"one number for each of the {len(records)} sources ({', '.join(sources)})"
        raise ValueError(Errors.E001.format(owner=name, key="weights", value=weights, accepted=accepted))
    factors = weights or [1.0] * len(records)
    widths = {record.name: record.rows.shape[1] for record in records}
    if combine != "concat" and len(set(widths.values())) > 1:
        raise ValueError(Errors.E024.format(owner=name, combine=combine, widths=widths))
    statuses = np.stack([record.status for record in records])  # (n_sources, n_tokens)
    has = covered(statuses)
    rows = [record.uncorrected.astype(np.float32) for record in records]
    if settings.normalize:
        rows = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in rows]
    rows = [part * np.float32(factor) for part, factor in zip(rows, factors)]
    if combine == "concat":
        result = np.concatenate(rows, axis=1)
    else:
        # Only vectors count; where there is none, the rows that unknown words have.
        counts = np.where(has.any(axis=0), has, statuses == Status.UNKNOWN)
        result = np.sum([part * mine[:, None] for part, mine in zip(rows, counts)], axis=0)
        if combine == "mean":
            total = (counts * np.array(factors, dtype=np.float32)[:, None]).sum(axis=0)
            result = result / np.where(total == 0, 1, total)[:, None]
    return TokenRows(result.astype(np.float32), _statuses(statuses))


def _statuses(statuses: Statuses1d) -> Statuses1d:
    # ok where every source is; fallback where some source has a vector; else unknown where some source says so, and
    # what the first says where none does. In: (n_sources, n_tokens), out: (n_tokens,).
    unknown = np.where((statuses == Status.UNKNOWN).any(axis=0), np.uint8(Status.UNKNOWN), statuses[0])
    some = np.where(covered(statuses).any(axis=0), np.uint8(Status.FALLBACK), unknown)
    return np.where((statuses == Status.OK).all(axis=0), np.uint8(Status.OK), some)
