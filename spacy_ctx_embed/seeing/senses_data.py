"""What the page of senses shows of one word, in small numbers.

Enters: uses of a word with their rows. Leaves: per source and layer coordinates, clusters, nearest uses, a matrix and a
score, as what JSON can hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.measures.pairs import PairScore, cosines, score_pairs
from spacy_ctx_embed.seeing.senses_plane import clusters, components, turned
from spacy_ctx_embed.seeing.senses_umap import has_neighbours, umap_plane
from spacy_ctx_embed.seeing.senses_uses import WordUses
from spacy_ctx_embed.sources.layers import Source
from spacy_ctx_embed.sources.table import near_words

MATRIX = 60  # uses in a matrix at most
SIDE = 999  # coordinates are 0 to this
SHADES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # of a matrix, from its lowest on
_NEAR, _NEAR_OF_MANY, _MANY = 8, 5, 10000  # nearest uses listed; fewer where uses times layers are many
_NEAR_WORDS = 12
_DRAWS, _DRAWS_OF_MANY, _FEW = 300, 50, 200  # of the bootstrap; fewer where uses are many


class _Look(NamedTuple):
    # What of one layer depends on no other.
    matrix: np.ndarray
    similar: NDArray[np.float64]
    points: NDArray[np.float64]
    shares: Tuple[float, float]
    owners: NDArray[np.int64]
    height: float


@dataclass(frozen=True)
class LayerView:
    """One layer of one source.

    :param score: same-sense against different-sense pairs; ``None`` without two labelled senses.
    :param silhouette: of the clusters; 0 where there is one.
    :param n_clusters: clusters found.
    """

    score: Optional[PairScore]
    silhouette: float
    n_clusters: int


@dataclass(frozen=True)
class SourceView:
    """One source.

    :param name: component.
    :param kind: "static", "elmo", "bert" or another.
    :param model_name: its model.
    :param n_with: uses that it has a vector for.
    :param n_distinct: how many of these vectors of the last layer differ.
    :param near: words of its static table near the word, with cosines.
    :param layers: its layers.
    """

    name: str
    kind: str
    model_name: str
    n_with: int
    n_distinct: int
    near: List[Tuple[str, float]]
    layers: List[LayerView]


@dataclass(frozen=True)
class WordView:
    """One word.

    :param word: lower-cased.
    :param found: its uses and rows.
    :param senses: labels, in the order in which they first occur.
    :param numbers: number of the label of each use, -1 without one.
    :param n_matrix: uses in the matrices.
    :param sources: the sources.
    :param payload: numbers for the page, as JSON can hold them.
    """

    word: str
    found: WordUses
    senses: List[str]
    numbers: List[int]
    n_matrix: int
    sources: List[SourceView]
    payload: Dict[str, Any] = field(repr=False)


def view_word(found: WordUses, sources: Sequence[Source], *, seed: int = 0, projection: str = "pca") -> WordView:
    """Measure one word.

    :param found: its uses, at least one.
    :param sources: whose rows it has.
    :param seed: of samples, clusters, the bootstrap and UMAP.
    :param projection: of the planes, "pca" or "umap".
    :return: what the page shows.
    """
    labels = [use.sense for use in found.uses]
    senses = list(dict.fromkeys(label for label in labels if label is not None))
    numbers = [-1 if label is None else senses.index(label) for label in labels]
    sample = _sample(numbers, seed)
    views, parts = [], []
    for source in sources:
        kept = [i for i, row in enumerate(found.rows[source.name]) if row is not None]
        view, part = _view_source(found, source, kept, labels, sample, seed, projection)
        views.append(view)
        parts.append(part)
    payload = {"n": len(labels), "senses": senses, "s": numbers, "sources": parts}
    return WordView(found.word, found, senses, numbers, len(sample), views, payload)


def figures_of(view: WordView) -> Dict[str, Any]:
    """Give what was measured, for programs.

    :param view: the word.
    :return: uses by sense, and per source its near words and the scores of its layers, as JSON can hold them.
    """
    senses = {sense: view.numbers.count(i) for i, sense in enumerate(view.senses)}
    sources = []
    for source in view.sources:
        layers = [
            {
                "layer": number,
                "score": None if layer.score is None else asdict(layer.score),
                "silhouette": layer.silhouette,
                "clusters": layer.n_clusters,
            }
            for number, layer in enumerate(source.layers)
        ]
        near = [{"word": word, "cosine": cosine} for word, cosine in source.near]
        values = {"name": source.name, "kind": source.kind, "model": source.model_name, "uses": source.n_with}
        sources.append({**values, "distinct": source.n_distinct, "near_words": near, "layers": layers})
    return {"word": view.word, "uses": len(view.numbers), "senses": senses, "sources": sources}


def _sample(numbers: List[int], seed: int) -> List[int]:
    # The uses in the matrices, by sense and then as in the corpus.
    chosen = list(range(len(numbers)))
    if len(chosen) > MATRIX:
        chosen = np.random.default_rng(seed).choice(len(numbers), MATRIX, replace=False).tolist()
    return sorted(chosen, key=lambda i: (numbers[i] if numbers[i] >= 0 else len(numbers), i))


def _view_source(
    found: WordUses,
    source: Source,
    kept: List[int],
    labels: List[Optional[str]],
    sample: List[int],
    seed: int,
    projection: str,
) -> Tuple[SourceView, Dict[str, Any]]:
    from spacy_ctx_embed.networks.threads import side_by_side

    rows = [row for row in found.rows[source.name] if row is not None]
    layers, parts, before = [], [], None
    n_near = _NEAR if len(kept) * source.n_layers <= _MANY else _NEAR_OF_MANY
    own = [labels[i] for i in kept]
    place = {use: i for i, use in enumerate(kept)}
    shown = [place[use] for use in sample if use in place]

    def look(layer: int) -> _Look:
        matrix = np.stack([row[layer] for row in rows])
        similar = cosines(matrix)
        return _Look(matrix, similar, *components(matrix), *clusters(matrix, similar, seed=seed))

    for matrix, similar, points, shares, owners, height in side_by_side(look, range(source.n_layers if kept else 0)):
        before = turned(points, before)
        layers.append(
            LayerView(
                score_pairs(similar, own, seed=seed, n_resamples=_DRAWS if len(kept) <= _FEW else _DRAWS_OF_MANY),
                height,
                int(owners.max()) + 1,
            )
        )
        part: Dict[str, Any] = {"one": bool(len(kept) > 1 and (similar == 1).all())}
        if projection == "umap" and has_neighbours(matrix):
            part.update(xy=_integers(umap_plane(matrix, before, seed=seed)), v=None)
        else:
            part.update(xy=_integers(before), v=[round(100 * share) for share in shares])
        part.update(cl="".join(map(str, owners.tolist())), near=_nearest(similar, n_near), **_shades(similar, shown))
        parts.append(part)
    last = {row[-1].tobytes() for row in rows}
    in_table = rows and source.name not in found.corrected
    near = near_words(source, rows[0][-1], _NEAR_WORDS, leave_out=found.word) if in_table else []
    view = SourceView(source.name, source.kind, source.model_name, len(kept), len(last), near, layers)
    return view, {
        "name": source.name,
        "ids": kept if len(kept) < len(labels) else None,
        "heat": [kept[i] for i in shown],
        "layers": parts,
    }


def _integers(points: NDArray[np.float64]) -> List[int]:
    # x, y, x, y, ...: one scale for both axes, so that distances are true.
    reach = np.abs(points).max(initial=0)
    scaled = (points / (reach or 1) + 1) / 2 * SIDE
    return np.rint(scaled).astype(int).ravel().tolist()


def _nearest(similar: NDArray[np.float64], n: int) -> List[int]:
    # For each use the nearest others and their cosines in thousandths: i, cos, i, cos, ... in rows of equal length.
    count = min(n, len(similar) - 1)
    others = similar.copy()
    np.fill_diagonal(others, -2)
    order = np.argsort(-others, axis=1, kind="stable")[:, :count]
    thousandths = np.rint(1000 * np.take_along_axis(others, order, axis=1)).astype(int)
    return np.stack([order, thousandths], axis=2).ravel().tolist()


def _shades(similar: NDArray[np.float64], shown: List[int]) -> Dict[str, Any]:
    # The part of the matrix below its diagonal, a character a cell, and the cosines of the first and the last shade.
    below = similar[np.ix_(shown, shown)][np.tril_indices(len(shown), -1)]
    low, high = (float(below.min()), float(below.max())) if len(below) else (0.0, 1.0)
    steps = np.rint((below - low) / ((high - low) or 1) * (len(SHADES) - 1)).astype(int)
    return {"m": "".join(SHADES[step] for step in steps.tolist()), "lo": round(low, 3), "hi": round(high, 3)}
