"""Rows of uses on a plane, and in clusters where no sense is known.

Enters: ``(n, width)`` rows of one layer, or cosines of them. Leaves: coordinates, clusters. The same for the same seed.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.rows.unit import unit_rows

MOST_CLUSTERS = 5
_ROUNDS, _STARTS = 30, 4
_SMALL = 1 << 17  # multiplications of a product
_EMPTY = 1e-9  # of the length of the rows: what is left of equal rows once their mean is taken away
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def components(rows: NDArray[np.floating]) -> Tuple[Floats, Tuple[float, float]]:
    """Project rows on their first two principal components, whichever way round.

    :param rows: ``(n, width)``.
    :return: ``(n, 2)`` coordinates, and the share of the variance on each axis.
    """
    import torch

    wide = rows.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    points = np.zeros((len(rows), 2))
    if np.abs(centred).max(initial=0) <= _EMPTY * max(np.abs(wide).max(initial=0), 1e-30):
        return points, (0.0, 0.0)
    # Torch's, as it keeps to the threads that it is given; NumPy's would have all of them wait for one another.
    left, values = (part.numpy() for part in torch.linalg.svd(torch.from_numpy(centred), full_matrices=False)[:2])
    n_axes = min(2, len(values))
    points[:, :n_axes] = left[:, :n_axes] * values[:n_axes]
    shares = [*(values[:n_axes] ** 2 / (values**2).sum()).tolist(), 0.0]
    return points, (shares[0], shares[1])


def turned(points: Floats, before: Optional[Floats] = None) -> Floats:
    """Choose the signs of components, which are free: so that points stay near where they were in the layer before, or,
    where there is none, so that the largest coordinate is positive.

    :param points: ``(n, 2)`` coordinates.
    :param before: ``(n, 2)`` coordinates in the layer before.
    :return: ``(n, 2)``, each axis as it was or the other way round.
    """
    found = points.copy()
    for axis in range(2):
        peak = points[np.abs(points[:, axis]).argmax(), axis]
        if (peak if before is None else points[:, axis] @ before[:, axis]) < 0:
            found[:, axis] *= -1
    return found


def clusters(rows: NDArray[np.floating], similarities: Floats, *, seed: int = 0) -> Tuple[Ints, float]:
    """Divide rows by k-means over rows of unit length, with the k from 2 to 5 whose silhouette is highest.

    :param rows: ``(n, width)``.
    :param similarities: ``(n, n)`` their cosines.
    :param seed: of the starts.
    :return: ``(n,)`` numbers of clusters, and the silhouette; all 0 and 0.0 where rows are too few or all alike.
    """
    n = len(rows)
    best, height = np.zeros(n, dtype=np.int64), 0.0
    if n < 4 or (similarities == 1).all():
        return best, height
    unit = unit_rows(rows)
    for k in range(2, min(MOST_CLUSTERS, n - 1) + 1):
        found = k_means(unit, k, seed=seed)
        score = silhouette(1 - similarities, found)
        if score > height:
            best, height = found, score
    return best, height


def k_means(rows: Floats, k: int, *, seed: int = 0) -> Ints:
    """Divide rows into k clusters, by Lloyd's rounds from several k-means++ starts.

    :param rows: ``(n, width)``.
    :param k: clusters; some stay empty where rows repeat.
    :param seed: of the starts.
    :return: ``(n,)`` numbers of clusters, in the order in which they first occur.
    """
    random, lengths = np.random.default_rng(seed), (rows**2).sum(axis=1)[:, None]
    best, least = np.zeros(len(rows), dtype=np.int64), np.inf
    for _ in range(_STARTS):
        centres = _spread(rows, lengths, k, random)
        owners = np.full(len(rows), -1)
        for _ in range(_ROUNDS):
            distances = _squares(rows, lengths, centres)
            nearest = distances.argmin(axis=1)
            if (nearest == owners).all():
                break
            owners = nearest
            for place in range(k):
                if (owners == place).any():
                    centres[place] = rows[owners == place].mean(axis=0)
        cost = float(_squares(rows, lengths, centres).min(axis=1).sum())
        if cost < least - 1e-12:
            best, least = owners, cost
    _, first, which = np.unique(best, return_index=True, return_inverse=True)
    return np.asarray(first.argsort().argsort()[which], dtype=np.int64)


def silhouette(distances: Floats, owners: Ints) -> float:
    """Tell how much nearer rows are to their own cluster than to the next.

    :param distances: ``(n, n)``.
    :param owners: ``(n,)`` numbers of clusters.
    :return: the mean silhouette (Rousseeuw 1987), -1 to 1; a row alone in its cluster counts 0, one cluster in all 0.
    """
    groups = np.unique(owners)
    if len(groups) < 2:
        return 0.0
    member = (owners[:, None] == groups).astype(np.float64)
    sizes = member.sum(axis=0)
    sums = distances @ member
    own = member.astype(bool)
    inside = sums[own] / np.maximum(sizes[own.argmax(axis=1)] - 1, 1)
    outside = np.where(own, np.inf, sums / sizes).min(axis=1)
    peak = np.maximum(np.maximum(inside, outside), 1e-30)
    alone = sizes[own.argmax(axis=1)] == 1
    return float(np.where(alone, 0, (outside - inside) / peak).mean())


def _spread(rows: Floats, lengths: Floats, k: int, random: np.random.Generator) -> Floats:
    places = [int(random.integers(len(rows)))]
    while len(places) < k:
        far = _squares(rows, lengths, rows[places]).min(axis=1)
        total = far.sum()
        places.append(int(random.choice(len(rows), p=far / total if total > 0 else None)))
    return rows[places].copy()


def _squares(rows: Floats, lengths: Floats, centres: Floats) -> Floats:
    # In products so small that BLAS has no threads wait for one another, which took many times as long.
    twice = 2 * centres.T
    size = max(_SMALL // max(twice.size, 1), 1)
    products = np.concatenate([rows[start : start + size] @ twice for start in range(0, len(rows), size)])
    return np.asarray(np.maximum(lengths - products + (centres**2).sum(axis=1), 0))
