"""What other processes do with a folder; their own module, so that a spawned one imports no more than it needs."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from spacy_ctx_embed.cache.disk import DiskStore
from spacy_ctx_embed.cache.layer_cache import LayerCache
from tests.cache.entries import entry_of, items_of, key_of, same


def write_and_read(folder: str, first: int, answers: Connection) -> None:
    """Write 200 entries in small batches, some of which the other process writes too, and read all in between."""
    store = DiskStore(Path(folder), map_size=1 << 17)  # both have to grow it, and to follow the other
    answers.send("ready")
    answers.recv()
    wrong = 0
    for start in range(first, first + 200, 10):
        store.put_many(items_of(range(start, start + 10), width=64))
        for number, found in enumerate(store.get_many([key_of(number) for number in range(300)])):
            wrong += found is not None and not same(found, entry_of(number, width=64))
    found_own = store.get_many([key_of(number) for number in range(first, first + 200)])
    answers.send((wrong, sum(entry is None for entry in found_own)))


def write_for_ever(folder: str, first: int, answers: Connection) -> None:
    """Write batches of 5 entries until killed; tell the number after each that is done."""
    store = DiskStore(Path(folder), map_size=1 << 17)
    while True:
        store.put_many(items_of(range(first, first + 5), n_tokens=100, width=64))
        first += 5
        answers.send(first)


def use_after_fork(cache: LayerCache, answers: Connection) -> None:
    """Read what the parent wrote, and write something."""
    found = cache.get_many([key_of(0), key_of(1)], (0, 1, 2))
    cache.put_many(items_of([2]))
    answers.send([same(entry, entry_of(number)) for number, entry in enumerate(found)])


def write_to_a_full_disk(folder: str, answers: Connection) -> None:
    """Write until the system lets no file grow, as on a full disk, then read what was written before."""
    import resource
    import warnings

    store = DiskStore(Path(folder))
    store.put_many(items_of(range(10)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))  # bytes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for start in range(10, 1010, 100):
            store.put_many(items_of(range(start, start + 100), width=64))
    found = store.get_many([key_of(number) for number in range(10)])
    answers.send(([str(w.message) for w in caught], [same(e, entry_of(number)) for number, e in enumerate(found)]))
