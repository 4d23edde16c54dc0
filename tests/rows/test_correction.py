"""rows/correction.py: each kind against NumPy on all rows at once, however they come, and odd rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.rows.correction import KINDS, Correction, CorrectionFit


def fitted(kind, *batches):
    fit = CorrectionFit(kind)
    for batch in batches:
        fit.add(batch)
    return fit.find()


def reference(kind, seen, rows):
    """The same by the singular value decomposition of the stacked rows."""
    seen, rows = seen.astype(np.float64), rows.astype(np.float64)
    centred = rows - seen.mean(axis=0)
    if kind == "center":
        return centred
    if kind == "standardize":
        return centred / seen.std(axis=0)
    _, values, directions = np.linalg.svd(seen - seen.mean(axis=0), full_matrices=False)
    if kind == "abtt":
        top = directions[: max(1, seen.shape[1] // 100)]
        return centred - centred @ top.T @ top
    kept = values > 1e-5 * values[0]
    return centred @ (directions[kept].T / values[kept]) @ directions[kept] * np.sqrt(len(seen))


def anisotropic(n, width, seed=0):
    """Rows in a narrow cone, with some columns much larger than others, as those of a transformer."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(n, width)) @ random.normal(size=(width, width))
    return (mixed * np.geomspace(0.1, 5, width) + 3 * random.normal(size=width)).astype(np.float32)


@pytest.mark.parametrize("width", [7, 250])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_that_of_numpy(kind, width):
    seen, rows = anisotropic(600, width), anisotropic(50, width, seed=1)
    found = fitted(kind, seen[:100], seen[100:101], seen[101:])
    expected = reference(kind, seen, rows)
    np.testing.assert_allclose(found.apply(rows), expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert found.n_rows == 600 and found.width == width and found.apply(rows).dtype == np.float32


def test_what_each_kind_is_for():
    rows = anisotropic(3000, 200)
    after = {kind: fitted(kind, rows).apply(rows).astype(np.float64) for kind in KINDS}
    for found in after.values():
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4 * rows.std())
    np.testing.assert_allclose(after["standardize"].std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(np.cov(after["whiten"].T, bias=True), np.eye(200), atol=1e-3)
    variances = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    left = np.linalg.eigvalsh(np.cov(after["abtt"].T, bias=True))
    np.testing.assert_allclose(left[2:], variances[:-2], rtol=1e-3)  # two directions of 200 are gone, no other is
    np.testing.assert_allclose(left[:2], 0, atol=1e-4 * variances[0])


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 60),
    width=st.integers(1, 12),
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_the_cuts_of_a_stream_do_not_matter(kind, n, width, seed, cuts):
    rows = anisotropic(n, width, seed)
    at_once = fitted(kind, rows)
    in_parts = fitted(kind, *np.split(rows, sorted(min(cut, n) for cut in cuts)))
    expected = at_once.apply(rows)
    tolerance = 1e-5 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(in_parts.apply(rows), expected, atol=tolerance)
    assert in_parts.n_rows == n


@pytest.mark.parametrize("kind", KINDS)
def test_few_and_constant_rows_give_finite_ones(kind):
    few = anisotropic(5, 40)  # fewer rows than columns
    expected = reference(kind, few, few)
    np.testing.assert_allclose(fitted(kind, few).apply(few), expected, atol=1e-5 * np.abs(expected).max())
    one = few[:1]
    np.testing.assert_allclose(fitted(kind, one).apply(one), 0)
    constant = np.full((9, 40), 0.1, dtype=np.float32)
    for cut in (1, 4, 9):
        found = fitted(kind, constant[:cut], constant[cut:])
        np.testing.assert_allclose(found.apply(constant), 0, atol=1e-6)
        assert np.isfinite(found.apply(few)).all() and np.abs(found.apply(few)).max() <= 2 * np.abs(few).max()
    column = anisotropic(30, 6)
    column[:, 2] = 7.3
    found = fitted(kind, column[:11], column[11:])
    assert np.abs(found.apply(column)[:, 2]).max() < 1e-3 * (1 + np.abs(found.apply(column)).max())


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_rows_are_summed_exactly(kind):
    half = anisotropic(400, 20).astype(np.float16)
    expected = reference(kind, half, half)
    np.testing.assert_allclose(
        fitted(kind, half[:7], half[7:]).apply(half), expected, atol=1e-5 * np.abs(expected).max()
    )


def test_a_far_mean_leaves_the_spread_as_it_is():
    near = anisotropic(500, 5).astype(np.float64)
    found = fitted("standardize", *np.split(near + 1e6, 50))
    np.testing.assert_allclose(found.scale, near.std(axis=0), rtol=1e-6)


def test_tokens_without_a_row_keep_their_zeros():
    rows, has = anisotropic(4, 3), np.array([True, False, True, False])
    rows[~has] = 0
    before = rows.copy()
    found = fitted("center", rows[has])
    corrected = found.apply_where(rows, has)
    np.testing.assert_array_equal(corrected[has], found.apply(rows[has]))
    assert not corrected[~has].any() and np.array_equal(rows, before)
    assert found.apply_where(rows[:0], has[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_the_correction(kind):
    rows = anisotropic(30, 8)
    found = fitted(kind, rows)
    np.testing.assert_array_equal(Correction(**found.state()).apply(rows), found.apply(rows))
