"""A static table as a corpus: its words, in Docs that are lists of them.

Enters: a pipeline with a static component. Leaves: documents for the rows "word".
"""

from __future__ import annotations

from typing import Iterator

from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.errors import refused
from spacy_ctx_embed.export.corpus.items import Item, pack_doc
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.sources.layers import find_sources
from spacy_ctx_embed.sources.words import table_words

_WORDS = 1000  # of a Doc
_ALL = 1 << 60


def word_items(nlp: Language, component: str) -> Iterator[Item]:
    """Give the words of a table.

    :param nlp: the pipeline.
    :param component: its static component.
    :yields: Docs of many words each, all named like the component.
    :raises ValueError: if the component has no table of words.
    """
    (source,) = find_sources(nlp, owner=OWNER, names=[component])
    words = table_words(source, nlp.vocab, _ALL)
    if not words:
        accepted, fix = "a static component whose model is a list of words", "name one by --component"
        raise refused(OWNER, "--component", component, "has no table of words", accepted, fix)
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS]
        yield Item(component, doc=pack_doc(Doc(nlp.vocab, words=part, spaces=[True] * len(part))))
