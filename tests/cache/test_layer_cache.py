from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest

from spacy_ctx_embed.cache.layer_cache import LayerCache
from tests.cache.entries import entry_of, items_of, key_of, same
from tests.cache.processes import use_after_fork

ALL = (0, 1, 2)
LARGE = 1 << 20


@pytest.fixture(params=["memory", "disk", "both"])
def cache(request, tmp_path):
    folder = None if request.param == "memory" else tmp_path / "cache"
    return LayerCache(0 if request.param == "disk" else LARGE, folder)


def test_what_was_put_is_found_and_counted(cache):
    cache.put_many(items_of(range(5)))
    found = cache.get_many([key_of(number) for number in (3, 7, 0)], ALL)
    assert same(found[0], entry_of(3)) and found[1] is None and same(found[2], entry_of(0))
    assert (cache.hits, cache.misses) == (2, 1)


def test_exactly_the_wanted_layers_come_in_the_wanted_order(cache):
    cache.put_many(items_of([1]))
    assert same(cache.get_many([key_of(1)], [2, 0])[0], entry_of(1, (2, 0)))


def test_a_missing_layer_is_a_miss_until_it_is_put_and_the_others_are_kept(cache):
    cache.put_many([(key_of(1), entry_of(1, (0, 1)))])
    assert cache.get_many([key_of(1)], ALL) == [None]
    cache.put_many([(key_of(1), entry_of(1, (2,)))])
    assert same(cache.get_many([key_of(1)], ALL)[0], entry_of(1))
    assert (cache.hits, cache.misses) == (1, 1)


def test_other_tokens_replace_what_was_there(cache):
    cache.put_many(items_of([1]))
    cache.put_many(items_of([1], n_tokens=2))
    assert same(cache.get_many([key_of(1)], ALL)[0], entry_of(1, n_tokens=2))


def test_rows_go_into_a_stack_as_the_encoder_puts_them(cache):
    cache.put_many(items_of([1]))
    stack = np.zeros((2, 20, 8), np.float32)
    (found,) = cache.get_many([key_of(1)], (2, 1))
    stack[:, 4 + found.tokens] = found.layers
    assert (stack[:, [4, 6, 8, 10, 12]] == entry_of(1, (2, 1)).layers).all()


def test_empty_batches_are_no_trouble(cache):
    cache.put_many([])
    assert cache.get_many([], ALL) == []


def test_arrays_turn_into_tensors_without_a_warning(cache):
    torch = pytest.importorskip("torch")
    cache.put_many(items_of([1]))
    for numbers in (ALL, (1,), (2, 0)):
        assert torch.from_numpy(cache.get_many([key_of(1)], numbers)[0].layers).shape[0] == len(numbers)


def test_what_the_folder_gives_is_then_in_memory(tmp_path):
    LayerCache(0, tmp_path).put_many(items_of([1]))
    cache = LayerCache(LARGE, tmp_path)
    assert cache.n_bytes == 0
    first, second = (cache.get_many([key_of(1)], ALL)[0] for _ in range(2))
    assert first is second
    assert 0 < cache.n_bytes <= LARGE


def test_layers_that_memory_lacks_come_from_the_folder(tmp_path):
    LayerCache(0, tmp_path).put_many(items_of([1]))
    cache = LayerCache(LARGE)
    cache.put_many([(key_of(1), entry_of(1, (0,)))])
    assert cache.get_many([key_of(1)], (1,)) == [None]
    with_folder = LayerCache(LARGE, tmp_path)
    with_folder.put_many([(key_of(1), entry_of(1, (0,)))])
    assert same(with_folder.get_many([key_of(1)], (1, 2))[0], entry_of(1, (1, 2)))


def test_a_folder_keeps_what_memory_has_no_room_for(tmp_path):
    cache = LayerCache(2000, tmp_path)
    cache.put_many(items_of(range(50)))
    assert cache.n_bytes <= 2000
    found = cache.get_many([key_of(number) for number in range(50)], ALL)
    assert all(same(entry, entry_of(number)) for number, entry in enumerate(found))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_copies_have_the_folder_and_an_empty_memory(tmp_path, copied):
    cache = LayerCache(LARGE, tmp_path)
    cache.put_many(items_of([1]))
    twin = copied(cache)
    assert (twin.n_bytes, twin.hits, twin.misses) == (0, 0, 0)
    assert same(twin.get_many([key_of(1)], ALL)[0], entry_of(1))
    assert (twin.folder, twin.max_bytes) == (cache.folder, cache.max_bytes)


def test_copy_without_a_folder_knows_nothing():
    cache = LayerCache(LARGE)
    cache.put_many(items_of([1]))
    assert copy.deepcopy(cache).get_many([key_of(1)], ALL) == [None]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_and_writes_the_same_folder(tmp_path):
    fork = multiprocessing.get_context("fork")
    cache = LayerCache(1500, tmp_path)  # room for one entry: the other comes from the folder
    cache.put_many(items_of([0, 1]))
    receiving, sending = fork.Pipe(duplex=False)
    child = fork.Process(target=use_after_fork, args=(cache, sending))
    child.start()
    assert receiving.poll(20) and receiving.recv() == [True, True]
    child.join()
    assert child.exitcode == 0
    cache.put_many(items_of([3]))
    found = cache.get_many([key_of(number) for number in range(4)], ALL)
    assert all(same(entry, entry_of(number)) for number, entry in enumerate(found))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_a_thread_uses_the_cache_does_not_hang(tmp_path):
    fork = multiprocessing.get_context("fork")
    cache = LayerCache(LARGE, tmp_path)
    cache.put_many(items_of([0, 1]))
    receiving, sending = fork.Pipe(duplex=False)
    with cache._memory._lock:  # as a thread would hold it
        child = fork.Process(target=use_after_fork, args=(cache, sending))
        child.start()
    assert receiving.poll(20) and receiving.recv() == [True, True]
    child.join()


def test_nothing_is_opened_or_imported_before_first_use(tmp_path):
    code = (
        "import sys; from spacy_ctx_embed.cache.layer_cache import LayerCache; "
        f"LayerCache(1000, {str(tmp_path / 'cache')!r}); print('lmdb' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [3, b"bytes", "", " ", True])
def test_a_folder_that_is_not_a_path_is_an_error_at_once(value):
    with pytest.raises(ValueError, match=r"CE050.*not a path.*Accepted: .*Fix: "):
        LayerCache(1000, value)
