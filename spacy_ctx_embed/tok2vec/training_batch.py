"""One training batch of an upstream component: its rows go out to listeners, their gradients come back.

Enters: the rows of a batch and the encoder's backward pass. Leaves: nothing; the backward pass is run once, with the
sum of all gradients, as soon as every listener has given its own, or when the upstream learns next.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, cast

from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc
from thinc.types import Floats2d

Backprop = Callable[[List[Floats2d]], List[Doc]]
Identity = Tuple[bytes, ...]


def identity_of(docs: Sequence[Doc]) -> Identity:
    """Identify a batch by its words and spaces, Doc by Doc and in order.

    :param docs: ``n_docs`` Docs.
    :return: one item per Doc.
    """
    return tuple(doc.to_array([ORTH, SPACY]).tobytes() if len(doc) else b"" for doc in docs)


class TrainingBatch:
    """Rows of a batch with what is needed to learn from them.

    :param docs: ``n_docs`` Docs.
    :param rows: one ``(n_tokens, width)`` array per Doc.
    :param backprop: the encoder's backward pass; ``None`` where nothing is learnt.
    :param listeners: ids of those whose gradients are expected.
    :param record: called once with the sum of squares of the gradients, what spaCy's own tok2vec shows as its loss.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        rows: List[Floats2d],
        backprop: Optional[Backprop],
        listeners: Sequence[int],
        record: Callable[[float], None],
    ) -> None:
        self.rows = rows
        self._record = record
        self._identity = identity_of(docs)
        self._backprop = backprop
        self._given: Dict[int, int] = dict.fromkeys(listeners, 0)  # times that each took the rows
        self._returned: Dict[int, int] = dict.fromkeys(listeners, 0)  # times that each gave a gradient
        self._gradient: Optional[List[Floats2d]] = None
        self._done = False

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(None), ()  # of this process and moment: a copy or another process has no batch

    def fits(self, docs: Sequence[Doc]) -> bool:
        """Tell whether these are the Docs of the batch.

        :param docs: Docs.
        :return: true if words, spaces and order are the same.
        """
        return self._identity == identity_of(docs)

    @property
    def is_open(self) -> bool:
        """Whether a gradient can still be given, or none is wanted: the backward pass has not been run."""
        return not self._done

    @property
    def has_gradient(self) -> bool:
        """Whether a gradient waits for others."""
        return self._gradient is not None

    def take(self, listener: int) -> List[Floats2d]:
        """Give the rows to a listener.

        :param listener: its id.
        :return: one array per Doc, not to be changed.
        """
        self._given[listener] = self._given.get(listener, 0) + 1
        return self.rows

    def give(self, listener: int, gradient: Sequence[Floats2d], factor: float) -> None:
        """Add the gradient of a listener.

        :param listener: its id.
        :param gradient: one array per Doc, of the shape of the rows; it may be overwritten afterwards.
        :param factor: scales it.
        """
        if self._backprop is None:
            return
        self._returned[listener] = self._returned.get(listener, 0) + 1
        if self._gradient is None:
            self._gradient = [part * factor for part in gradient]
        else:
            for total, part in zip(self._gradient, gradient):
                total += part * factor
        if all(0 < n_given == self._returned.get(key, 0) for key, n_given in self._given.items()):
            self.finish()

    def finish(self) -> None:
        """Run the backward pass with the gradients that have come; without any, or a second time, do nothing."""
        gradient, self._gradient = self._gradient, None
        if gradient is not None and self._backprop is not None:
            self._record(sum(float(cast(Any, part**2).sum()) for part in gradient))
            self._backprop(gradient)
            self._backprop, self._done = None, True  # lets go of the graph
