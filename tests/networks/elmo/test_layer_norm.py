from __future__ import annotations

import numpy as np
import torch

from spacy_ctx_embed.networks.elmo.layer_norm import normalize_segments

LAYERS = torch.randn((3, 9, 4), generator=torch.Generator().manual_seed(0)) * 5 + 2


def test_each_layer_of_each_segment_has_mean_0_and_variance_1() -> None:
    found = normalize_segments(LAYERS, [2, 6, 1]).numpy()
    assert found.shape == (3, 9, 4)
    for part in np.split(found, [2, 8], axis=1):
        np.testing.assert_allclose(part.mean(axis=(1, 2)), 0, atol=1e-6)
        np.testing.assert_allclose(part.var(axis=(1, 2)), 1, atol=1e-5)


def test_equals_the_formula() -> None:
    x = LAYERS.double().numpy()
    for layer in range(3):
        for start, end in ((0, 4), (4, 9)):
            part = x[layer, start:end]
            expected = (part - part.sum() / part.size) / np.sqrt(((part - part.mean()) ** 2).sum() / part.size + 1e-13)
            found = normalize_segments(LAYERS.double(), [4, 5])[layer, start:end].numpy()
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_rows_of_a_segment_keep_their_differences() -> None:
    # one mean and one variance for all rows, unlike the usual layer norm
    found = normalize_segments(LAYERS[:, :2], [2])
    scale = (found[0, 0] - found[0, 1]) / (LAYERS[0, 0] - LAYERS[0, 1])
    torch.testing.assert_close(scale, scale[:1].expand(4))


def test_segments_do_not_influence_each_other() -> None:
    together = normalize_segments(LAYERS, [3, 6])
    torch.testing.assert_close(together[:, 3:], normalize_segments(LAYERS[:, 3:], [6]))


def test_constant_rows_become_zeros_and_nothing_stays_nothing() -> None:
    assert not normalize_segments(torch.full((2, 3, 4), 7.0), [3]).any()
    assert normalize_segments(LAYERS[:, :0], []).shape == (3, 0, 4)


def test_gradient_equals_finite_differences() -> None:
    x = LAYERS[:2, :3, :2].double().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda layers: normalize_segments(layers, [2, 1]), (x,))
