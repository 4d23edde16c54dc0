"""How a loaded tokenizer cuts a text into pieces with character offsets, whatever kind of tokenizer it is.

Enters: a ``transformers`` tokenizer. Leaves: its fast back end, or, for the two families without one whose pieces
follow from the text itself, an object that does the same: CANINE has one piece per code point (Clark et al. 2021,
arXiv:2103.06874), ByT5 one per byte of UTF-8 (Xue et al. 2021, arXiv:2105.13626).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d

_REPLACEMENT = 0xFFFD  # what Unicode has for a character that can't stand where it does


class Encoding(NamedTuple):
    """Pieces of a text, under the names that the tokenizers library has for them.

    :param ids: ``(n_pieces,)`` piece ids.
    :param offsets: ``(n_pieces, 2)`` half-open ranges of characters.
    :param type_ids: ``(n_pieces,)`` token type ids.
    """

    ids: Ints1d
    offsets: np.ndarray
    type_ids: Ints1d


class PlainPieces(ABC):
    """Pieces that follow from the characters of a text alone. What it spells is text, whatever pieces are called so.

    :param tokenizer: a ``transformers`` tokenizer of the family.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, add_special_tokens: bool = True) -> Encoding:
        """Cut a text.

        :param text: the text.
        :param add_special_tokens: whether to put the family's special pieces around it; these have no characters.
        :return: its pieces.
        """
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
        ids, character = self._pieces(text, codes)
        offsets = np.stack([character, character + 1], axis=1)
        if not add_special_tokens:
            return Encoding(ids, offsets, np.zeros(len(ids), dtype=np.int64))
        return self._framed(ids.tolist(), offsets)

    def to_str(self) -> str:
        """Tell tokenizers apart.

        :return: a text that is the same for those that give the same pieces.
        """
        return json.dumps([type(self).__name__, self.encode("").ids.tolist()])

    @abstractmethod
    def _pieces(self, text: str, codes: Ints1d) -> Tuple[Ints1d, Ints1d]:
        # codes: (n_characters,) code points. Ids of the pieces, and the number of each one's character.
        ...

    def _framed(self, ids: List[int], offsets: np.ndarray) -> Encoding:
        framed = self._tokenizer.build_inputs_with_special_tokens(ids)
        types = self._tokenizer.create_token_type_ids_from_sequences(ids)
        before = framed.index(ids[0]) if ids else len(framed)  # no piece of a text is a special one
        around = np.pad(offsets, ((before, len(framed) - len(ids) - before), (0, 0)))
        return Encoding(np.array(framed, dtype=np.int64), around, np.array(types, dtype=np.int64))


class CodePoints(PlainPieces):
    """CANINE: a piece's id is the code point of its character.

    Its special pieces are private code points and the zero byte. A text that has one of these would steer the model: it
    becomes U+FFFD.
    """

    def __init__(self, tokenizer: Any) -> None:
        from transformers.models.canine.tokenization_canine import SPECIAL_CODEPOINTS

        super().__init__(tokenizer)
        self._special = np.array([*SPECIAL_CODEPOINTS, *tokenizer.all_special_ids])

    def _pieces(self, text: str, codes: Ints1d) -> Tuple[Ints1d, Ints1d]:
        return np.where(np.isin(codes, self._special), _REPLACEMENT, codes), np.arange(len(codes))


class Utf8Bytes(PlainPieces):
    """ByT5: a piece's id is its byte and a few more, for the special pieces in front."""

    def _pieces(self, text: str, codes: Ints1d) -> Tuple[Ints1d, Ints1d]:
        ids = np.frombuffer(text.encode("utf8"), dtype=np.uint8).astype(np.int64) + self._tokenizer.offset
        n_bytes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
        return ids, np.repeat(np.arange(len(codes)), n_bytes)


_PLAIN: Dict[str, Any] = {"CanineTokenizer": CodePoints, "ByT5Tokenizer": Utf8Bytes}


def is_plain(tokenizer: Any) -> bool:
    """Tell whether a slow tokenizer is of a family whose pieces follow from the text.

    :param tokenizer: a ``transformers`` tokenizer.
    :return: whether it is; not where it was taught words, or is of a class derived from one of them.
    """
    kind = type(tokenizer)
    taught = set(tokenizer.added_tokens_encoder.values()) - set(tokenizer.all_special_ids)
    return kind.__name__ in _PLAIN and kind.__module__.startswith("transformers.models.") and not taught


def pieces_of(tokenizer: Any) -> Any:
    """Give what cuts texts, set to cut them whole.

    :param tokenizer: a tokenizer of :func:`~spacy_ctx_embed.models.transformer.files.read_transformer`.
    :return: a ``tokenizers.Tokenizer`` without truncation and padding, or :class:`PlainPieces` with as much of its
        interface as is used: ``encode`` and ``to_str``.
    """
    if not tokenizer.is_fast:
        return _PLAIN[type(tokenizer).__name__](tokenizer)
    back_end = tokenizer.backend_tokenizer
    back_end.no_truncation()
    back_end.no_padding()
    return back_end
