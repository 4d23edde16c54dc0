"""pretraining/network/widen.py: a network that has grown computes what the small one computes, and learns beyond it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.pretraining.network.initial import draw_weights
from spacy_ctx_embed.pretraining.network.widen import first_too_small, take_over
from tests.pretraining.small_models import WORDS, small_settings

SMALL = {"char_cnn__filters": [[1, 4], [3, 5]], "lstm__dim": 8, "lstm__projection_dim": 6}


def network(seed, **changes):
    elmo = ElmoModule(small_settings(**{**SMALL, **changes}).network())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draw_weights(elmo)
        for part in elmo.parameters():
            part.data.add_(torch.randn_like(part), alpha=0.3)  # biases too
    return elmo


def outputs(elmo, words):
    with torch.no_grad():
        vectors = elmo.encode_words(words)
        layers = list(range(elmo.config.bilm.n_layers + 1))
        return vectors, elmo.bilm(vectors, [len(words)], None, layers)[0]


SIZES = st.fixed_dictionaries(
    {
        "char_cnn__filters": st.tuples(*(st.integers(0, 4) for _ in range(4))).map(
            lambda n: [[1, 4 + n[0]], *([[2, n[1]]] if n[1] else []), [3, 5 + n[2]], *([[5, n[3]]] if n[3] else [])]
        ),
        "lstm__dim": st.integers(8, 14),
        "lstm__projection_dim": st.integers(6, 11),
    }
)


@pytest.mark.parametrize(
    "kind", [{}, {"lstm__use_skip_connections": False, "lstm__n_layers": 3}, {"char_cnn__n_highway": 2}]
)
@given(sizes=SIZES, words=st.lists(st.sampled_from(WORDS[3:]), min_size=1, max_size=7))
def test_it_computes_the_same_in_its_first_outputs(kind, sizes, words):
    small, wide = network(1, **kind), network(2, **kind, **sizes)
    assert first_too_small(wide, small) == ""
    take_over(wide, small)
    (before, layers), (vectors, others) = outputs(small, words), outputs(wide, words)
    width, wider = before.shape[1], vectors.shape[1]
    torch.testing.assert_close(vectors[:, :width], before)
    for side in (0, 1):
        torch.testing.assert_close(
            others[:, :, side * wider : side * wider + width], layers[:, :, side * width : (side + 1) * width]
        )


def test_what_is_new_learns_from_the_first_step_on():
    small = network(1)
    wide = network(2, lstm__dim=12, lstm__projection_dim=9, char_cnn__filters=[[1, 4], [2, 3], [3, 5]])
    take_over(wide, small)
    vectors = wide.encode_words(WORDS[3:])
    rows = wide.bilm(vectors, [len(vectors)], None, [2])[0]
    rows.square().sum().backward()
    layer = wide.bilm.layers[0]
    assert layer.projection.grad[:, 8:].abs().sum() > 0  # of the new cells
    assert layer.weight.grad[:, 6:9].abs().sum() > 0  # of the new inputs
    assert wide.char_cnn.projection.weight.grad[:, 4:7].abs().sum() > 0  # of the new filters


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("char_cnn.embedding_dim", {"char_cnn__embedding_dim": 5}),
        ("char_cnn.activation", {"char_cnn__activation": "tanh"}),
        ("char_cnn.n_highway", {"char_cnn__n_highway": 2}),
        ("char_cnn.max_characters_per_token", {"char_cnn__max_characters_per_token": 12}),
        ("char_cnn.filters", {"char_cnn__filters": [[1, 9], [2, 9]]}),
        ("char_cnn.filters", {"char_cnn__filters": [[1, 3], [3, 5]]}),
        ("lstm.dim", {"lstm__dim": 7}),
        ("lstm.projection_dim", {"lstm__projection_dim": 5}),
        ("lstm.n_layers", {"lstm__n_layers": 3}),
        ("lstm.use_skip_connections", {"lstm__use_skip_connections": False}),
        ("lstm.cell_clip", {"lstm__cell_clip": None}),
        ("lstm.proj_clip", {"lstm__proj_clip": 2.0}),
    ],
)
def test_a_size_that_it_cannot_grow_to_is_named(key, change):
    assert first_too_small(network(1, **change), network(1)) == key


@pytest.mark.parametrize("twice", ["wide", "small"])
def test_filters_of_one_width_that_stand_apart_are_refused(twice):
    # Which of them continues which?
    sizes = {"wide": [[1, 4], [3, 5]], "small": [[1, 4], [3, 5]]}
    sizes[twice] = [[1, 4], [3, 5], [3, 5]] if twice == "wide" else [[1, 4], [3, 2], [3, 3]]
    wide, small = (network(1, char_cnn__filters=sizes[name]) for name in ("wide", "small"))
    assert first_too_small(wide, small) == "char_cnn.filters"
