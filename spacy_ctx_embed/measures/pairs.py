"""Pairs of uses of a word: is a use nearer to one of the same sense than to one of another?

Enters: rows of uses, one layer of one source, and a label for each. Leaves: cosines of all pairs, their means, and AUC:
the share of comparisons of a same-sense pair with a different-sense pair that the same-sense pair wins, a tie counting
one half. That is the area under the ROC curve, which is the Mann-Whitney U of the two groups over their product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.rows.unit import unit_rows

DECIMALS = 9  # of a cosine: what differs by less is rounding of the product, and a tie
# Pairs in the order of their cosines: whether of one sense, where a new cosine starts, first uses, second uses.
_Pairs = Tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class PairScore:
    """How far one layer tells the senses of a word apart.

    :param mean_same: mean cosine over pairs of one sense.
    :param mean_different: mean cosine over pairs of two senses.
    :param auc: how often a same-sense pair is nearer than a different-sense pair.
    :param low: lower end of the 95% bootstrap interval of ``auc``.
    :param high: its upper end.
    :param n_same: pairs of one sense.
    :param n_different: pairs of two senses.
    """

    mean_same: float
    mean_different: float
    auc: float
    low: float
    high: float
    n_same: int
    n_different: int


def cosines(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Compare all rows with each other.

    :param rows: ``(n, width)`` rows; a row of zeros has cosine 0 with every other.
    :return: ``(n, n)`` cosines, rounded to :data:`DECIMALS`, 1 on the diagonal.
    """
    unit = unit_rows(rows)
    found = np.asarray(np.round(np.clip(unit @ unit.T, -1, 1), DECIMALS), dtype=np.float64)
    np.fill_diagonal(found, 1)
    return found


def score_pairs(
    similarities: NDArray[np.float64], labels: Sequence[Optional[str]], *, seed: int = 0, n_resamples: int = 300
) -> Optional[PairScore]:
    """Compare the same-sense pairs of a word with its different-sense pairs.

    The interval is of the percentiles of a bootstrap over uses: n uses are drawn with replacement, and each pair of
    two different uses counts as often as it was drawn. Draws without pairs of both kinds are left out.

    :param similarities: ``(n, n)`` symmetric similarities; the diagonal is not read.
    :param labels: n senses; a use with ``None`` takes no part.
    :param seed: of the draws.
    :param n_resamples: how many draws.
    :return: the score, or ``None`` where there is no same-sense pair or no different-sense pair.
    """
    kept = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.int64)
    senses = np.unique([str(labels[i]) for i in kept.tolist()], return_inverse=True)[1]
    first, second = np.triu_indices(len(kept), 1)
    values = similarities[kept[first], kept[second]]
    alike = senses[first] == senses[second] if len(kept) else np.zeros(0, dtype=bool)
    if not alike.any() or alike.all():
        return None
    order = values.argsort(kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    pairs = (alike[order], starts, first[order], second[order])
    auc = _auc(pairs, np.ones(len(kept)))
    random = np.random.default_rng(seed)
    draws = (np.bincount(random.integers(0, len(kept), len(kept)), minlength=len(kept)) for _ in range(n_resamples))
    areas = [_auc(pairs, draw.astype(np.float64)) for draw in draws]
    known = [area for area in (*areas, auc) if area is not None]
    low, high = np.percentile(known, [2.5, 97.5])
    means = float(values[alike].mean()), float(values[~alike].mean())
    return PairScore(*means, float(auc or 0), float(low), float(high), int(alike.sum()), int((~alike).sum()))


def _auc(pairs: _Pairs, weights: NDArray[np.float64]) -> Optional[float]:
    # Weighted by how often each use was drawn; None where one of the groups has no weight.
    alike, starts, one, other = pairs
    weight = weights[one] * weights[other]
    own = weight * alike
    won, lost = np.add.reduceat(own, starts), np.add.reduceat(weight - own, starts)
    total = won.sum() * lost.sum()
    return float((won * (np.cumsum(lost) - lost / 2)).sum() / total) if total else None
