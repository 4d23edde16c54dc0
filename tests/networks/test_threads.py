"""networks/threads.py: calls beside one another."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch

from spacy_ctx_embed.networks.threads import side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_threads_with_one_thread_each(two_threads):
    def call(item):
        return item, threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()

    found = list(side_by_side(call, range(20)))
    assert [item for item, *_ in found] == list(range(20))
    assert all(name.startswith("spacy_ctx_embed") and n == 1 and not grad for _, name, n, grad in found)
    assert torch.get_num_threads() == 2
    fresh = []
    other = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert fresh == [2]  # a thread that someone else begins later


def test_calls_inherit_inference_mode(two_threads):
    with torch.inference_mode():
        assert all(side_by_side(lambda _: torch.zeros(1).is_inference(), range(4)))
    assert not any(side_by_side(lambda _: torch.zeros(1).is_inference(), range(4)))


def test_with_one_thread_or_one_item_nothing_is_started(two_threads):
    names = set(side_by_side(lambda _: threading.current_thread().name, [0]))
    torch.set_num_threads(1)
    names |= set(side_by_side(lambda _: threading.current_thread().name, range(5)))
    assert names == {threading.current_thread().name}


def test_an_error_reaches_the_caller_and_later_calls_work(two_threads):
    def call(item):
        if item == 3:
            raise KeyError("three")
        return item

    with pytest.raises(KeyError, match="three"):
        list(side_by_side(call, range(50)))
    assert list(side_by_side(call, range(3))) == [0, 1, 2]


def test_few_results_wait_for_the_caller(two_threads):
    begun = []
    results = side_by_side(lambda item: begun.append(item) or item, range(100))
    assert next(results) == 0
    assert len(begun) <= 5
    results.close()


def _in_child(queue):
    torch.set_num_threads(2)
    queue.put(list(side_by_side(lambda item: item + 1, range(4))))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_child_starts_threads_of_its_own(two_threads):
    list(side_by_side(abs, range(4)))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == [1, 2, 3, 4]
    child.join()
