"""The node that a transformer component of either package takes for one of its own listeners.

spacy-transformers looks for instances of its ``TransformerListener`` and calls their ``receive``; curated looks for an
attribute that marks a node as a listener, and writes to its ``_state``. At build time nobody knows which of the two the
upstream is, so this node is both, as far as they are installed. Neither is imported before a node is built.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple, Type

import numpy as np
from spacy.attrs import ORTH
from spacy.tokens import Doc
from thinc.api import Model

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.tok2vec.transformer_output.pieces import DocPieces, PieceBatch, read_doc, read_received
from spacy_ctx_embed.tok2vec.transformer_output.settings import NAME

_COMBINED = "CombinedListener"


class Mailbox:
    """What an upstream sent for the batch that it is training on. Of this process and moment: never saved."""

    def __init__(self) -> None:
        self.batch_id: Optional[int] = None
        self.outputs: Any = None
        self.backprop: Any = None

    def __reduce__(self) -> Tuple[Type[Mailbox], Tuple[()]]:
        return Mailbox, ()

    def __deepcopy__(self, memo: Dict[int, Any]) -> Mailbox:
        return Mailbox()

    def clear(self) -> None:
        """Let go of the batch."""
        self.__init__()  # type: ignore[misc]


class OutputListener(Model):
    """Gives the word pieces of Docs: those that the upstream sent, or those on the Docs.

    Its dimension nO is the width of the upstream's rows, which spacy-transformers sets.

    :param upstream_name: the component to listen to.
    """

    def __init__(self, upstream_name: str) -> None:
        Model.__init__(self, "transformer_output_listener", listen, dims={"nO": None})
        self.upstream_name = upstream_name
        self.samples: Set[bytes] = set()
        curated, _ = _import("spacy_curated_transformers.models.listeners")
        if curated is not None:
            curated.ListenerStateUtils.init_state(self, upstream_name=upstream_name, requires_all_layer_outputs=False)
        self.attrs["_state"] = Mailbox()

    def _copy(self, seen: Optional[Dict[int, Any]] = None) -> OutputListener:
        # Thinc makes a plain Model of every node. What was sent to this one is not for the copy.
        copied = type(self)(self.upstream_name)
        if self.has_dim("nO"):
            copied.set_dim("nO", self.get_dim("nO"))
        copied.samples = set(self.samples)
        return copied

    @property
    def mailbox(self) -> Mailbox:
        """Where the upstream puts its batch."""
        mailbox: Mailbox = self.attrs["_state"]
        return mailbox

    def receive(self, batch_id: int, outputs: Any, backprop: Callable[..., Any]) -> None:
        """Take a batch of spacy-transformers; curated writes to the mailbox itself.

        :param batch_id: sum of the word hashes.
        :param outputs: what it gave for each Doc.
        :param backprop: takes the gradients back.
        """
        mailbox = self.mailbox
        mailbox.batch_id, mailbox.outputs, mailbox.backprop = batch_id, outputs, backprop

    def expect_samples(self, docs: Sequence[Doc]) -> None:
        """Allow Docs of these words to have no pieces until the upstream has run: shapes are being inferred.

        :param docs: the sample Docs of the initialisation.
        """
        self.samples.update(_words(doc) for doc in docs)


def listen(model: OutputListener, docs: List[Doc], is_train: bool) -> Tuple[PieceBatch, Callable]:
    """Give the word pieces of a batch.

    :param model: the listener.
    :param docs: ``n_docs`` Docs.
    :param is_train: whether a batch that the upstream sent is to be used.
    :return: the pieces, and an empty backward pass: gradients go through ``PieceBatch.send``.
    :raises ValueError: if there are none for a Doc, or they are of another Doc.
    """
    mailbox = model.mailbox
    sent = is_train and mailbox.batch_id is not None
    if sent:
        batch = read_received(mailbox.outputs, mailbox.backprop, mailbox.clear)
        _check_identity(model, mailbox.batch_id, batch, docs)
    else:
        batch = PieceBatch([_read(model, doc, is_train) for doc in docs])
    for doc, pieces in zip(docs, batch.pieces):
        if pieces is not None and len(pieces.lengths) != len(doc):
            found = f"it is aligned to {len(pieces.lengths)} tokens, the Doc has {len(doc)}"
            raise _other_docs(model, found)
    if len({(len(item.layers), item.layers[-1].shape[1]) for item in batch.present}) > 1:
        raise _other_docs(model, "the number or the width of its layers is not the same for all Docs")
    if batch.shape[1] is not None:
        model.samples = set()
    return batch, _nothing


@lru_cache(maxsize=None)
def listener_class() -> Type[OutputListener]:
    """Build the class of the node for the packages that are installed.

    :return: :class:`OutputListener`, a subclass of spacy-transformers' listener too where that is installed.
    :raises ValueError: if neither is.
    """
    layers, no_transformers = _import("spacy_transformers.layers.listener")
    curated, no_curated = _import("spacy_curated_transformers.models.listeners")
    if layers is not None:
        return type(_COMBINED, (OutputListener, layers.TransformerListener), {"__module__": __name__})
    if curated is None:
        raise ValueError(
            Errors.E005.format(
                owner=NAME,
                key="upstream",
                package="spacy-transformers or spacy-curated-transformers",
                reason=f"{no_transformers}; {no_curated}",
                install="spacy-ctx-embed[transformers]' or pip install 'spacy-ctx-embed[curated]",
            )
        )
    return OutputListener


def __getattr__(name: str) -> Any:
    # The combined class is made at run time; pickle finds it here.
    if name == _COMBINED:
        return listener_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _import(name: str) -> Tuple[Any, Optional[ImportError]]:
    try:
        return importlib.import_module(name), None
    except ImportError as error:
        return None, error


def _read(model: OutputListener, doc: Doc, is_train: bool) -> Optional[DocPieces]:
    data = doc._.trf_data if Doc.has_extension("trf_data") else None
    if len(doc) == 0:
        return None
    if data is not None:
        try:
            return read_doc(data)
        except TypeError as error:
            raise _missing(model, f"doc._.trf_data is {error}", is_train) from None
    if is_train or _words(doc) not in model.samples:
        what = "sent no batch for these Docs, and left nothing on them" if is_train else "did not run on this Doc"
        raise _missing(model, f"it {what} (doc._.trf_data is not set)", is_train)
    return None


def _missing(model: OutputListener, reason: str, is_train: bool) -> ValueError:
    fix = f"put {model.upstream_name!r} into the pipeline, before this component and not disabled"
    if is_train:
        fix += (
            "; if it is frozen, add it to training.annotating_components too; to train it, put "
            f"{NAME} into the tok2vec slot of the component that learns"
        )
    return ValueError(Errors.E070.format(owner=NAME, upstream=model.upstream_name, reason=reason, fix=fix))


def _other_docs(model: OutputListener, reason: str) -> ValueError:
    return ValueError(Errors.E072.format(owner=NAME, upstream=model.upstream_name, reason=reason))


def _check_identity(model: OutputListener, batch_id: Optional[int], batch: PieceBatch, docs: Sequence[Doc]) -> None:
    # The upstream's sum of word hashes can't see the order of words or Docs; the caller compares the lengths too.
    if len(batch.pieces) != len(docs):
        raise _other_docs(model, f"it sent a batch of {len(batch.pieces)} Docs, here are {len(docs)}")
    if sum(sum(doc.to_array([ORTH]).reshape(-1).tolist()) for doc in docs) != batch_id:
        raise _other_docs(model, "it sent a batch of other words")


def _words(doc: Doc) -> bytes:
    return np.ascontiguousarray(doc.to_array([ORTH])).tobytes() if len(doc) else b""


def _nothing(gradient: Any) -> List[Doc]:
    return []
