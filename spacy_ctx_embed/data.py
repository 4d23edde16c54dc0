"""The things that travel between the stages: layouts, segments, piece maps, layer stacks and token rows.

Each is a frozen dataclass whose shapes are checked once, when it is made; the stages then trust them. Axis
names: ``n_docs``, ``n_segments``, ``n_pieces``, ``n_tokens``, ``n_layers``, ``width``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Optional, Tuple, Union, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Ints1d = NDArray[np.int64]
Floats2d = NDArray[np.float32]
Statuses1d = NDArray[np.uint8]

# Ways in which sentence-transformers pools the pieces of a text.
TEXT_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


class Status(IntEnum):
    """Why a token has the row that it has. Stored as one byte per token; ``label`` is what users read."""

    OK = 0
    FALLBACK = 1
    OOV = 2
    SPACE = 3
    UNCOVERED = 4
    UNKNOWN = 5  # has a row, which says what the model makes of any unknown word there, and no vector
    # the row of another spelling, or the mean of a word's parts: ``fallbacks`` of StaticVectors.v1
    TITLE = 6
    NFKC = 7
    ACCENTS = 8
    DIGITS = 9
    PARTS = 10

    @property
    def label(self) -> str:
        """The value of ``token._.vector_status``."""
        return self.name.lower()


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a text stand.

    :param starts: ``(n_tokens,)`` offset of each token's first character.
    :param orths: ``(n_tokens,)`` uint64 string id of each token's text.
    :param end: offset behind the last token's last character; 0 for an empty text.
    """

    starts: Ints1d
    orths: NDArray[np.uint64]
    end: int

    def __len__(self) -> int:
        return len(self.starts)

    def same(self, other: Layout) -> bool:
        """Tell whether two layouts are of the same tokens.

        :param other: the other one.
        :return: true if each token has the same text at the same place.
        """
        return (
            len(self) == len(other)
            and bool((self.orths == other.orths).all())
            and bool((self.starts == other.starts).all())
        )


@dataclass(frozen=True)
class Segment:
    """Tokens that a contextual encoder reads together.

    :param doc: index of the Doc in the batch.
    :param tokens: ``(n_tokens,)`` indices into the Doc of the tokens whose rows this segment gives; in a batch
        every covered token is named by exactly one segment.
    :param length: what the segment costs in the encoder's own unit (word pieces or tokens, boundary symbols
        included), the number that ``max_batch_tokens`` budgets.
    :param inputs: what the encoder's network needs to run it (piece ids, words, …).
    :param statuses: ``(n_tokens,)`` uint8 array of :class:`Status` values of those tokens; ``None`` where all are ok.
    """

    doc: int
    tokens: Ints1d
    length: int
    inputs: Any
    statuses: Optional[Statuses1d] = None

    def __post_init__(self) -> None:
        if self.tokens.ndim != 1:
            raise ValueError(f"Segment.tokens must have one axis (n_tokens,), got shape {self.tokens.shape}")
        if self.statuses is not None and self.statuses.shape != self.tokens.shape:
            raise ValueError(f"Segment.statuses must be one per token, {self.tokens.shape}, got {self.statuses.shape}")
        if self.length < 0:
            raise ValueError(f"Segment.length counts pieces or tokens and cannot be {self.length}")


@dataclass(frozen=True)
class PieceMap:
    """Which word pieces belong to which token: pairs sorted by token, then by piece.

    A piece that covers several tokens stands in several pairs; a token without pieces stands in none.

    :param pieces: ``(n_pairs,)`` piece index of each pair.
    :param tokens: ``(n_pairs,)`` token index of each pair, not decreasing.
    :param n_tokens: number of tokens of the text.
    """

    pieces: Ints1d
    tokens: Ints1d
    n_tokens: int

    def __post_init__(self) -> None:
        if self.pieces.ndim != 1 or self.pieces.shape != self.tokens.shape:
            raise ValueError(
                f"PieceMap wants two arrays of one shape (n_pairs,), got {self.pieces.shape} and {self.tokens.shape}"
            )
        if self.tokens.size and (self.tokens[0] < 0 or self.tokens[-1] >= self.n_tokens):
            raise ValueError(f"PieceMap.tokens must lie in 0..{self.n_tokens - 1}")
        if self.tokens.size and (np.diff(self.tokens) < 0).any():
            raise ValueError("PieceMap.tokens must not decrease")


@dataclass(frozen=True)
class LayerStack:
    """The chosen layers of an encoder for the tokens of one segment or Doc, not mixed yet.

    :param layers: ``(n_layers, n_tokens, width)`` float tensor on the encoder's device.
    """

    layers: torch.Tensor

    def __post_init__(self) -> None:
        if self.layers.ndim != 3:
            raise ValueError(
                f"LayerStack.layers must be (n_layers, n_tokens, width), got shape {tuple(self.layers.shape)}"
            )


@dataclass(frozen=True)
class TokenRows:
    """One row per token of one Doc, and why each is what it is.

    A token without a vector has a zero row, but for one whose status is ``unknown``: that keeps the row that the model
    gives it, for components that train on rows.

    :param rows: ``(n_tokens, width)`` float array on the CPU.
    :param status: ``(n_tokens,)`` uint8 array of :class:`Status` values.
    :param layout: where the tokens stand, if the encoder read it; storage reads it again if not.
    :param text: ``(text_width,)`` vector of the whole text, where the encoder was asked for one of its own.
    """

    rows: Floats2d
    status: Statuses1d
    layout: Optional[Layout] = None
    text: Optional[NDArray[np.float32]] = None

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.status.shape != self.rows.shape[:1]:
            raise ValueError(
                f"TokenRows wants rows (n_tokens, width) and status (n_tokens,), got {self.rows.shape} and "
                f"{self.status.shape}"
            )


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer behind the pooling of a model: ``activation(weight x + bias) + residual x``.

    :param weight: ``(n_out, n_in)`` float32.
    :param bias: ``(n_out,)`` float32; ``None`` for none.
    :param activation: name of a class of ``torch.nn``.
    :param residual: ``(n_out, n_in)`` float32; ``None`` where nothing is added.
    """

    weight: Floats2d
    bias: Optional[NDArray[np.float32]]
    activation: str
    residual: Optional[Floats2d] = None


@dataclass(frozen=True)
class TextHead:
    """How a model makes one vector of the states of all pieces of a text.

    :param modes: of :data:`TEXT_MODES`, whose results stand one after another.
    :param steps: what is done to that: a :class:`Dense` layer, "normalize", or a number of columns to keep.
    """

    modes: Tuple[str, ...]
    steps: Tuple[Union[Dense, str, int], ...] = ()


# By the number of a status: whether a token with it has a vector.
WITH_VECTOR = tuple(status not in (Status.OOV, Status.SPACE, Status.UNCOVERED, Status.UNKNOWN) for status in Status)
_WITH_VECTOR = np.array(WITH_VECTOR)


def covered(status: Statuses1d) -> NDArray[np.bool_]:
    """Tell which tokens have a vector.

    :param status: array of :class:`Status` values, of any shape.
    :return: booleans of that shape, true for ``ok``, ``fallback`` and the fallbacks with a name of their own.
    """
    return cast(NDArray[np.bool_], _WITH_VECTOR[status])
