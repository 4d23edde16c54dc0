"""Batches beside one another: one thread each, where all threads on each product would wait for one another.

Enters: calls that do not depend on one another. Leaves: their results, in order. Beside other processes a product of
several threads is as slow as the thread that was kept waiting, at every layer anew.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Callable, Deque, Iterator, Optional, Sequence, Tuple, TypeVar

import torch

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_LOCK = Lock()
_pool: Optional[Tuple[int, int, ThreadPoolExecutor]] = None  # process, number of threads, and they themselves


def side_by_side(function: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> Iterator[ResultT]:
    """Call a function for each item, as many at a time as torch has threads, each call with one of them.

    :param function: may be called from several threads; keeps no gradients.
    :param items: what to call it with.
    :yields: the results, in the order of ``items``; at most one more than there are threads are kept.
    """
    n_threads = min(torch.get_num_threads(), len(items))
    if n_threads < 2:
        yield from map(function, items)
        return
    pool = _threads(torch.get_num_threads())
    inference = torch.is_inference_mode_enabled()

    def call(item: ItemT) -> ResultT:
        with torch.inference_mode(inference), torch.no_grad():
            return function(item)

    waiting: Deque[Future[ResultT]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(call, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:  # the caller stopped, or a call failed
            future.cancel()


def _threads(n: int) -> ThreadPoolExecutor:
    # Kept from call to call. A forked child has none of its parent's threads.
    global _pool
    with _LOCK:
        if _pool is None or _pool[:2] != (os.getpid(), n):
            ready = Barrier(n + 1)

            def start() -> None:
                torch.set_num_threads(1)
                torch.get_num_threads()  # a thread that never asked takes over the number that others set later
                ready.wait()

            pool = ThreadPoolExecutor(n, "spacy_ctx_embed", start)
            for _ in range(n):
                pool.submit(int)
            ready.wait()
            torch.set_num_threads(n)  # of threads that begin later, which take over what was last set anywhere
            if _pool is not None and _pool[0] == os.getpid():
                _pool[2].shutdown(wait=False)
            _pool = (os.getpid(), n, pool)
        return _pool[2]
