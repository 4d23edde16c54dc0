"""How a model spells words: words -> rows of character ids, one alphabet per family of models.

Enters: words. Leaves: ``(n_words, max_chars)`` ids for :class:`~spacy_ctx_embed.networks.elmo.char_cnn.CharCnn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Protocol, Sequence

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.networks.elmo.char_ids import BOS_WORD, EOS_WORD, PAD_CHAR, char_ids


class Alphabet(Protocol):
    """What the token encoder asks of an alphabet.

    ``bos`` and ``eos`` are the words that stand for the sentence boundaries, ``pad`` is the id that fills a row after
    the end of its word.
    """

    @property
    def bos(self) -> str:
        """Word for the begin of a sentence."""

    @property
    def eos(self) -> str:
        """Word for the end of a sentence."""

    @property
    def pad(self) -> int:
        """Id after the end of a word."""

    def ids(self, words: Sequence[str], max_chars: int) -> NDArray[np.int64]:
        """Give ``(n_words, max_chars)`` ids."""


@dataclass(frozen=True)
class Utf8Bytes:
    """The alphabet of bilm-tf and AllenNLP: UTF-8 bytes between symbols for begin and end of word."""

    bos = BOS_WORD
    eos = EOS_WORD
    pad = PAD_CHAR

    def ids(self, words: Sequence[str], max_chars: int) -> NDArray[np.int64]:
        """Give the ids of words, see :func:`~spacy_ctx_embed.networks.elmo.char_ids.char_ids`.

        :param words: ``n_words`` words.
        :param max_chars: ids per word.
        :return: ``(n_words, max_chars)`` int64 ids from 1 to 261.
        """
        return char_ids(words, max_chars)


@dataclass(frozen=True)
class CodePoints:
    """The alphabet of ELMoForManyLangs: Unicode code points, listed in ``char.dic``.

    Its reference code puts ``<eow>`` before a word and ``<bow>`` after it, in training as in use, so this does too.

    :param rows: character or special symbol -> id. The symbols in ``SYMBOLS`` must be among them.
    """

    rows: Dict[str, int]

    bos = "<bos>"
    eos = "<eos>"
    SYMBOLS = ("<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>")

    @property
    def pad(self) -> int:
        """Id after the end of a word, of a trained vector like any other."""
        return self.rows["<pad>"]

    def ids(self, words: Sequence[str], max_chars: int) -> NDArray[np.int64]:
        """Give the ids of words: of a word the first ``max_chars - 2`` characters count.

        :param words: ``n_words`` words; ``<bos>`` and ``<eos>`` are the sentence boundaries, in a text too.
        :param max_chars: ids per word, at least 3.
        :return: ``(n_words, max_chars)`` int64 ids.
        """
        unknown, before, after = self.rows["<oov>"], self.rows["<eow>"], self.rows["<bow>"]
        ids = np.full((len(words), max_chars), self.pad, dtype=np.int64)
        for row, word in zip(ids, words):
            characters = (word,) if word in (self.bos, self.eos) else word[: max_chars - 2]
            row[: len(characters) + 2] = [before, *(self.rows.get(c, unknown) for c in characters), after]
        return ids
