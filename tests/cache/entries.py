"""Entries made from their key, so that any process can tell whether what it reads is right."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np

from spacy_ctx_embed.cache.entry import Entry

N_LAYERS, N_TOKENS, WIDTH = 3, 5, 8


def key_of(number: int) -> bytes:
    return b"%016d" % number


def entry_of(number: int, numbers: Sequence[int] = (0, 1, 2), n_tokens: int = N_TOKENS, width: int = WIDTH) -> Entry:
    """The entry of a key: each layer is what its number says, whichever other layers there are."""
    layers = [np.random.default_rng([number, layer]).normal(size=(n_tokens, width)) for layer in numbers]
    array = np.array(layers, dtype=np.float32).reshape(len(numbers), n_tokens, width)
    return Entry(tuple(numbers), np.arange(n_tokens) * 2, array, np.arange(n_tokens, dtype=np.uint8) % 6)


def items_of(chosen: Sequence[int], **shape: int) -> List[Tuple[bytes, Entry]]:
    return [(key_of(number), entry_of(number, **shape)) for number in chosen]


def same(left: Optional[Entry], right: Optional[Entry]) -> bool:
    """Whether two entries are equal bit for bit."""
    if left is None or right is None:
        return left is right
    return (
        left.numbers == right.numbers
        and left.tokens.tolist() == right.tokens.tolist()
        and left.statuses.tolist() == right.statuses.tolist()
        and left.layers.shape == right.layers.shape
        and left.layers.tobytes() == right.layers.tobytes()
    )
