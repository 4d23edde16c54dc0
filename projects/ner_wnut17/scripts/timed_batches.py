"""spaCy's batches by words, which also note what each epoch took: for ``spacy train --code``."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Optional

from spacy.util import registry

Batcher = Callable[[Iterable[Any]], Iterable[Any]]


@registry.batchers("ner_wnut17.TimedBatches.v1")
def make_timed_batches(
    size: int,
    tolerance: float,
    discard_oversize: bool,
    log: str,
    get_length: Optional[Callable[[Any], int]] = None,
) -> Batcher:
    """As ``spacy.batch_by_words.v1``, with a line of JSON for each epoch: its seconds, and the process's memory so far.

    :param size: words per batch.
    :param tolerance: share by which a batch may be larger.
    :param discard_oversize: whether to leave out longer sequences.
    :param log: file to append to.
    :param get_length: length of an example.
    :return: the batcher, which spaCy calls once per epoch.
    """
    make = registry.batchers.get("spacy.batch_by_words.v1")
    batcher = make(size=size, tolerance=tolerance, discard_oversize=discard_oversize, get_length=get_length)
    return partial(_timed, batcher=batcher, log=Path(log))


def _timed(examples: Iterable[Any], *, batcher: Batcher, log: Path) -> Iterator[Any]:
    start, cpu_start = time.perf_counter(), time.process_time()
    whole = False
    try:
        yield from batcher(examples)  # between two batches spaCy updates, evaluates and saves
        whole = True
    finally:  # max_steps ends a training within an epoch
        cpu = time.process_time()  # of all threads, since the process began
        line = {
            "whole": whole,
            "seconds": round(time.perf_counter() - start, 3),
            "cpu_seconds": round(cpu - cpu_start, 3),
            "cpu_seconds_in_all": round(cpu, 3),
            "peak_mb": peak_mb(),
        }
        with log.open("a", encoding="utf8") as file:
            file.write(json.dumps(line) + "\n")


def peak_mb() -> Optional[float]:
    """Measure this process.

    :return: its largest resident memory so far, in MB (10**6 bytes); ``None`` where the system does not tell.
    """
    try:  # not getrusage's: a child process inherits that of its parent
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)
