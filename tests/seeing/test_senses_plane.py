"""seeing/senses_plane.py: coordinates on a plane, and clusters."""

from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.measures.pairs import cosines
from spacy_ctx_embed.seeing.senses_plane import clusters, components, k_means, silhouette, turned


def test_coordinates_are_along_the_eigenvectors_of_the_covariance():
    rows = np.random.default_rng(0).normal(size=(30, 6)) * [1, 5, 1, 3, 1, 0.5]
    points, shares = components(rows)
    points = turned(points)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    for axis in (0, 1):
        along = (rows - rows.mean(axis=0)) @ vectors[:, -1 - axis]
        np.testing.assert_allclose(np.abs(points[:, axis]), np.abs(along), atol=1e-9)
        assert shares[axis] == pytest.approx(values[-1 - axis] / values.sum())
        assert points[np.abs(points[:, axis]).argmax(), axis] > 0
    np.testing.assert_allclose(turned(components(-rows)[0], points), points, atol=1e-9)


@pytest.mark.parametrize("rows", [np.ones((5, 3), np.float32) * 0.1, np.zeros((2, 4)), np.ones((1, 3))])
def test_equal_rows_are_one_point(rows):
    points, shares = components(rows)
    assert not turned(points).any()
    assert shares == (0, 0)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_clusters_that_are_far_apart_are_found_with_their_number(k):
    random = np.random.default_rng(k)
    truth = np.arange(60) % k
    rows = np.eye(8)[truth] * 3 + random.normal(size=(60, 8)) * 0.1
    found, height = clusters(rows, cosines(rows))
    assert found.tolist() == truth.tolist()
    assert height > 0.9


def test_clusters_of_few_or_equal_rows_are_one():
    for rows in (np.eye(3), np.ones((9, 4))):
        found, height = clusters(rows, cosines(rows))
        assert not found.any() and height == 0
    repeated = np.repeat(np.eye(2), 5, axis=0)
    assert clusters(repeated, cosines(repeated))[0].tolist() == [0] * 5 + [1] * 5


def test_k_means_is_the_same_for_the_same_seed():
    rows = np.random.default_rng(0).normal(size=(50, 4))
    assert (k_means(rows, 4, seed=2) == k_means(rows, 4, seed=2)).all()


def test_the_silhouette_is_that_of_a_loop_over_rows():
    random = np.random.default_rng(5)
    points, owners = random.normal(size=(12, 3)), np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 0, 3])
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    each = []
    for i, own in enumerate(owners):
        mates = [j for j in range(12) if owners[j] == own and j != i]
        a = distances[i, mates].mean() if mates else 0
        b = min(distances[i, owners == other].mean() for other in set(owners.tolist()) - {own})
        each.append((b - a) / max(a, b) if mates else 0)
    assert silhouette(distances, owners) == pytest.approx(np.mean(each))
    assert silhouette(distances, np.zeros(12, np.int64)) == 0
