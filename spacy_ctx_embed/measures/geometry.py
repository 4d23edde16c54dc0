"""The geometry of the layers of static, ELMo and BERT vectors: how contextual they are, and how narrow their cone is.

Enters: a pipeline and Docs. Leaves: for each source and layer the measures of Ethayarajh 2019 (arXiv:1909.00512), raw
and adjusted for anisotropy, the share of the dominant dimensions (Timkey and van Schijndel 2021, arXiv:2109.04404), and
IsoScore (Rudman et al. 2022, arXiv:2108.07344), with bootstrap intervals. Docs are read once, in batches; what is kept
does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.measures.bootstrap import Replicates, Weights, interval_of, means_of_draws
from spacy_ctx_embed.measures.isotropy import Moments, first_direction, mean_cosine
from spacy_ctx_embed.measures.uses import RowSample, WordSample
from spacy_ctx_embed.sources.docs import batches
from spacy_ctx_embed.sources.layers import LayerRows, Source, find_sources

OWNER = "embed geometry"
_BATCH = 4096  # tokens, or one Doc more
_WORDS, _USES, _RANDOM = 2000, 30, 1000  # drawn: words, rows of each, rows of any word
_TINY, _HUGE = 1e-20, 1e30  # squared lengths between which float32 loses nothing


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
    :param intervals: 95 % bootstrap intervals by name of the measure. Those of ``mean_cosine``, ``intra_sentence``,
        ``dominant_1`` and ``dominant_3`` are over Docs (:mod:`~spacy_ctx_embed.measures.bootstrap`); those of
        ``self_similarity`` and ``explained`` over the words drawn, as the uses of a word are in many Docs. The
        adjusted ones have those of what they are adjusted from and, but for ``adjusted_explained``, of what is taken
        off. ``iso_score`` has none: each replicate would need a covariance of its own. Fewer than two Docs have none.
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
    intervals: Dict[str, Tuple[float, float]] = field(default_factory=dict)

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
        self._source, self._seed = source, seed
        self._moments: List[Moments] = []
        self._replicates: List[Replicates] = []
        self._weights = Weights(seed)
        self._words, self._random = WordSample(_WORDS, _USES, seed), RowSample(_RANDOM, seed)
        self._sentences, self._n_sentences, self._n_docs = np.zeros(source.n_layers), 0, 0

    def add(self, docs: Sequence[Doc], found: Sequence[LayerRows]) -> None:
        lengths = [_lengths(rows.layers) for rows in found]
        kept = [_worth(doc, rows, own) for doc, rows, own in zip(docs, found, lengths)]
        weights = self._weights.next(len(docs))
        self._n_docs += sum(bool(np.any(keep)) for keep in kept)
        layers = np.concatenate([rows.layers[:, keep] for rows, keep in zip(found, kept)], axis=1)
        unit = _scaled(layers, np.concatenate([own[:, keep] for own, keep in zip(lengths, kept)], axis=1))
        if not self._moments:
            self._moments = [Moments(layers.shape[2]) for _ in range(len(layers))]
            self._replicates = [Replicates(layers.shape[2]) for _ in range(len(layers))]
        for moments, rows, scaled in zip(self._moments, layers, unit):
            moments.add(rows, scaled)
        words = [token.text.lower() for doc, keep in zip(docs, kept) for token in compress(doc, keep.tolist())]
        self._words.add(words, layers, unit)
        self._random.add(layers)
        counts, owners = _sentence_counts(docs, kept)
        if not len(counts):
            return
        sums = _Sentences(counts, layers, unit)
        self._n_sentences += len(counts)
        self._sentences += sums.alike.sum(axis=1)
        for layer, replicates in enumerate(self._replicates):
            own = sums.unit[layer], sums.squares(layer), sums.alike[layer]
            replicates.add(weights[owners], counts.astype(np.float32), *own)

    def measures(self, least: int) -> Iterator[Geometry]:
        words = list(self._words.words(least))
        for layer, moments in enumerate(self._moments):
            alike = _known(mean_cosine(uses.unit_sum[layer], uses.n) for uses in words)
            explained = _known(first_direction(np.array([rows[layer] for rows in uses.first])) for uses in words)
            one, three = moments.dominant_shares((1, 3))
            at_random = first_direction(self._random.rows(layer))
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
                explained_at_random=at_random,
                dominant_1=one,
                dominant_3=three,
                iso_score=moments.iso_score(),
                intervals=self._intervals(layer, alike, explained, at_random),
            )

    def _intervals(
        self, layer: int, alike: List[float], explained: List[float], at_random: Optional[float]
    ) -> Dict[str, Tuple[float, float]]:
        if self._n_docs < 2:
            return {}  # all replicates would be alike
        replicates = self._replicates[layer]
        mean, sentence = replicates.mean_cosines(), replicates.intra_sentence()
        one, three = replicates.dominant_shares((1, 3))
        selves, shares = means_of_draws(alike, self._seed), means_of_draws(explained, self._seed)
        base = np.nan if at_random is None else at_random
        drawn = {
            "mean_cosine": mean,
            "self_similarity": selves,
            "adjusted_self_similarity": selves - mean,
            "intra_sentence": sentence,
            "adjusted_intra_sentence": sentence - mean,
            "explained": shares,
            "adjusted_explained": shares - base,
            "dominant_1": one,
            "dominant_3": three,
        }
        known = ((name, interval_of(values)) for name, values in drawn.items())
        return {name: ends for name, ends in known if ends is not None}


class _Sentences:
    # Sums over the rows of each sentence, layer by layer: the mean cosine of rows with their mean is (u_1 + ... + u_n)
    # times that mean, scaled to length 1, over n.
    def __init__(self, counts: np.ndarray, layers: np.ndarray, unit: np.ndarray) -> None:
        self._unit, self._ends = unit, np.cumsum(counts)
        self.unit = _sums(unit, self._ends)
        whole = _sums(layers, self._ends)
        whole = _scaled(whole, _lengths(whole))
        self.alike = np.einsum("lsw,lsw->ls", self.unit, whole) / counts

    def squares(self, layer: int) -> np.ndarray:
        return _sums(np.square(self._unit[layer])[None], self._ends)[0]


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
    :param seed: of the words and rows that are drawn, and of the bootstrap.
    :return: a row per component and layer.
    :raises ValueError: if the pipeline has no such component.
    """
    kept = [(source, _Layers(source, seed)) for source in find_sources(nlp, owner=OWNER, names=components)]
    for batch in batches(docs, _BATCH):
        for source, layers in kept:
            layers.add(batch, source.layers_of(batch))
    return [row for _, layers in kept for row in layers.measures(min_uses)]


def _worth(doc: Doc, found: LayerRows, lengths: np.ndarray) -> np.ndarray:
    # (n_tokens,) whether a token has a vector and is a word or number.
    keep = found.has_vector & lengths.any(axis=0)
    return np.asarray(keep & np.array([any(map(str.isalnum, token.text)) for token in doc], dtype=bool))


def _sums(layers: np.ndarray, ends: np.ndarray) -> np.ndarray:
    # (n_layers, n, width), and where each sentence ends -> (n_layers, n_sentences, width). Five times as fast as
    # ``reduceat``, which adds number by number.
    found = np.empty((len(layers), len(ends), layers.shape[2]), layers.dtype)
    start = 0
    for place, end in enumerate(ends.tolist()):
        np.add.reduce(layers[:, start:end], axis=1, out=found[:, place])
        start = end
    return found


def _lengths(layers: np.ndarray) -> np.ndarray:
    # (n_layers, n, width) float32 -> (n_layers, n) float64; in float32 where that loses nothing, which is much faster.
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("lnw,lnw->ln", layers, layers)
    extreme = ~((squares > _TINY) & (squares < _HUGE))
    exact = squares.astype(np.float64)
    if extreme.any():
        wide = layers[extreme].astype(np.float64)
        exact[extreme] = np.einsum("nw,nw->n", wide, wide)
    return np.sqrt(exact)


def _scaled(layers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    # Rows of length 1, float32; rows of zeros stay so.
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray(layers * scale[:, :, None].astype(np.float32))


def _sentence_counts(docs: Sequence[Doc], kept: Sequence[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    # Tokens kept of each sentence that has some, and the place of its Doc.
    counts, owners = [], []
    for place, (doc, keep) in enumerate(zip(docs, kept)):
        for start, end in _sentences(doc):
            n = int(keep[start:end].sum())
            if n:
                counts.append(n)
                owners.append(place)
    return np.array(counts, dtype=np.int64), np.array(owners, dtype=np.int64)


def _sentences(doc: Doc) -> List[Tuple[int, int]]:
    if doc.has_annotation("SENT_START"):
        return [(sentence.start, sentence.end) for sentence in doc.sents]
    return [(0, len(doc))]


def _known(values: Iterable[Optional[float]]) -> List[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> Optional[float]:
    return float(np.mean(values)) if values else None


def _less(value: Optional[float], base: Optional[float]) -> Optional[float]:
    return None if value is None or base is None else value - base
