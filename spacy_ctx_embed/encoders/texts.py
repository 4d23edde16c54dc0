"""Vectors of whole texts, from the same passes as the rows of their tokens.

Enters: segments of Docs. Leaves: segments that name more pieces than those of tokens, special ones too, and what the
states of these pieces come to. A network runs them as it runs any others: to it, each further piece is a token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import Floats2d, Ints1d, Segment, TextHead
from spacy_ctx_embed.rows.head import text_width
from spacy_ctx_embed.rows.text import PooledText

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TextSegment(Segment):
    """A segment with further pieces behind its tokens; these have -1 in ``tokens``.

    :param weights: ``(n_modes, n_further)`` what each further piece weighs in each way of pooling.
    """

    weights: Floats2d = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class TextVectors(ABC):
    """How a network makes vectors of whole texts.

    :param modes: ways of pooling.
    :param head: what comes after the pooling, of one layer; ``None`` where the pooled layers are mixed as rows are.
    :param width: of the layer that ``head`` is for.
    """

    def __init__(self, modes: Sequence[str], head: Optional[TextHead], width: int) -> None:
        self.modes = tuple(modes)
        self.head = head
        self.width = width if head is None else text_width(head, width)

    @abstractmethod
    def layers(self, wanted: Sequence[int]) -> List[int]:
        """Give the numbers of the layers that are pooled, where ``wanted`` are those of the rows."""

    @abstractmethod
    def segments(self, docs: Sequence[Doc], segments: Sequence[Segment]) -> List[TextSegment]:
        """Name the pieces of the texts: in ``segments``, or where need be in segments of their own."""

    @abstractmethod
    def identity(self) -> bytes:
        """Give what the pooled layers depend on besides the network."""


class TextRequest:
    """Asks for vectors of whole texts beside the layers of tokens.

    ``found`` has, by the number of the Doc, ``(n_pooled_layers, 1, n_modes * width)`` tensors, when all layers of
    tokens have been given; none for a Doc whose text has no token with pieces.

    :param how: how they are made.
    """

    def __init__(self, how: TextVectors) -> None:
        self.how = how
        self.found: Dict[int, torch.Tensor] = {}


class TextPass:
    """Takes the states of batches of segments apart: those of tokens, and those that are pooled.

    :param texts: how.
    :param wanted: layers of the rows.
    """

    def __init__(self, texts: TextVectors, wanted: Sequence[int]) -> None:
        pooled = texts.layers(wanted)
        self.layers = [*wanted, *(number for number in pooled if number not in wanted)]  # to run
        self._modes = texts.modes
        self._places = [self.layers.index(number) for number in pooled]
        self._n_wanted = len(wanted)
        self._texts: Dict[int, PooledText] = {}

    def take(self, members: Sequence[Segment], states: torch.Tensor) -> Tuple[Ints1d, torch.Tensor]:
        """Pool the further pieces of a batch.

        :param members: the segments, from :meth:`TextVectors.segments`.
        :param states: ``(n_layers, n, width)`` what the network gave for them.
        :return: ``(n_rows,)`` which of ``n`` are tokens, and the ``(n_wanted, n_rows, width)`` states of these.
        """
        import torch

        is_token = np.concatenate([segment.tokens >= 0 for segment in members])
        ends = np.cumsum([len(segment.tokens) for segment in members])
        for segment, end in zip(members, ends):
            if isinstance(segment, TextSegment) and segment.weights.size:
                n = segment.weights.shape[1]
                text = self._texts.setdefault(segment.doc, PooledText(self._modes))
                text.add(states[self._places, end - n : end], segment.weights)
        rows = np.flatnonzero(is_token)
        return rows, states[: self._n_wanted].index_select(1, torch.from_numpy(rows).to(states.device))

    def vectors(self) -> Dict[int, torch.Tensor]:
        """Give what was pooled, when all batches have been taken.

        :return: by the number of the Doc, ``(n_pooled_layers, 1, n_modes * width)``.
        """
        return {doc: text.vectors()[:, None] for doc, text in self._texts.items()}
