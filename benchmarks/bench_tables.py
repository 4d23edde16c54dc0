"""Static tables: the first vector in a fresh process, converting, and what several processes over one table cost.

Each figure is of fresh interpreters. Memory is the process's own beyond an empty spaCy pipeline: resident for the first
vector, the proportional set size (PSS, in which a page that n processes share counts an n-th for each) for several
processes. The peer of converting is gensim's reader, which makes a table in memory and no folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

import measure

_SENTENCE = "We sat on the bank of the river and the dog barked at a tree ."
_N_PROCESSES = 4


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--name", default="glove-6b-50d", help="the table's name, as in a config")
    parser.add_argument("--words", type=int, default=1_000_000, help="of the random table")
    parser.add_argument("--width", type=int, default=300, help="of the random table")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", nargs="*", default=[], help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.task:
        print(json.dumps(_TASKS[settings.task](*settings.arguments)))
        return
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["SPACY_CTX_EMBED_CACHE"] = str(folder / "cache")
        made = _run("tables", settings.name, settings.words, settings.width, folder)
        names = {
            f"{settings.name}, converted": str(folder / "converted"),
            "the same as text, second start": str(folder / "text.txt"),
            f"{settings.words:,} × {settings.width}, random": str(folder / "random"),
        }
        _run("first", folder / "text.txt")  # which fills the cache
        rows = [_first_row(label, name, settings.rounds) for label, name in names.items()]
        findings = {"bytes": made, **_converting(folder, settings.rounds)}
        for label in (f"{settings.name}, converted", f"{settings.words:,} × {settings.width}, random"):
            findings[f"PSS of {_N_PROCESSES} processes over that of one, {label} (wanted: 1.2)"] = _shared(names[label])
    measure.report("tables", rows, settings=vars(settings), before=before, findings=findings)


def _first_row(label: str, name: str, rounds: int) -> Dict[str, Any]:
    runs = [_run("first", name) for _ in range(rounds)]
    seconds, megabytes = ([run[key] for run in runs] for key in ("seconds", "megabytes"))
    return {
        "table": label,
        "seconds to the first vector": statistics.median(seconds),
        "from, to": f"{min(seconds):.3f} {max(seconds):.3f}",
        "MB": statistics.median(megabytes),
    }


def _converting(folder: Path, rounds: int) -> Dict[str, Any]:
    turns: Dict[str, List[Dict[str, float]]] = {"convert": [], "gensim": []}
    for _ in range(rounds):
        for task, runs in turns.items():
            runs.append(_run(task, folder / "text.txt", folder / "out"))
    seconds = {task: [run["seconds"] for run in runs] for task, runs in turns.items()}
    ratios = [theirs / ours for theirs, ours in zip(seconds["gensim"], seconds["convert"])]
    table = turns["convert"][0]["table"]
    return {
        "converting text, times faster than gensim reads it (wanted: 3)": round(statistics.median(ratios), 2),
        "seconds of converting": [round(run, 2) for run in seconds["convert"]],
        "seconds of gensim": [round(run, 2) for run in seconds["gensim"]],
        "peak MB of converting over the table's (wanted: 1.5)": round(turns["convert"][0]["peak"] / table, 2),
        "peak MB of gensim over the table's": round(turns["gensim"][0]["peak"] / table, 2),
    }


def _shared(name: str) -> float:
    # All rows of the table are touched by each, so that nothing is small because it was not read.
    command = _command("hold", name)
    one, several = (_hold(command, n) for n in (1, _N_PROCESSES))
    return round(several / one, 2)


def _hold(command: List[str], n: int) -> float:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(n)]  # type: ignore[call-overload]
    before = [float(process.stdout.readline()) for process in running]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        process.stdout.readline()
    mapped = sum(_pss_of_maps(process.pid) for process in running)
    for process in running:
        process.communicate("\n")
    assert len(before) == n
    return mapped


def _pss_of_maps(pid: int) -> float:
    # MB of the pages of the table's files.
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0] and not fields[0].endswith(":"):
            counts = line.endswith(".npy")
        elif counts and fields[0] == "Pss:":
            total += int(fields[1])
    return total / 1024


def _command(task: str, *arguments: Any) -> List[str]:
    listed = [str(argument) for argument in arguments]
    return [sys.executable, str(Path(__file__).resolve()), "--task", task, "--arguments", *listed]


def _run(task: str, *arguments: Any) -> Dict[str, float]:
    done = subprocess.run(_command(task, *arguments), check=True, capture_output=True, text=True)
    found: Dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _tables(name: str, n_words: str, width: str, scratch: str) -> Dict[str, float]:
    import numpy as np

    from spacy_ctx_embed.cli.tables.convert_vectors import convert_vectors
    from spacy_ctx_embed.models.static.formats import open_table
    from spacy_ctx_embed.models.static.tables.folder import write_table
    from spacy_ctx_embed.models.static.tables.table import make_table

    folder = Path(scratch)
    convert_vectors(name, folder / "converted")
    table = open_table(folder / "converted")
    with (folder / "text.txt").open("w", encoding="utf8") as file:
        for start, block in table.blocks():
            lines = zip(table.words[start : start + len(block)], block.tolist())
            file.writelines(f"{word} {' '.join(f'{number:.5g}' for number in row)}\n" for word, row in lines)
    rows = np.random.default_rng(0).standard_normal((int(n_words), int(width)), dtype=np.float32)
    (folder / "random").mkdir()
    words = [*_SENTENCE.split(), *(f"word{i}" for i in range(int(n_words)))]
    words = list(dict.fromkeys(words))[: int(n_words)]
    write_table(folder / "random", make_table(folder, words, rows))
    return {part: sum(file.stat().st_size for file in (folder / part).iterdir()) for part in ("converted", "random")}


def _pipeline() -> Any:
    import spacy

    nlp = spacy.blank("en")
    nlp(_SENTENCE)
    return nlp


def _first(name: str) -> Dict[str, float]:
    nlp = _pipeline()
    before, start = _memory("VmRSS"), time.perf_counter()
    nlp.add_pipe("static_embeddings", config={"model": {"name": name}})
    assert nlp(_SENTENCE)[0]._.has_vector
    return {"seconds": time.perf_counter() - start, "megabytes": _memory("VmRSS") - before}


def _hold_table(name: str) -> Dict[str, float]:
    from spacy_ctx_embed.models.static.formats import open_table

    print(0.0, flush=True)
    sys.stdin.readline()
    table = open_table(Path(name))
    total = sum(float(block.sum()) for _, block in table.blocks())
    table.word_index.find(table.word_index.ids[:-1])
    print(total, flush=True)
    sys.stdin.readline()
    return {}


def _convert(source: str, out: str) -> Dict[str, float]:
    # what is imported on the way, so that memory is the table's
    import spacy  # noqa: F401

    from spacy_ctx_embed.cli.tables.convert_vectors import convert_vectors
    from spacy_ctx_embed.models.places import find_model  # noqa: F401
    from spacy_ctx_embed.models.static.formats import open_table  # noqa: F401

    before, start = _memory("VmRSS"), time.perf_counter()
    report = convert_vectors(source, Path(out), force=True)
    seconds = time.perf_counter() - start
    table = report["words"] * report["width"] * 4 / 1e6
    return {"seconds": seconds, "peak": _memory("VmHWM") - before, "table": table}


def _gensim(source: str, out: str) -> Dict[str, float]:
    from gensim.models import KeyedVectors

    before, start = _memory("VmRSS"), time.perf_counter()
    KeyedVectors.load_word2vec_format(source, binary=False, no_header=True)
    return {"seconds": time.perf_counter() - start, "peak": _memory("VmHWM") - before}


def _memory(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(key)).split()[1]) / 1024


_TASKS = {"tables": _tables, "first": _first, "hold": _hold_table, "convert": _convert, "gensim": _gensim}

if __name__ == "__main__":
    main()
