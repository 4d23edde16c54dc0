from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.cache.memory import ADMIT_EVERY, OVERHEAD, MemoryStore
from tests.cache.entries import entry_of, items_of, key_of, same

NUMBERS = (0, 1, 2)
ENTRY_BYTES = entry_of(0).n_bytes + len(key_of(0)) + OVERHEAD


def get(store, number):
    return store.get_many([key_of(number)], NUMBERS)[0]


def scan(store, numbers):
    # One epoch: what is missing is computed and offered. Gives how many were on hand.
    hits = 0
    for number in numbers:
        if get(store, number) is None:
            store.put_many(items_of([number]))
        else:
            hits += 1
    return hits


def test_what_was_put_is_found_without_a_copy():
    store = MemoryStore(10 * ENTRY_BYTES)
    items = items_of([1])
    store.put_many(items)
    found = get(store, 1)
    assert same(found, entry_of(1)) and found.layers is items[0][1].layers
    assert get(store, 2) is None


@given(st.integers(0, 20_000), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20), st.sets(st.integers(0, 4)))))
def test_bound_is_kept_and_what_is_found_is_right(max_bytes, puts):
    store = MemoryStore(max_bytes)
    for number, n_tokens, layers in puts:
        numbers = sorted(layers)
        store.put_many([(key_of(number), entry_of(number, numbers, n_tokens=n_tokens))])
        assert 0 <= store.n_bytes <= max_bytes
        assert store.n_bytes >= len(store) * OVERHEAD
        for other in range(10):
            for found in store.get_many([key_of(other)], numbers):
                assert found is None or same(found, entry_of(other, numbers, n_tokens=len(found.tokens)))


@pytest.mark.parametrize("n_docs", [200, 400])
def test_cyclic_scan_hits_about_as_often_as_the_share_that_fits(n_docs):
    store = MemoryStore(100 * ENTRY_BYTES)
    scan(store, range(n_docs))
    for _ in range(5):
        assert scan(store, range(n_docs)) >= 0.8 * 100


def test_shuffled_scan_of_twice_the_size_hits_at_least_two_times_in_five():
    store = MemoryStore(100 * ENTRY_BYTES)
    random = np.random.default_rng(0)
    scan(store, random.permutation(200).tolist())
    assert sum(scan(store, random.permutation(200).tolist()) for _ in range(5)) >= 0.4 * 5 * 200


def test_a_corpus_that_fits_is_kept_whole():
    store = MemoryStore(100 * ENTRY_BYTES)
    scan(store, range(100))
    assert scan(store, range(100)) == 100


def test_what_is_never_asked_for_again_is_gone_in_the_end():
    store = MemoryStore(10 * ENTRY_BYTES)
    scan(store, range(10))
    scan(store, range(100, 100 + 10 * ADMIT_EVERY))
    assert not any(get(store, number) for number in range(10))


def test_an_entry_larger_than_the_store_is_not_kept():
    store = MemoryStore(2 * ENTRY_BYTES)
    store.put_many(items_of([1]))
    for _ in range(2 * ADMIT_EVERY):
        store.put_many(items_of([2], n_tokens=1000))
    assert get(store, 2) is None
    assert same(get(store, 1), entry_of(1))


def test_layers_of_several_puts_are_united():
    store = MemoryStore(10 * ENTRY_BYTES)
    store.put_many([(key_of(1), entry_of(1, (0,)))])
    assert get(store, 1) is None
    store.put_many([(key_of(1), entry_of(1, (2, 1)))])
    assert same(get(store, 1), entry_of(1))
    assert store.n_bytes == ENTRY_BYTES


def test_copies_start_empty():
    store = MemoryStore(10 * ENTRY_BYTES)
    store.put_many(items_of([1]))
    for other in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert len(other) == 0 and other.n_bytes == 0
        other.put_many(items_of([1]))
        assert same(get(other, 1), entry_of(1))


def test_threads_get_right_entries():
    store = MemoryStore(20 * ENTRY_BYTES)

    def work(seed):
        for number in np.random.default_rng(seed).integers(0, 40, 200).tolist():
            found = get(store, number)
            if found is None:
                store.put_many(items_of([number]))
            elif not same(found, entry_of(number)):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert store.n_bytes == len(store) * ENTRY_BYTES
