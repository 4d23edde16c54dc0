"""The registered function for ``[nlp.vectors]``: settings in, and what gives a vocab a :class:`VocabTable` out."""

from typing import Callable, Optional

from spacy.vectors import BaseVectors
from spacy.vocab import Vocab

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.encoders.static.vocab_table import OWNER, VocabTable

_LOWERCASE, _OOV = ("fallback", "never"), ("zero", "subword")


def create_table_vectors_v1(
    name: str,
    lowercase: str = "fallback",
    oov: str = "zero",
    limit: Optional[int] = None,
    allow_pickle: bool = False,
    cache: bool = True,
) -> Callable[[Vocab], BaseVectors]:
    """Make the function that gives a vocab its vectors. Opens no file.

    :param name: the table: an alias, a path, ``package:…`` or ``gensim:…``.
    :param lowercase: "fallback" tries the word as written, then lower-cased; "never" only as written.
    :param oov: what a word has that is not there: "zero" no vector, "subword" the mean of its fastText n-grams.
    :param limit: read only so many words, from the first on; null for all. Without effect on tables of parts (floret,
        model2vec, ``StaticEmbedding``), which have no list of words.
    :param allow_pickle: load gensim's own files, which are pickles and can run any code.
    :param cache: keep a table whose format is slow to read as a folder in the user's cache.
    :return: the function.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    settings = locals()
    check_one_of(OWNER, "lowercase", lowercase, _LOWERCASE)
    check_one_of(OWNER, "oov", oov, _OOV)
    check_one_of(OWNER, "allow_pickle", allow_pickle, (True, False))
    check_one_of(OWNER, "cache", cache, (True, False))
    check_positive(OWNER, "limit", limit, optional=True)

    def create(vocab: Vocab) -> BaseVectors:
        return VocabTable(settings)

    return create
