"""Other spellings under which a table may have a word, in the order in which they are tried, and the parts of a word.

Enters: a word that is not in the table. Leaves: spellings to look up, each with the status that says which it was.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from spacy_ctx_embed.data import Status

_DIGIT = re.compile(r"\d")
_HYPHENS = re.compile("[-\u2010\u2011\u2012\u2013]")


def _without_accents(word: str) -> str:
    plain = "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", plain)


# In this order, whatever that in the config.
_SPELLINGS: Dict[str, Tuple[Status, Callable[[str], str]]] = {
    "title": (Status.TITLE, str.title),
    "nfkc": (Status.NFKC, lambda word: unicodedata.normalize("NFKC", word)),
    "accents": (Status.ACCENTS, _without_accents),
    "digits": (Status.DIGITS, lambda word: _DIGIT.sub("0", word)),
}
PARTS = "parts"
FALLBACKS = (*_SPELLINGS, PARTS)


def spellings(words: Sequence[str], wanted: Sequence[str], lower: bool) -> Iterator[Tuple[Status, List[str]]]:
    """Spell words otherwise, a spelling of all of them at a time.

    :param words: ``n_words`` words.
    :param wanted: which of :data:`FALLBACKS`.
    :param lower: whether each spelling is tried lower-cased too, after it.
    :yields: what a token has for its status if its word is found so, and ``n_words`` spellings.
    """
    for name, (status, spell) in _SPELLINGS.items():
        if name in wanted:
            spelled = [spell(word) for word in words]
            yield status, spelled
            if lower and name != "title":
                yield status, [word.lower() for word in spelled]


def parts_of(word: str) -> List[str]:
    """Take a word apart at its hyphens.

    :param word: a word.
    :return: two parts or more; none where there is no hyphen between two.
    """
    parts = [part for part in _HYPHENS.split(word) if part]
    return parts if len(parts) > 1 else []
