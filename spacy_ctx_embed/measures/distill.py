"""From contextual vectors to a static table: for each word the mean of its rows over the contexts of a corpus.

The reduction of Bommasani, Davis and Cardie (2020), "Interpreting Pretrained Contextualized Representations via
Reductions to Static Embeddings", with their "mean" twice: of a word's pieces, which the component does, and of its
contexts. Enters: Docs, one after another. Leaves: words by frequency and their rows; only sums are kept meanwhile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Collection, Dict, Iterable, List, Optional, Sequence, Set

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.sources.docs import batches
from spacy_ctx_embed.sources.layers import LayerRows, Source, find_sources

_BATCH = 4096  # tokens


@dataclass(frozen=True)
class Distilled:
    """A table of means.

    :param words: ``n_words`` words, the most frequent first, those of one frequency as they were met.
    :param layers: ``(n_layers, n_words, width)`` float32 means, in the order of the layers asked for.
    :param counts: ``n_words`` how often each occurs.
    :param n_contexts: how many rows are in the means.
    :param n_docs: how many Docs were read.
    """

    words: List[str]
    layers: np.ndarray
    counts: List[int]
    n_contexts: int
    n_docs: int


def contextual_source(nlp: Language, *, owner: str, name: Optional[str] = None) -> Source:
    """Find the component to distill.

    :param nlp: the pipeline.
    :param owner: the command, for messages.
    :param name: its name; the last contextual one if not given.
    :return: the source.
    :raises ValueError: if there is none of that name, or it has no contexts.
    """
    found = find_sources(nlp, owner=owner, names=None if name is None else [name])
    contextual = [source for source in found if source.kind != "static"]
    if contextual:
        return contextual[-1]
    raise ValueError(
        Errors.E086.format(
            owner=owner,
            key="--component",
            value=name or found[-1].name,
            reason="is static, so that all contexts of a word have one row",
            accepted="a contextual component, such as elmo_embeddings or bert_embeddings",
            fix="name one by --component, or add one to the pipeline",
        )
    )


def layer_number(source: Source, layer: int, *, owner: str) -> int:
    """Count a layer from the first one on.

    :param source: the source.
    :param layer: its number, a negative one from the last on.
    :param owner: the command, for messages.
    :return: 0 to ``n_layers - 1``.
    :raises ValueError: if there is no such layer.
    """
    n = source.n_layers
    if -n <= layer < n:
        return layer % n
    raise ValueError(
        Errors.E086.format(
            owner=owner,
            key="--layer",
            value=layer,
            reason=f"is no layer of {source.name!r}, which has {n}",
            accepted=f"{-n} to {n - 1}",
            fix="choose one of those, or another --component",
        )
    )


def distill(
    source: Source,
    docs: Iterable[Doc],
    *,
    owner: str,
    layers: Sequence[int] = (-1,),
    contexts: int = 100,
    min_count: int = 1,
    words: Optional[Collection[str]] = None,
    lower: bool = False,
    batch_tokens: int = _BATCH,
) -> Distilled:
    """Average the rows of each word over its first contexts.

    :param source: a contextual source.
    :param docs: Docs, read once; where ``words`` are given, those without any of them are not run.
    :param owner: the command, for messages.
    :param layers: numbers of the layers wanted.
    :param contexts: how many contexts of a word count at most, from the first on.
    :param min_count: leave out words that occur less often.
    :param words: keep these alone.
    :param lower: whether to lower-case words.
    :param batch_tokens: tokens of Docs that are run together, about; it changes nothing but memory and speed.
    :return: the table.
    :raises ValueError: if a layer is not there, or no word is left.
    """
    numbers = [layer_number(source, layer, owner=owner) for layer in layers]
    wanted = None if words is None else {word.lower() if lower else word for word in words}
    sums, n_docs = _Sums(numbers, contexts), 0
    for batch in batches(docs, batch_tokens):
        n_docs += len(batch)
        texts = [[token.text.lower() if lower else token.text for token in doc] for doc in batch]
        kept = [i for i, found in enumerate(texts) if wanted is None or not wanted.isdisjoint(found)]
        rows = source.layers_of([batch[i] for i in kept]) if kept else []
        for i, part in zip(kept, rows):
            sums.add(texts[i], part, part.has_vector, wanted)
    return sums.table(min_count, n_docs, owner)


class _Sums:
    # Of each word the sum of its rows: (n_layers, n_room, width), with more room than words.

    def __init__(self, layers: List[int], contexts: int) -> None:
        self._layers, self._contexts = layers, contexts
        self._ids: Dict[str, int] = {}
        self._counts: Counter[int] = Counter()
        self._sums = np.zeros((len(layers), 0, 0), np.float32)

    def add(self, texts: List[str], rows: LayerRows, usable: np.ndarray, wanted: Optional[Set[str]]) -> None:
        tokens, ids = [], []
        for token in np.flatnonzero(usable).tolist():
            word = texts[token]
            if wanted is not None and word not in wanted:
                continue
            number = self._ids.setdefault(word, len(self._ids))
            self._counts[number] += 1
            if self._counts[number] <= self._contexts:
                tokens.append(token)
                ids.append(number)
        if not tokens:
            return
        self._make_room(rows.layers.shape[2])
        order = np.argsort(ids, kind="stable")
        places, starts = np.unique(np.array(ids)[order], return_index=True)
        for into, layer in zip(self._sums, self._layers):
            into[places] += np.add.reduceat(rows.layers[layer][np.array(tokens)[order]], starts, axis=0)

    def table(self, min_count: int, n_docs: int, owner: str) -> Distilled:
        words = list(self._ids)
        kept = [number for number, count in self._counts.most_common() if count >= min_count]
        if not kept:
            raise ValueError(
                Errors.E086.format(
                    owner=owner,
                    key="--min-count",
                    value=min_count,
                    reason=f"leaves no word with a vector, of {len(words)} words that were looked for and met",
                    accepted="a corpus that has words, and those of --words, often enough",
                    fix="lower --min-count, read more text, or look at the list of --words and at --lower",
                )
            )
        counts = [self._counts[number] for number in kept]
        used = np.minimum(counts, self._contexts)
        means = self._sums[:, kept] / used[:, None].astype(np.float32)
        return Distilled([words[number] for number in kept], means, counts, int(used.sum()), n_docs)

    def _make_room(self, width: int) -> None:
        n_layers, n_room, _ = self._sums.shape
        if len(self._ids) > n_room:
            grown = np.zeros((n_layers, max(1024, len(self._ids) * 3 // 2), width), np.float32)
            grown[:, :n_room] = self._sums if n_room else 0
            self._sums = grown
