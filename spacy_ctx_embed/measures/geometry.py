"""The geometry of the layers of static, ELMo and BERT vectors: how contextual they are, and how narrow their cone is.

Enters: a pipeline and Docs. Leaves: for each source and layer the measures of Ethayarajh 2019 (arXiv:1909.00512), raw
and adjusted for anisotropy, the share of the dominant dimensions (Timkey and van Schijndel 2021, arXiv:2109.04404), and
IsoScore (Rudman et al. 2022, arXiv:2108.07344). Docs are read once, in batches; what is kept does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.measures.isotropy import Moments, first_direction, mean_cosine
from spacy_ctx_embed.measures.uses import RowSample, WordSample
from spacy_ctx_embed.rows.unit import unit_rows
from spacy_ctx_embed.sources.docs import batches
from spacy_ctx_embed.sources.layers import LayerRows, Source, find_sources

OWNER = "embed geometry"
_BATCH = 2000  # tokens, or one Doc more
_WORDS, _USES, _RANDOM = 2000, 30, 1000  # drawn: words, rows of each, rows of any word


@dataclass(frozen=True)
class Geometry:
    """Measures of one layer. What can't be told from the Docs, as of words that come once, is ``None``.

    :param component: the embedding component.
    :param kind: "static", "elmo", "bert" or another family.
    :param model: name of its model.
    :param layer: number of the layer.
    :param n_tokens: tokens with a vector that have a letter or digit; all measures are over these.
    :param n_words: drawn words that are used often enough, over which self-similarity and explained variance are means.
    :param mean_cosine: of two tokens, whichever: the anisotropy.
    :param self_similarity: mean cosine of two uses of one word (equation 1).
    :param intra_sentence: mean cosine of a token and the mean of its sentence (equation 2).
    :param explained: share of the uses of one word that lies in one direction (equation 3).
    :param explained_at_random: the same of tokens of any words.
    :param dominant_1: share of the mean cosine that comes from one dimension.
    :param dominant_3: from three.
    :param iso_score: 1 where all directions vary alike, 0 where only one does.
    """

    component: str
    kind: str
    model: str
    layer: int
    n_tokens: int
    n_words: int
    mean_cosine: Optional[float]
    self_similarity: Optional[float]
    intra_sentence: Optional[float]
    explained: Optional[float]
    explained_at_random: Optional[float]
    dominant_1: Optional[float]
    dominant_3: Optional[float]
    iso_score: Optional[float]

    @property
    def adjusted_self_similarity(self) -> Optional[float]:
        """``self_similarity`` less what any two tokens have."""
        return _less(self.self_similarity, self.mean_cosine)

    @property
    def adjusted_intra_sentence(self) -> Optional[float]:
        """``intra_sentence`` less what any two tokens have."""
        return _less(self.intra_sentence, self.mean_cosine)

    @property
    def adjusted_explained(self) -> Optional[float]:
        """``explained`` less what tokens of any words have."""
        return _less(self.explained, self.explained_at_random)


class _Layers:
    # What is kept of one source.
    def __init__(self, source: Source, seed: int) -> None:
        self._source = source
        self._moments: List[Moments] = []
        self._words, self._random = WordSample(_WORDS, _USES, seed), RowSample(_RANDOM, seed)
        self._sentences, self._n_sentences = np.zeros(source.n_layers), 0

    def add(self, doc: Doc, found: LayerRows) -> None:
        keep = found.has_vector & found.layers.any(axis=(0, 2))
        keep &= np.array([any(map(str.isalnum, token.text)) for token in doc], dtype=bool)
        layers = found.layers[:, keep]
        if not self._moments:
            self._moments = [Moments(layers.shape[2]) for _ in range(len(layers))]
        for moments, rows in zip(self._moments, layers):
            moments.add(rows)
        self._words.add([token.text.lower() for token, kept in zip(doc, keep) if kept], layers)
        self._random.add(layers)
        for start, end in _sentences(doc):
            mine = found.layers[:, start:end][:, keep[start:end]]
            if mine.shape[1]:
                unit = [unit_rows(rows) @ unit_rows(rows.mean(axis=0)[None])[0] for rows in mine.astype(np.float64)]
                self._sentences += [float(cosines.mean()) for cosines in unit]
                self._n_sentences += 1

    def measures(self, least: int) -> Iterator[Geometry]:
        words = list(self._words.words(least))
        for layer, moments in enumerate(self._moments):
            alike = [mean_cosine(uses.unit_sum[layer], uses.n) for uses in words]
            explained = [first_direction(np.array([rows[layer] for rows in uses.first])) for uses in words]
            one, three = moments.dominant_shares((1, 3))
            yield Geometry(
                component=self._source.name,
                kind=self._source.kind,
                model=self._source.model_name,
                layer=layer,
                n_tokens=moments.n,
                n_words=len(words),
                mean_cosine=moments.mean_cosine(),
                self_similarity=_mean(alike),
                intra_sentence=float(self._sentences[layer] / self._n_sentences) if self._n_sentences else None,
                explained=_mean(explained),
                explained_at_random=first_direction(self._random.rows(layer)),
                dominant_1=one,
                dominant_3=three,
                iso_score=moments.iso_score(),
            )


def geometry(
    nlp: Language,
    docs: Iterable[Doc],
    *,
    components: Optional[Sequence[str]] = None,
    min_uses: int = 5,
    seed: int = 0,
) -> List[Geometry]:
    """Measure all layers of the embedding components of a pipeline.

    :param nlp: the pipeline; of it only the encoders are run.
    :param docs: Docs, read once; sentences are those that they have, else each is one.
    :param components: names of components; all if not given.
    :param min_uses: uses that a word must have to count.
    :param seed: of the words and rows that are drawn.
    :return: a row per component and layer.
    :raises ValueError: if the pipeline has no such component.
    """
    kept = [(source, _Layers(source, seed)) for source in find_sources(nlp, owner=OWNER, names=components)]
    for batch in batches(docs, _BATCH):
        for source, layers in kept:
            for doc, found in zip(batch, source.layers_of(batch)):
                layers.add(doc, found)
    return [row for _, layers in kept for row in layers.measures(min_uses)]


def _sentences(doc: Doc) -> List[tuple[int, int]]:
    if doc.has_annotation("SENT_START"):
        return [(sentence.start, sentence.end) for sentence in doc.sents]
    return [(0, len(doc))]


def _mean(values: Sequence[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _less(value: Optional[float], base: Optional[float]) -> Optional[float]:
    return None if value is None or base is None else value - base
