"""Rows of uses on a plane by UMAP, where the extra ``umap`` is installed.

Enters: ``(n, width)`` rows of one layer and their principal components. Leaves: coordinates, the same for
the same seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.errors import Errors

FEWEST = 8  # different rows; fewer are left on their principal components
_NEIGHBOURS = 15


def check_umap(*, owner: str) -> None:
    """Check that umap-learn is there.

    :param owner: the command, for messages.
    :raises ImportError: if it is not.
    """
    try:
        import umap  # noqa: F401
    except ImportError as error:
        values = {"package": "umap-learn", "install": "spacy-ctx-embed[umap]", "reason": error}
        raise ImportError(Errors.E005.format(owner=owner, key="--projection", **values)) from error


def has_neighbours(rows: NDArray[np.floating]) -> bool:
    """Tell whether rows are enough for UMAP.

    :param rows: ``(n, width)``.
    :return: whether :data:`FEWEST` of them differ.
    """
    return len(np.unique(rows, axis=0)) >= FEWEST


def umap_plane(rows: NDArray[np.floating], start: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.float64]:
    """Lay rows on a plane by UMAP (McInnes et al. 2018), by their cosines.

    It starts from the principal components, as Kobak and Linderman (2021) advise: the layers of a word then look alike
    where their rows do.

    :param rows: ``(n, width)``, at least :data:`FEWEST` of them different.
    :param start: ``(n, 2)`` principal components.
    :param seed: of its random draws.
    :return: ``(n, 2)`` coordinates with a mean of 0.
    """
    from umap import UMAP

    first = (10 * start / max(np.abs(start).max(), 1e-30)).astype(np.float32)
    neighbours = min(_NEIGHBOURS, len(rows) - 1)
    plane = UMAP(n_neighbors=neighbours, metric="cosine", init=first, random_state=seed, n_jobs=1)
    points = np.asarray(plane.fit_transform(rows.astype(np.float32)), dtype=np.float64)
    return points - points.mean(axis=0)
