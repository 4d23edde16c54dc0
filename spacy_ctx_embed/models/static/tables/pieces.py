"""Pieces of a tokenizer with a row each, as model2vec and sentence-transformers' ``StaticEmbedding`` have them.

Enters: words. Leaves: what those libraries give for a word that stands alone: the mean of its pieces.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np
import srsly
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import unreadable
from spacy_ctx_embed.models.static.tables.numbers import Factors1d, take_rows
from spacy_ctx_embed.models.static.tables.subwords import Row, WordParts, mean_of_parts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HOW = ("unknown", "drops_unknown", "unit_length", "most_letters")  # arguments of Pieces that are no arrays
_BLOCK = 4096  # words made at a time


class Pieces(WordParts):
    """Pieces, and the tokenizer that cuts words into them.

    :param ngrams: ``(n_rows, width)`` rows, float32, float16, or int8 with ``scales``.
    :param tokenizer: UTF-8 bytes of a ``tokenizer.json``; it adds no padding.
    :param scales: ``(n_rows,)`` factors of int8 rows.
    :param places: ``(n_pieces,)`` int64 row of each piece; ``None`` where piece i has row i.
    :param weights: ``(n_pieces,)`` float32 weight of each piece.
    :param unknown: the piece for what the tokenizer does not know. A word of nothing else has no row.
    :param drops_unknown: whether that piece is left out of a mean with others.
    :param unit_length: whether a row is scaled to length 1.
    :param most_letters: letters of a word that are read; ``None`` for all.
    """

    for_all: ClassVar[bool] = True

    def __init__(
        self,
        ngrams: NDArray[Any],
        tokenizer: NDArray[np.uint8],
        *,
        scales: Optional[Factors1d] = None,
        places: Optional[NDArray[np.int64]] = None,
        weights: Optional[NDArray[np.float32]] = None,
        unknown: Optional[int] = None,
        drops_unknown: bool = True,
        unit_length: bool = False,
        most_letters: Optional[int] = None,
    ) -> None:
        super().__init__(ngrams, scales)
        self.tokenizer = tokenizer
        self.places = places
        self.weights = weights
        self.unknown = unknown
        self.drops_unknown = drops_unknown
        self.unit_length = unit_length
        self.most_letters = most_letters
        self._cutter: Optional[Tokenizer] = None

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_cutter": None}

    @property
    def settings(self) -> Dict[str, Any]:
        """How a row is made of pieces."""
        return {
            "kind": "pieces",
            "unknown": self.unknown,
            "drops_unknown": self.drops_unknown,
            "unit_length": self.unit_length,
            "most_letters": self.most_letters,
            "mapped": self.places is not None,
            "weighted": self.weights is not None,
            "n_bytes": len(self.tokenizer),
        }

    @property
    def content(self) -> List[Optional[NDArray[Any]]]:
        """The rows, their places and weights, the tokenizer and the settings."""
        settings = np.frombuffer(srsly.json_dumps(self.settings).encode("utf8"), np.uint8)
        return [self.ngrams, self.scales, self.places, self.weights, self.tokenizer, settings]

    def with_rows(self, ngrams: NDArray[Any], scales: Optional[Factors1d]) -> Pieces:
        """Give the same pieces other rows.

        :param ngrams: ``(n_rows, width)`` rows.
        :param scales: factors of int8 rows.
        :return: the pieces.
        """
        how = {key: self.settings[key] for key in HOW}
        return Pieces(ngrams, self.tokenizer, scales=scales, places=self.places, weights=self.weights, **how)

    def row(self, word: str) -> Optional[Row]:
        """Make a word's row.

        :param word: any word.
        :return: ``(width,)`` float32 row, or ``None`` where no piece of it is known.
        """
        rows, known = self.rows([word])
        return rows[0] if known[0] else None

    def rows(self, words: Sequence[str]) -> Tuple[Floats2d, NDArray[np.bool_]]:
        """Make rows of words.

        :param words: ``n`` words.
        :return: ``(n, width)`` float32, and which of them have a piece that is known; the others are zero.
        """
        made = np.zeros((len(words), self.ngrams.shape[1]), np.float32)
        known = np.zeros(len(words), bool)
        for start in range(0, len(words), _BLOCK):
            part = slice(start, start + _BLOCK)
            made[part], known[part] = self._block(words[part])
        return made, known

    def _block(self, words: Sequence[str]) -> Tuple[Floats2d, NDArray[np.bool_]]:
        cut = self._cut(words)
        if self.unknown is not None:
            known = [[piece for piece in pieces if piece != self.unknown] for pieces in cut]
            cut = known if self.drops_unknown else [all_of if some else [] for all_of, some in zip(cut, known)]
        counts = np.fromiter(map(len, cut), np.int64, len(cut))
        pieces = np.fromiter(chain.from_iterable(cut), np.int64, int(counts.sum()))
        rows = take_rows(self.ngrams, self.scales, pieces if self.places is None else self.places[pieces])
        if self.weights is not None:
            rows *= self.weights[pieces, None]
        means = mean_of_parts(rows, counts)
        if self.unit_length:
            means /= np.linalg.norm(means, axis=1, keepdims=True) + np.float32(1e-32)
        return means, counts > 0

    def _cut(self, words: Sequence[str]) -> List[List[int]]:
        # One by one, which is as fast as a batch, and starts no threads: those would not be there after a fork.
        if self._cutter is None:
            from tokenizers import Tokenizer

            try:
                self._cutter = Tokenizer.from_str(self.tokenizer.tobytes().decode("utf8"))
            except Exception as error:  # it raises bare exceptions
                file = Path("tokenizer.json")
                accepted, fix = "the file as it was written into the folder of the table", "convert the table again"
                raise unreadable(file, error, accepted=accepted, fix=fix) from error
        encode = self._cutter.encode
        return [encode(word[: self.most_letters], add_special_tokens=False).ids for word in words]
