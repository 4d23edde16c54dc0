"""What the embedding components of a pipeline have vectors for: tokens of a corpus by status, and words missing most.

Enters: a pipeline and the Docs of a corpus. Leaves: a :class:`Coverage` per component.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import Dict, Iterable, List, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.data import Status, covered
from spacy_ctx_embed.sources.docs import batches

_BATCH = 4096  # tokens


@dataclass
class Coverage:
    """What was found for one component.

    :param component: its name.
    :param n_docs: Docs read.
    :param statuses: tokens by ``vector_status``; no status that no token has.
    :param missing: words without a vector, and how often each occurs; whitespace is none.
    """

    component: str
    n_docs: int = 0
    statuses: Dict[str, int] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)

    @property
    def n_words(self) -> int:
        """Tokens that are no whitespace."""
        return sum(self.statuses.values()) - self.statuses.get(Status.SPACE.label, 0)

    @property
    def n_covered(self) -> int:
        """Tokens with a vector."""
        return self.n_words - self.missing.total()

    @property
    def share(self) -> float:
        """Part of the words, each as often as it occurs, that have a vector; not a number without words."""
        return self.n_covered / self.n_words if self.n_words else float("nan")

    def most_missed(self, n: int) -> List[Tuple[str, int]]:
        """List words without a vector.

        :param n: words at most.
        :return: words and counts, the most frequent first, those of one count by spelling.
        """
        return sorted(self.missing.items(), key=lambda item: (-item[1], item[0]))[:n]


def coverage(nlp: Language, docs: Iterable[Doc]) -> List[Coverage]:
    """Run a pipeline over a corpus, and count.

    :param nlp: the pipeline.
    :param docs: Docs as its tokenizer makes them, read as a stream.
    :return: one count per component that leaves rows on Docs, in the order in which they run.
    """
    found: Dict[str, Coverage] = {}
    for doc in chain.from_iterable(nlp.pipe(batch) for batch in batches(docs, _BATCH)):
        for name in storage.names(doc):
            mine = found.setdefault(name, Coverage(name))
            status = storage.read(doc, name).status
            mine.n_docs += 1
            counts = np.bincount(status, minlength=len(Status)).tolist()
            for kind in Status:
                if counts[kind]:
                    mine.statuses[kind.label] = mine.statuses.get(kind.label, 0) + counts[kind]
            lacking = np.flatnonzero(~covered(status) & (status != Status.SPACE))
            mine.missing.update(doc[i].text for i in lacking.tolist())
    return list(found.values())
