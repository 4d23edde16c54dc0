"""``spacy_ctx_embed.EmbeddingListener.v1``: hands the rows of an embedding component to a component that learns.

Enters: Docs. Leaves: the rows of the upstream component, and in training the gradient back to it. In training an
upstream that learns sends its batch; one that is frozen and annotating has put rows on the Docs. They are those of the
encoder: the upstream's ``correction`` changes what users read, and nothing that is learnt. For the sample texts
of the initialisation, until a batch arrives, the upstream is asked for rows. Else the answer is an error, never zeros.
"""

from functools import partial
from typing import Any, Callable, List, Optional, Protocol, Sequence, Set, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.checks import check_not_negative, check_positive
from spacy_ctx_embed.data import TokenRows
from spacy_ctx_embed.encoder import no_gradient
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.tok2vec.training_batch import TrainingBatch, identity_of

OWNER = "spacy_ctx_embed.EmbeddingListener.v1"
_LINK = "embedding_link"


class Upstream(Protocol):
    """What a listener asks of the component that it listens to."""

    name: str

    def predict(self, docs: Sequence[Doc]) -> List[TokenRows]:
        """Compute rows."""

    def find_width(self) -> Optional[int]:
        """Give the width of its rows, opening the encoder's model; ``None`` where it can't be known yet."""


class Link:
    """What a listener knows of its upstream. Batches and samples are of this process and moment: never saved or copied.

    :param upstream_name: the component that the config names.
    :param grad_factor: scales the gradient that goes back.
    """

    def __init__(self, upstream_name: str, grad_factor: float) -> None:
        self.upstream_name = upstream_name
        self.grad_factor = grad_factor
        self.upstream: Optional[Upstream] = None
        self.batch: Optional[TrainingBatch] = None
        self.samples: Set[bytes] = set()  # texts of the initialisation, for which the upstream is asked

    def __getstate__(self) -> dict[str, Any]:
        return {"upstream_name": self.upstream_name, "grad_factor": self.grad_factor}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Link":
        twin = Link(self.upstream_name, self.grad_factor)
        twin.upstream = self.upstream
        return twin

    def receive(self, batch: TrainingBatch) -> None:
        """Take the upstream's next batch.

        :param batch: the batch, in place of any before.
        """
        self.batch = batch
        self.samples = set()


def make_embedding_listener_v1(
    *, upstream: str, width: Optional[int] = None, grad_factor: float = 1.0
) -> Model[List[Doc], List[Floats2d]]:
    """Build a listener, for the place of a ``tok2vec`` or inside ``StackedTok2Vec.v1``.

    :param upstream: name of an embedding component earlier in the pipeline.
    :param width: width of its rows; null to ask it when the pipeline is initialised.
    :param grad_factor: scales the gradient that goes back; 0 for none.
    :return: the listener, Docs to ``(n_tokens, width)`` rows.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    if not isinstance(upstream, str) or not upstream:
        accepted = "the name of an embedding component earlier in the pipeline"
        raise ValueError(Errors.E001.format(owner=OWNER, key="upstream", value=upstream, accepted=accepted))
    check_positive(OWNER, "width", width, optional=True)
    check_not_negative(OWNER, "grad_factor", grad_factor)
    return Model(
        "embedding_listener",
        forward,
        init=init,
        dims={"nO": width},
        attrs={_LINK: Link(upstream, float(grad_factor))},
    )


def find_link(model: Model) -> Optional[Link]:
    """Tell whether a node is a listener.

    :param model: a node of any model.
    :return: its link, ``None`` if it is something else.
    """
    link = model.attrs.get(_LINK)
    return link if isinstance(link, Link) else None


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Rows of the upstream.

    :param model: the listener.
    :param docs: ``n_docs`` Docs.
    :param is_train: whether a gradient may come back.
    :return: one ``(n_tokens, nO)`` float32 array per Doc on the model's device, and the backward pass.
    :raises ValueError: if the upstream left no rows for a Doc.
    """
    link = cast(Link, find_link(model))
    batch = link.batch
    if is_train and batch is not None and (batch.is_open or not link.grad_factor) and batch.fits(docs):
        if not link.grad_factor:
            return batch.rows, no_gradient
        return batch.take(model.id), partial(_give_back, model.id, batch, link.grad_factor)
    rows = _read(link, docs, model.ops, is_train)
    for part in rows:
        _check_width(model, link, part.shape[1])
    return rows, no_gradient


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Learn the width from the upstream, and remember the sample texts, for which rows are computed when asked.

    :param model: the listener.
    :param X: sample Docs.
    :param Y: not used.
    :raises ValueError: if there is no such upstream, or its rows have another width.
    """
    link = cast(Link, find_link(model))
    if link.upstream is None:
        if X and all(link.upstream_name in storage.names(doc) for doc in X):
            return  # Docs that were annotated before serve as well
        raise ValueError(Errors.E060.format(upstream=link.upstream_name))
    link.samples = set(identity_of(X or []))
    width = link.upstream.find_width()
    if width is None and not model.has_dim("nO"):
        raise ValueError(Errors.E062.format(upstream=link.upstream_name))
    if width is not None:
        _check_width(model, link, width)


def _check_width(model: Model, link: Link, width: int) -> None:
    if not model.has_dim("nO"):
        model.set_dim("nO", width)
    elif model.get_dim("nO") != width:
        expected = model.get_dim("nO")
        raise ValueError(Errors.E063.format(upstream=link.upstream_name, found=width, expected=expected))


def _give_back(listener: int, batch: TrainingBatch, factor: float, gradient: List[Floats2d]) -> List[Doc]:
    batch.give(listener, gradient, factor)
    return []


def _read(link: Link, docs: Sequence[Doc], ops: Ops, is_train: bool) -> List[Floats2d]:
    missing = [doc for doc in docs if link.upstream_name not in storage.names(doc)]
    computed = {}
    if missing:
        if link.upstream is None or not link.samples.issuperset(identity_of(missing)):
            template = Errors.E061 if is_train else Errors.E064
            raise ValueError(template.format(upstream=link.upstream_name))  # of a KeyError spaCy makes another message
        computed = {id(doc): item.rows for doc, item in zip(missing, link.upstream.predict(missing))}
    found = []
    for doc in docs:
        rows = computed.get(id(doc))
        if rows is None:
            rows = storage.read(doc, link.upstream_name).uncorrected
        found.append(ops.asarray2f(cast(Floats2d, rows.astype(np.float32, copy=False))))
    return found
