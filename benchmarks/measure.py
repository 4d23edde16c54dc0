"""What all benchmarks share: fair turns, medians, memory, and one way to report.

A comparison here is a ratio inside one run: the contestants take turns (A B A B …), each round gives one ratio, and
the median of the ratios is the result. So what slows the machine down for a while slows all of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
RESULTS = HERE / "results"
_LIBRARIES = ("OMP", "MKL", "OPENBLAS", "BLIS", "RAYON")
_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_clock = "wall"

Seconds = Dict[str, List[float]]


def arguments(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the settings that every benchmark has.

    :param description: the first line of the help.
    :param rounds: default number of rounds.
    :return: the parser.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of every contestant")
    parser.add_argument("--rounds", type=int, default=rounds, help="turns of each contestant after one to warm up")
    parser.add_argument("--clock", choices=sorted(_CLOCKS), default="wall", help="cpu: for a busy machine, --threads 1")
    parser.add_argument("--text", default="auto", help="a UTF-8 text file, or gutenberg, wnut17, news, made, auto")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help=argparse.SUPPRESS)
    return parser


def now() -> float:
    """Read the clock that :func:`prepare` chose.

    :return: seconds since some moment.
    """
    return _CLOCKS[_clock]()


def prepare(threads: int, clock: str = "wall") -> None:
    """Fix the number of threads, and choose the clock. Call it before anything imports NumPy or torch.

    :param threads: CPU threads.
    :param clock: "wall", or "cpu" for the processor time of the process.
    """
    global _clock
    _clock = clock
    os.environ.update({f"{library}_NUM_THREADS": str(threads) for library in _LIBRARIES})
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    import torch

    torch.set_num_threads(threads)


def take_turns(contestants: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: int = 1) -> Seconds:
    """Run contestants in turn.

    :param contestants: what to run, by name. One that returns a float measured its own seconds.
    :param rounds: turns that count.
    :param warm_up: turns before, that do not.
    :return: seconds of each turn, by name.
    """
    seconds: Seconds = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, run in contestants.items():
            gc.collect()
            start = now()
            own = run()
            taken = own if isinstance(own, float) else now() - start
            if turn >= warm_up:
                seconds[name].append(taken)
    return seconds


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """Give the median over the rounds of how many times faster one contestant was.

    :param seconds: what :func:`take_turns` gave.
    :param slow: the one in the numerator.
    :param fast: the one in the denominator.
    :return: the median ratio.
    """
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast]))


def spread(seconds: Seconds, slow: str, fast: str) -> List[float]:
    """Give the smallest and the largest ratio of the rounds.

    :param seconds: what :func:`take_turns` gave.
    :param slow: the one in the numerator.
    :param fast: the one in the denominator.
    :return: ``[smallest, largest]``.
    """
    ratios = [a / b for a, b in zip(seconds[slow], seconds[fast])]
    return [round(min(ratios), 2), round(max(ratios), 2)]


def rss_mb() -> float:
    """Measure this process.

    :return: resident memory in MB (10**6 bytes).
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        import psutil

        return float(psutil.Process().memory_info().rss) / 1e6


def peak_mb() -> float:
    """Measure this process.

    :return: its largest resident memory so far, in MB; 0 where the system does not tell.
    """
    try:  # not getrusage's: a child process inherits that of its parent
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / 1e6 if sys.platform == "darwin" else float(peak) * 1024 / 1e6


def machine() -> Dict[str, Any]:
    """Describe what runs.

    :return: processor, cores, load before the run, versions.
    """
    import importlib.metadata as metadata

    versions = {}
    for name in ("spacy-ctx-embed", "spacy", "thinc", "torch", "transformers", "spacy-transformers", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "device": "cpu",
        "cores": os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
        "versions": versions,
    }


def report(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Any],
    before: Mapping[str, Any],
    findings: Mapping[str, Any],
    notes: Optional[Sequence[str]] = None,
) -> None:
    """Print a table and append one JSON line to ``benchmarks/results/NAME.jsonl``.

    :param name: of the benchmark.
    :param rows: one mapping per row, all with the same keys.
    :param settings: what the run was asked for.
    :param before: what :func:`machine` gave before the run.
    :param findings: the numbers that the benchmark is there for.
    :param notes: lines to print below the table.
    """
    _print_table(name, rows)
    for key, value in findings.items():
        print(f"{key}: {value}")
    for note in notes or ():
        print(note)
    if before["load"] is not None and before["load"] > 1.0:
        print(f"The machine was busy before the run (load {before['load']}): run it again when it is not.")
    RESULTS.mkdir(exist_ok=True)
    plain = {key: value for key, value in settings.items() if not isinstance(value, Path) and "python" not in key}
    line = {
        "benchmark": name,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": {**plain, "text": Path(str(plain.get("text", ""))).name},
        "machine": dict(before),
        "peak_mb": round(peak_mb()),
        "rows": [dict(row) for row in rows],
        "findings": dict(findings),
    }
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf8") as file:
        file.write(json.dumps(line) + "\n")
    print(f"Appended to benchmarks/results/{name}.jsonl\n")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(rows[0]) if rows else []
    cells = [[_shown(row[column]) for column in columns] for row in rows]
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, [column, *(line[i] for line in cells)])) for i, column in enumerate(columns)]
        print(title)
        for line in [columns, *cells]:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)))
        return
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for line in cells:
        table.add_row(*map(escape, line))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
