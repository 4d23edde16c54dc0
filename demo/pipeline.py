"""The pipeline of the demo: sentences, then static, ELMo and BERT vectors, each timed on its own.

Enters: texts. Leaves: Docs that carry the vectors of every source, and how long each source took.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import List, Optional, Sequence

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc, Token

# A text of at most so many tokens is shown token by token.
SHORT_TEXT = 60


@dataclass
class Source:
    """One embedding component of the pipeline.

    :param title: how tables call it.
    :param component: its name in the pipeline.
    :param load_seconds: time to build it and encode a first word, which opens the model.
    :param encode_seconds: time it took for the texts.
    :param statuses: ``token._.vector_status`` of each token of a short text, all texts one after another.
    """

    title: str
    component: str
    load_seconds: float = 0.0
    encode_seconds: float = 0.0
    statuses: List[str] = field(default_factory=list)


def build(elmo: Optional[str]) -> tuple[Language, List[Source]]:
    """Make the pipeline and open its models.

    :param elmo: name of an ELMo model, such as its folder; ``None`` for the default one.
    :return: the pipeline and its three sources.
    :raises ModelNotFoundError: if a model is not there.
    """
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    config = {"model": {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": elmo}} if elmo else {}
    sources = [
        Source("static", "static_embeddings"),
        Source("ELMo", "elmo_embeddings"),
        Source("BERT", "bert_embeddings"),
    ]
    for source in sources:
        start = perf_counter()
        pipe = nlp.add_pipe(source.component, config=config if source.title == "ELMo" else {})
        pipe(nlp.make_doc("Hello"))  # the model is opened at first use
        source.load_seconds = perf_counter() - start
    return nlp, sources


def encode(nlp: Language, sources: Sequence[Source], texts: Sequence[str]) -> List[Doc]:
    """Run the pipeline, one source after another so that each can be timed.

    ``list(nlp.pipe(texts))`` gives the same Docs.

    :param nlp: the pipeline.
    :param sources: its sources; their ``encode_seconds`` and ``statuses`` are set.
    :param texts: the texts.
    :return: one Doc per text, with the vectors of each source.
    """
    nlp.max_length = max(nlp.max_length, *map(len, texts), 0)  # the limit guards parsers, and there is none here
    docs = list(nlp.pipe(texts, disable=[source.component for source in sources]))
    for source in sources:
        start = perf_counter()
        others = [name for name in nlp.pipe_names if name != source.component]
        docs = list(nlp.pipe(docs, disable=others))
        source.encode_seconds = perf_counter() - start
        if sum(map(len, docs)) <= SHORT_TEXT:  # the status is that of the source that ran last
            source.statuses = [token._.vector_status for doc in docs for token in doc]
    return docs


def similarities(tokens: Sequence[Token], source: Source) -> NDArray[np.float64]:
    """Compare occurrences of a word with each other.

    :param tokens: n tokens.
    :param source: whose vectors to compare.
    :return: ``(n, n)`` cosines.
    """
    return np.array([[a._.similarity(b, name=source.component) for b in tokens] for a in tokens])
