"""Words to the character ids that ELMo's token encoder reads: UTF-8 bytes between begin and end symbols.

Enters: words. Leaves: ``(n_words, max_chars)`` ids from 1 to 261; 0 would mean "no token" and never occurs here.
Source: bilm-tf ``bilm/data.py`` (``UnicodeCharsVocabulary``), with the shift by one of its ``Batcher``.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np
from numpy.typing import NDArray

N_CHARS = 262  # the 261 trained rows, and before them the zero row of "no token"
BOS_CHAR, EOS_CHAR, BOW_CHAR, EOW_CHAR, PAD_CHAR = 257, 258, 259, 260, 261
BOS_WORD, EOS_WORD = "<S>", "</S>"  # these words are the sentence boundaries, in a text too (as in AllenNLP)


def char_ids(words: Sequence[str], max_chars: int) -> NDArray[np.int64]:
    """Give the character ids of words.

    A word is its first ``max_chars - 2`` UTF-8 bytes (the cut may fall inside a character) between the symbols for
    begin and end of word; the rest is the in-word padding symbol, which is a trained row like any other. What UTF-8
    cannot encode (lone surrogates) is left out.

    :param words: ``n_words`` words; ``<S>`` and ``</S>`` are the sentence boundaries.
    :param max_chars: ids per word, at least 3.
    :return: ``(n_words, max_chars)`` int64 ids.
    """
    encoded = [word.encode("utf-8", "ignore")[: max_chars - 2] for word in words]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    flat = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    rows = np.arange(len(encoded))
    starts = np.cumsum(lengths) - lengths
    ids = np.full((len(encoded), max_chars), PAD_CHAR, dtype=np.int64)
    ids[:, 0] = BOW_CHAR
    ids[np.repeat(rows, lengths), np.arange(flat.size) - np.repeat(starts, lengths) + 1] = flat.astype(np.int64) + 1
    ids[rows, lengths + 1] = EOW_CHAR
    for i, word in enumerate(words):
        if word in (BOS_WORD, EOS_WORD):
            ids[i, 1:] = PAD_CHAR
            ids[i, 1:3] = (BOS_CHAR if word == BOS_WORD else EOS_CHAR, EOW_CHAR)
    return ids
