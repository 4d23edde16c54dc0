"""A text as word pieces: what it spells is text, also where that is the name of a special piece.

Enters: a text. Leaves: ids and character offsets of its pieces, and which tokens the model can't tell from any other
unknown word. A document that could put "[SEP]" or "</s>" among its pieces as the model means them would steer the
model; so such a spelling is cut like any other word, unless the config asks for the model's own reading.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d, PieceMap, Status, Statuses1d
from spacy_ctx_embed.encoders.bert.settings import SPLIT, BertSettings
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.transformer.pieces import PlainPieces, pieces_of

OWNER = BertSettings.owner
_BLANK = "\u2581"  # SentencePiece's mark of a word's beginning, alone: it stands for no letter


class TextPieces:
    """Cuts texts. The files of the tokenizer stay as they are.

    :param tokenizer: a ``transformers`` tokenizer; its back end is set up, once.
    :param split_special: whether the spelling of a special piece is text.
    :raises ValueError: if it is not to be, and the pieces are characters or bytes.
    """

    def __init__(self, tokenizer: Any, *, split_special: bool) -> None:
        self._back_end = pieces_of(tokenizer)
        self._split_special = split_special
        self.unknown: Optional[int] = None
        if isinstance(self._back_end, PlainPieces):  # of characters or bytes none is unknown, none a special piece
            if not split_special:
                key, accepted = f"tokenizer_config.{SPLIT}", "true, where pieces are characters or bytes"
                raise ValueError(Errors.E001.format(owner=OWNER, key=key, value=False, accepted=accepted))
            self._split_special = False
            return
        self._back_end.encode_special_tokens = split_special
        self.unknown = _unknown_piece(tokenizer)
        self._unknown_spelling = None if self.unknown is None else self._back_end.id_to_token(self.unknown)
        self._blank = self._back_end.token_to_id(_BLANK)
        added = self._back_end.get_added_tokens_decoder()
        special = {*(i for i, piece in added.items() if piece.special), *tokenizer.all_special_ids} - {self.unknown}
        self.special: Ints1d = np.array(sorted(special), dtype=np.int64)

    def cut(self, text: str) -> Tuple[Ints1d, Ints1d]:
        """Cut a text.

        :param text: any text.
        :return: ``(n_pieces,)`` ids and ``(n_pieces, 2)`` character offsets, half-open, no special pieces around them.
        """
        encoding = self._back_end.encode(text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int64)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        if not self._split_special:
            return ids, offsets
        spelled = self._spelled(text, ids, offsets)
        if not len(spelled):
            return ids, offsets
        return self._respelled(text, ids, offsets, spelled)

    def statuses(self, ids: Ints1d, pairs: PieceMap) -> Optional[Statuses1d]:
        """Tell tokens of which the model sees nothing but its unknown piece from the others.

        :param ids: ``(n_pieces,)`` pieces of the text.
        :param pairs: which of them belong to which token.
        :return: ``(n_tokens,)`` bytes, ok or unknown; ``None`` where no piece is the unknown one.
        """
        unknown = ids == self.unknown
        if not unknown.any():
            return None
        known = ~unknown if self._blank is None else ~unknown & (ids != self._blank)
        n_unknown = np.bincount(pairs.tokens[unknown[pairs.pieces]], minlength=pairs.n_tokens)
        n_known = np.bincount(pairs.tokens[known[pairs.pieces]], minlength=pairs.n_tokens)
        return np.where((n_unknown > 0) & (n_known == 0), np.uint8(Status.UNKNOWN), np.uint8(Status.OK))

    def _spelled(self, text: str, ids: Ints1d, offsets: Ints1d) -> Ints1d:
        # Numbers of special pieces that a vocabulary gave for their spelling: Unigram, for one, has them among the
        # others. A piece of one character is that character, whatever else it is used for.
        found = np.isin(ids, self.special)
        if self._unknown_spelling is not None and self._unknown_spelling in text:
            for i in np.flatnonzero(ids == self.unknown):
                found[i] = text[offsets[i, 0] : offsets[i, 1]] == self._unknown_spelling
        return np.flatnonzero(found & (offsets[:, 1] - offsets[:, 0] > 1))

    def _respelled(self, text: str, ids: Ints1d, offsets: Ints1d, spelled: Ints1d) -> Tuple[Ints1d, Ints1d]:
        # In place of each of them the pieces of its first character, and those of the rest.
        parts, done = [], 0
        known: Dict[str, Tuple[Ints1d, Ints1d]] = {}  # a text may repeat one of them a hundred thousand times
        for i in spelled.tolist():
            start, end = offsets[i].tolist()
            spelling = text[start:end]
            if spelling not in known:
                (first, first_offsets), (rest, rest_offsets) = self.cut(spelling[:1]), self.cut(spelling[1:])
                inside = np.concatenate([first_offsets, rest_offsets + 1])
                known[spelling] = np.concatenate([first, rest]), inside
            inner_ids, inner_offsets = known[spelling]
            parts += [(ids[done:i], offsets[done:i]), (inner_ids, inner_offsets + start)]
            done = i + 1
        parts.append((ids[done:], offsets[done:]))
        return np.concatenate([part for part, _ in parts]), np.concatenate([part for _, part in parts])


def _unknown_piece(tokenizer: Any) -> Optional[int]:
    # What the tokenizer gives for what it has no piece for. Of GPT-2 and its kin transformers names one that it never
    # gives; of the models of the tokenizers library only Unigram does not say itself.
    back_end = tokenizer.backend_tokenizer
    model = back_end.model
    if not hasattr(model, "unk_token"):
        found: Optional[int] = tokenizer.unk_token_id
        return found
    return None if model.unk_token is None else back_end.token_to_id(model.unk_token)
