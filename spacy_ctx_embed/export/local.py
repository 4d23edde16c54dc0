"""Shards on this machine: in this process, or on several that share its cores.

Enters: a plan and shards. Leaves: what is known of each shard that was written, as they are finished.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Iterator, Optional, Set

from spacy.language import Language

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.export.manifest import Done
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.export.shards import Shard
from spacy_ctx_embed.export.worker import Plan, Worker

_worker: Optional[Worker] = None  # of this process, where it is one of several


def export_here(nlp: Language, plan: Plan, shards: Iterator[Shard]) -> Iterator[Done]:
    """Export shards one after another, in this process.

    :param nlp: the pipeline.
    :param plan: what is exported.
    :param shards: the shards.
    :yields: what is known of each.
    """
    worker = Worker(nlp, plan)
    for shard in shards:
        yield worker.export(shard)


def export_in_processes(nlp: Language, plan: Plan, shards: Iterator[Shard], n_workers: int) -> Iterator[Done]:
    """Export shards on several processes.

    More workers than half of the cores are forks of this process with one thread each, and share its memory. Fewer have
    several threads: they are started anew, and load the pipeline each for itself, as threads of a fork would wait for
    those that it does not have.

    :param nlp: the pipeline.
    :param plan: what is exported.
    :param shards: the shards; at most two more than there are workers are read ahead.
    :param n_workers: processes.
    :yields: what is known of each, as they are finished.
    :raises RuntimeError: if a worker ends without a word.
    """
    global _worker
    n_threads = max(1, (os.cpu_count() or 1) // n_workers)
    forks = n_threads == 1 and "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    _worker = Worker(nlp, plan) if forks else None
    context = multiprocessing.get_context("fork" if forks else "spawn")
    pool = ProcessPoolExecutor(n_workers, context, _start, (None if forks else plan, n_threads, os.getpid()))
    waiting: Set[Future[Done]] = set()
    try:
        for shard in shards:
            waiting.add(pool.submit(_export, shard))
            while len(waiting) >= n_workers + 2:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise RuntimeError(Errors.E115.format(owner=OWNER, reason=error)) from error
    finally:
        _worker = None
        _stop(pool)


def _start(plan: Optional[Plan], n_threads: int, parent: int) -> None:
    # In a worker. Ctrl-C goes to all processes of a terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if plan is not None:
        from spacy_ctx_embed.export.pipelines import open_same

        global _worker
        _worker = Worker(open_same(plan.pipeline, plan.code, plan.fingerprint), plan)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(n_threads)


def _watch(parent: int) -> None:
    # A worker whose parent was killed would wait for ever, and keep its lock.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _export(shard: Shard) -> Done:
    assert _worker is not None
    return _worker.export(shard)


def _stop(pool: ProcessPoolExecutor) -> None:
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
