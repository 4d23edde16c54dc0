from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.cache.entry import Entry, unite
from tests.cache.entries import entry_of, same


def test_the_same_numbers_are_not_copied():
    entry = entry_of(0)
    assert entry.select([0, 1, 2]) is entry.layers
    assert entry.only((0, 1, 2)) is entry


@pytest.mark.parametrize("wanted", [[2, 0], [1], [1, 2], [2, 1, 0], []])
def test_selected_layers_are_in_the_order_wanted(wanted):
    layers = entry_of(0).select(wanted)
    assert layers is not None and layers.flags.c_contiguous
    assert layers.tobytes() == entry_of(0, wanted).layers.tobytes()


def test_a_missing_layer_gives_none():
    assert entry_of(0).select([0, 3]) is None
    assert entry_of(0).only([0, 3]) is None


def test_union_has_the_layers_of_both():
    assert same(unite(entry_of(0, (0, 3)), entry_of(0, (2, 0))), entry_of(0, (0, 2, 3)))


def test_union_without_a_further_layer_is_the_old_entry():
    old = entry_of(0)
    assert unite(old, entry_of(0, (2, 1))) is old


@pytest.mark.parametrize("new", [entry_of(0, (3,), n_tokens=4), entry_of(0, (3,), width=4)])
def test_entry_of_another_shape_replaces_the_old_one(new):
    assert unite(entry_of(0), new) is new


def test_entry_of_other_tokens_replaces_the_old_one():
    old = entry_of(0)
    new = Entry((3,), old.tokens + 1, old.layers[:1], old.statuses)
    assert unite(old, new) is new


def test_entry_of_other_statuses_replaces_the_old_one():
    old = entry_of(0)
    new = Entry((3,), old.tokens, old.layers[:1], old.statuses[::-1].copy())
    assert unite(old, new) is new


def test_owned_entry_keeps_no_larger_array_alive():
    large = np.zeros((3, 1000, 8), np.float32)
    statuses = np.zeros(1000, np.uint8)[:500]
    entry = Entry((0,), np.arange(1000)[:500], large[:1].reshape(2, 500, 8)[:1], statuses).owned()
    assert entry.layers.base is None and entry.tokens.base is None and entry.statuses.base is None
    assert entry.owned() is entry


@pytest.mark.parametrize(
    ("numbers", "tokens", "layers"),
    [
        ((0,), np.arange(2), np.zeros((1, 2, 3))),
        ((0,), np.arange(2), np.zeros((2, 3), np.float32)),
        ((0,), np.arange(2), np.zeros((1, 3, 2), np.float32).transpose(0, 2, 1)),
        ((0,), np.arange(3), np.zeros((1, 2, 3), np.float32)),
        ((0,), np.zeros(2), np.zeros((1, 2, 3), np.float32)),
        ((0, 1), np.arange(2), np.zeros((1, 2, 3), np.float32)),
        ((1, 1), np.arange(2), np.zeros((2, 2, 3), np.float32)),
    ],
)
def test_wrong_shapes_and_types_are_errors(numbers, tokens, layers):
    with pytest.raises(ValueError, match=r"Entry\.(numbers|tokens|layers) must be"):
        Entry(numbers, tokens, layers, np.zeros(len(tokens), np.uint8))


@pytest.mark.parametrize("statuses", [np.zeros(3, np.uint8), np.zeros(2, np.int64), np.zeros((2, 1), np.uint8)])
def test_statuses_are_a_byte_for_each_token(statuses):
    with pytest.raises(ValueError, match="Entry.statuses must be 2 bytes"):
        Entry((0,), np.arange(2), np.zeros((1, 2, 3), np.float32), statuses)
