"""cache/disk.py, environment.py and registry.py: layers in LMDB folders, several of them, processes, damage.

Here too: cache/environment.py, cache/registry.py, cache/record.py.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from spacy_ctx_embed.cache.disk import DiskStore
from spacy_ctx_embed.cache.entry import Entry
from tests.cache.entries import entry_of, items_of, key_of, same
from tests.cache.processes import write_and_read, write_for_ever, write_to_a_full_disk

SPAWN = multiprocessing.get_context("spawn")


def get(store, number):
    return store.get_many([key_of(number)])[0]


def filled(folder, numbers, **shape):
    # Writes entries and closes the folder again.
    DiskStore(folder).put_many(items_of(numbers, **shape))
    gc.collect()


def change(folder, key, edit):
    # Edits a record behind the store's back.
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as txn:
        txn.put(key, edit(txn.get(key)))


def flip(record, place):
    return record[:place] + bytes([record[place] ^ 1]) + record[place + 1 :]


entries = st.builds(
    lambda layers, tokens, numbers, statuses: Entry(
        tuple(numbers[: len(layers)]), tokens[: layers.shape[1]], layers, statuses[: layers.shape[1]]
    ),
    nst.arrays(np.float32, nst.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)),
    st.sampled_from([np.int8, np.int32, np.int64]).flatmap(lambda dtype: nst.arrays(dtype, 6)),
    st.permutations([0, 1, 2, 3, 100, -1]),
    nst.arrays(np.uint8, 6),
)


@settings(deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=511), entries, max_size=8))
def test_round_trip_is_exact_bit_for_bit(items):
    with tempfile.TemporaryDirectory() as folder:
        store = DiskStore(Path(folder), map_size=1 << 16)
        store.put_many(list(items.items()))
        found = store.get_many(list(items))
        del store
    for entry, expected in zip(found, items.values()):
        assert same(entry, expected)
        assert entry.layers.flags.writeable and entry.tokens.dtype == np.int64


def test_nothing_is_opened_before_first_use(tmp_path):
    DiskStore(tmp_path / "cache")
    assert not list(tmp_path.iterdir())


def test_missing_folders_are_made_and_a_later_run_reads_them(tmp_path):
    folder = tmp_path / "a" / "b"
    filled(folder, range(20))
    assert all(same(get(DiskStore(folder), number), entry_of(number)) for number in range(20))
    assert get(DiskStore(folder), 20) is None


def test_two_stores_of_one_folder_share_it_also_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    one, two = DiskStore(tmp_path / "cache"), DiskStore(tmp_path / "link")
    one.put_many(items_of([1]))
    assert same(get(two, 1), entry_of(1))


def test_map_grows_as_needed(tmp_path):
    store = DiskStore(tmp_path, map_size=1 << 16)
    store.put_many(items_of(range(50), n_tokens=100, width=64))
    store.put_many(items_of(range(50, 60)))
    assert same(get(store, 49), entry_of(49, n_tokens=100, width=64))
    assert same(get(store, 59), entry_of(59))


def test_layers_of_several_puts_are_united(tmp_path):
    store = DiskStore(tmp_path)
    store.put_many([(key_of(1), entry_of(1, (0,))), (key_of(1), entry_of(1, (2,)))])
    store.put_many([(key_of(1), entry_of(1, (1, 2)))])
    assert same(get(store, 1), entry_of(1))


def test_folder_that_was_removed_is_made_again_by_the_next_store(tmp_path):
    first = DiskStore(tmp_path / "cache")
    first.put_many(items_of([1]))
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    second = DiskStore(tmp_path / "cache")
    assert get(second, 1) is None
    second.put_many(items_of([2]))
    assert (tmp_path / "cache" / "data.mdb").exists()
    assert get(first, 2) is None and same(get(second, 2), entry_of(2))


def test_threads_share_a_folder(tmp_path):
    store = DiskStore(tmp_path, map_size=1 << 16)

    def work(first):
        for number in range(first, first + 40):
            store.put_many(items_of([number], width=32))
        return all(same(get(store, number), entry_of(number, width=32)) for number in range(first, first + 40))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, (0, 20, 40, 60)))


def test_processes_write_and_read_one_folder_at_the_same_time(tmp_path):
    pipes = [SPAWN.Pipe() for _ in range(2)]
    others = [
        SPAWN.Process(target=write_and_read, args=(str(tmp_path / "cache"), first, pipe[1]))
        for first, pipe in zip((0, 100), pipes)
    ]
    for other in others:
        other.start()
    for message in ("go", None):
        assert all(pipe[0].poll(30) for pipe in pipes)
        answers = [pipe[0].recv() for pipe in pipes]
        for pipe in pipes:
            pipe[0].send(message)
    for other in others:
        other.join()
    assert answers == [(0, 0), (0, 0)]
    found = DiskStore(tmp_path / "cache").get_many([key_of(number) for number in range(300)])
    assert all(same(entry, entry_of(number, width=64)) for number, entry in enumerate(found))


def test_kill_of_a_writer_loses_nothing_that_was_done_and_leaves_nothing_wrong(tmp_path):
    first = 0
    for n_batches in (3, 7, 12):
        receiving, sending = SPAWN.Pipe(duplex=False)
        writer = SPAWN.Process(target=write_for_ever, args=(str(tmp_path), first, sending))
        writer.start()
        for _ in range(n_batches):
            assert receiving.poll(30)
            first = receiving.recv()
        writer.kill()
        writer.join()
        store = DiskStore(tmp_path)
        found = store.get_many([key_of(number) for number in range(first + 1000)])
        for number, entry in enumerate(found):
            expected = entry_of(number, n_tokens=100, width=64) if entry is not None or number < first else None
            assert same(entry, expected), number
        store.put_many(items_of([10**6 + first]))  # the lock of the dead is free
        assert get(store, 10**6 + first) is not None
        del store


@pytest.mark.parametrize("place", [0, 3, 5, 17, 30, -1])
def test_damaged_entry_is_a_warning_and_a_miss_and_is_written_over(tmp_path, place):
    filled(tmp_path, range(3))
    change(tmp_path, key_of(1), lambda record: flip(record, place % len(record)))
    change(tmp_path, key_of(2), lambda record: record[:place])
    store = DiskStore(tmp_path)
    with pytest.warns(UserWarning, match=r"CW001.*damaged") as caught:
        found = store.get_many([key_of(number) for number in range(3)])
    assert len(caught) == 1 and str(tmp_path) in str(caught[0].message)
    assert get(store, 1) is None  # and no second warning, which would be an error here
    assert same(found[0], entry_of(0)) and found[1:] == [None, None]
    store.put_many(items_of([1, 2]))
    assert same(get(store, 1), entry_of(1)) and same(get(store, 2), entry_of(2))


def test_entry_of_another_key_counts_as_damaged(tmp_path):
    filled(tmp_path, range(2))
    records = []
    change(tmp_path, key_of(0), lambda record: records.append(record) or record)
    change(tmp_path, key_of(1), lambda record: records[0])
    with pytest.warns(UserWarning, match="CW001"):
        assert get(DiskStore(tmp_path), 1) is None


def test_entry_of_another_version_is_not_taken_for_one_of_this(tmp_path):
    filled(tmp_path, range(1))
    change(tmp_path, key_of(0), lambda record: b"SCE\x01" + record[4:])
    with pytest.warns(UserWarning, match="CW001"):
        assert get(DiskStore(tmp_path), 0) is None


def test_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(ValueError, match=r"CE050.*is a file"):
        get(DiskStore(tmp_path / "file"), 1)
    with pytest.raises(ValueError, match=r"CE051.*can't be made"):
        get(DiskStore(tmp_path / "file" / "cache"), 1)


def test_folder_of_other_files_is_an_error_and_stays_as_it_is(tmp_path):
    (tmp_path / "letter.txt").write_text("text")
    with pytest.raises(ValueError, match=r"CE052.*letter\.txt"):
        DiskStore(tmp_path).put_many(items_of([1]))
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_hidden_files_do_not_matter(tmp_path):
    (tmp_path / ".gitignore").write_text("*")
    DiskStore(tmp_path).put_many(items_of([1]))


def test_database_of_another_program_is_an_error(tmp_path):
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as txn:
        txn.put(b"key", b"value")
    with pytest.raises(ValueError, match=r"CE052.*another program"):
        get(DiskStore(tmp_path), 1)


def test_another_format_of_the_store_is_an_error(tmp_path):
    filled(tmp_path, [1])
    change(tmp_path, b"spacy_ctx_embed.cache", lambda record: b"2")
    with pytest.raises(ValueError, match=r"CE053.*format"):
        get(DiskStore(tmp_path), 1)


def test_data_file_that_is_not_of_lmdb_is_an_error(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no database" * 10_000)
    with pytest.raises(ValueError, match=r"CE052.*not of LMDB"):
        get(DiskStore(tmp_path), 1)


def test_data_file_that_was_cut_off_is_an_error(tmp_path):
    filled(tmp_path, range(200), n_tokens=100, width=64)
    os.truncate(tmp_path / "data.mdb", 1 << 16)
    with pytest.raises(ValueError, match=r"CE053.*cut off"):
        get(DiskStore(tmp_path), 1)


def test_pages_that_were_lost_are_errors_or_misses_and_never_wrong(tmp_path):
    # As after a power cut: the file has its length, but some of it is zeros. Roots of the tree are among the last.
    filled(tmp_path / "whole", range(30), n_tokens=20, width=16)
    data = (tmp_path / "whole" / "data.mdb").read_bytes()
    n_right = n_missed = n_errors = 0
    for page in range(2, len(data) // 4096, 3):
        folder = tmp_path / str(page)
        folder.mkdir()
        (folder / "data.mdb").write_bytes(data[: page * 4096] + bytes(4096) + data[(page + 1) * 4096 :])
        store = DiskStore(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = store.get_many([key_of(number) for number in range(30)])
            except ValueError:
                n_errors += 1
                continue
        for number, entry in enumerate(found):
            assert entry is None or same(entry, entry_of(number, n_tokens=20, width=16))
            n_right += entry is not None
            n_missed += entry is None
    assert n_right > 10 * n_missed > 0
    assert n_errors <= 2


def test_store_that_may_not_grow_warns_once_and_still_reads(tmp_path):
    store = DiskStore(tmp_path, map_size=1 << 17, max_map_size=1 << 17)
    store.put_many(items_of(range(10)))
    with pytest.warns(UserWarning, match=r"CW002.*grow") as caught:
        store.put_many(items_of(range(10, 300), width=64))
    store.put_many(items_of([10]))  # no second warning
    assert len(caught) == 1 and str(tmp_path) in str(caught[0].message)
    assert all(same(get(store, number), entry_of(number)) for number in range(10))
    assert get(store, 10) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_full_disk_is_one_warning_and_what_was_written_is_still_read(tmp_path):
    receiving, sending = SPAWN.Pipe(duplex=False)
    writer = SPAWN.Process(target=write_to_a_full_disk, args=(str(tmp_path), sending))
    writer.start()
    assert receiving.poll(30)
    messages, right = receiving.recv()
    writer.join()
    assert len(messages) == 1 and "CW002" in messages[0] and str(tmp_path) in messages[0]
    assert right == [True] * 10
    assert all(same(get(DiskStore(tmp_path), number), entry_of(number)) for number in range(10))


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    # Permissions do not bind the administrator, under whom tests may run: so the question is answered for the store.
    filled(tmp_path, range(3))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    return tmp_path


def test_folder_that_can_only_be_read_is_read_and_said_when_it_should_be_written(read_only):
    store = DiskStore(read_only)
    assert same(get(store, 1), entry_of(1)) and get(store, 5) is None
    with pytest.warns(UserWarning, match=r"CW002.*permission") as caught:
        store.put_many(items_of([5]))
    store.put_many(items_of([5]))  # no second warning
    assert len(caught) == 1
    assert same(get(store, 1), entry_of(1)) and get(store, 5) is None


def test_empty_folder_that_can_only_be_read_is_an_error(read_only):
    (read_only / "empty").mkdir()
    with pytest.raises(ValueError, match=r"CE051.*permission"):
        get(DiskStore(read_only / "empty"), 1)


def test_pickled_store_opens_its_folder_again(tmp_path):
    store = DiskStore(tmp_path, map_size=1 << 17)
    store.put_many(items_of([1]))
    assert same(get(pickle.loads(pickle.dumps(store)), 1), entry_of(1))
