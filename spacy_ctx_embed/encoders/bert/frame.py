"""The special pieces that a tokenizer puts around a text, found on the tokenizer itself.

Enters: what cuts texts. Leaves: a :class:`Frame`, pieces before and behind the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d

# A word of a private character, which no vocabulary has: taught to a copy of a tokenizer it is one piece there.
_TAUGHT = "\U0010fffd"


@dataclass(frozen=True)
class Frame:
    """Special pieces around a text, and the token type ids of the three parts.

    :param prefix: ``(n_before,)`` piece ids.
    :param suffix: ``(n_behind,)`` piece ids.
    :param prefix_types: ``(n_before,)`` token type ids.
    :param suffix_types: ``(n_behind,)`` token type ids.
    :param text_type: token type id of every piece of the text.
    """

    prefix: Ints1d
    suffix: Ints1d
    prefix_types: Ints1d
    suffix_types: Ints1d
    text_type: int

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)

    def around(self, pieces: Ints1d) -> Tuple[Ints1d, Ints1d]:
        """Put the frame around pieces.

        :param pieces: ``(n_pieces,)`` ids.
        :return: ids and token type ids of the whole window, ``(n_pieces + len(self),)`` each.
        """
        types = np.full(len(pieces), self.text_type)
        return (
            np.concatenate([self.prefix, pieces, self.suffix]),
            np.concatenate([self.prefix_types, types, self.suffix_types]),
        )


def find_frame(tokenizer: Any) -> Frame:
    """Find the frame by what the tokenizer adds to a text of one piece.

    :param tokenizer: what :func:`~spacy_ctx_embed.models.transformer.pieces.pieces_of` gave.
    :return: the frame.
    """
    from tokenizers import AddedToken, Tokenizer

    frame = _frame_around("a", tokenizer)
    if frame is not None:
        return frame
    copy = Tokenizer.from_str(tokenizer.to_str())  # "a" has no piece here, or one that can't be told apart
    copy.add_tokens([AddedToken(_TAUGHT, normalized=False)])
    frame = _frame_around(_TAUGHT, copy)
    assert frame is not None, "an added token is always a piece"
    return frame


def _frame_around(sample: str, tokenizer: Any) -> Optional[Frame]:
    # Where the pieces of the sample stand among those with special ones around them; None where that can't be told.
    try:
        bare = list(tokenizer.encode(sample, add_special_tokens=False).ids)
        framed = tokenizer.encode(sample, add_special_tokens=True)
    except Exception:  # a tokenizer without a piece for what it does not know raises a bare Exception
        return None
    n, ids = len(bare), list(framed.ids)
    places = [i for i in range(len(ids) - n + 1) if n and ids[i : i + n] == bare]
    if len(places) != 1:
        return None
    first, last = places[0], places[0] + n
    whole, types = np.array(ids, dtype=np.int64), np.array(framed.type_ids, dtype=np.int64)
    return Frame(whole[:first], whole[last:], types[:first], types[last:], int(types[first]))
