"""Memory: what stays behind when 14,000 Docs of many lengths go through ``nlp.pipe``, under each source of vectors.

Each source runs in a fresh interpreter. The Docs are dropped as they come, as a user of a long stream does; every pass
has lengths of its own, as real text has, for what is kept per shape shows with new shapes only. The first two passes
may grow the process (weights, threads, caches that are bounded); those that follow must not.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import elmo_model
import measure
import texts

SOURCES = ("static", "elmo", "bert", "stacked", "none")
TOLERANCE_MB = 5.0  # what allocators and the garbage collector may move from the second pass to the last
_STEADY = 2  # passes after which nothing may grow


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--docs", type=int, default=2000, help="Docs per pass; --rounds is the number of passes")
    parser.add_argument("--tokens", type=int, default=20, help="tokens of half of the Docs at most")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES), help="what to measure")
    parser.add_argument("--one", choices=SOURCES, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    if settings.one:
        print(json.dumps(_passes(settings)))
        return
    before = measure.machine()
    source, _ = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    rows: List[Dict[str, Any]] = []
    for name in settings.sources:
        rows.append({"source": name, **_fresh(settings, name)})
    growth = {row["source"]: row["growth after pass 2 (MB)"] for row in rows}
    steady = all(value <= TOLERANCE_MB for value in growth.values())
    findings = {f"no growth after pass {_STEADY} (up to {TOLERANCE_MB} MB is noise)": steady, "growth": growth}
    measure.report("memory", rows, settings={**vars(settings), "text": source}, before=before, findings=findings)


def _fresh(settings: argparse.Namespace, name: str) -> Dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name]
    for key in ("threads", "clock", "rounds", "text", "data", "docs", "tokens"):
        command += [f"--{key}", str(getattr(settings, key))]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{name}: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else run.returncode}")
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _passes(settings: argparse.Namespace) -> Dict[str, Any]:
    _, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    words = text.split()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        nlp = _pipeline(settings.one, Path(folder))
        nlp(" ".join(words[: settings.tokens]))  # weights are read at first use
    resident, n_tokens = [_resident_mb()], 0
    start = measure.now()
    for _ in range(settings.rounds):
        for doc in nlp.pipe(_texts(words, settings.docs, settings.tokens, rng)):
            n_tokens += len(doc)
        del doc
        resident.append(_resident_mb())
    return {
        "loaded (MB)": round(resident[0], 1),
        "after each pass (MB)": [round(value, 1) for value in resident[1:]],
        "growth after pass 2 (MB)": round(resident[-1] - resident[min(_STEADY, len(resident) - 1)], 1),
        "peak (MB)": round(measure.peak_mb(), 1),
        "tokens/s": n_tokens / (measure.now() - start),
    }


def _texts(words: List[str], n_docs: int, median: int, rng: random.Random) -> Iterator[str]:
    # Texts of log-normal lengths, as posts and sentences have, from anywhere in the text.
    for _ in range(n_docs):
        n = min(max(1, round(rng.lognormvariate(math.log(median), 0.7))), 20 * median)
        first = rng.randrange(max(len(words) - n, 1))
        yield " ".join(words[first : first + n])


def _resident_mb() -> float:
    # After what is free has gone back to the system, where the C library can do that.
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return measure.rss_mb()


def _pipeline(source: str, folder: Path) -> Any:
    import spacy

    nlp = spacy.blank("en")
    if source == "elmo":  # random weights: what is measured does not depend on them
        elmo_model.write_model(elmo_model.SIZES["small"], folder)
        model = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(folder)}
        nlp.add_pipe("elmo_embeddings", config={"model": model})
    if source in ("static", "stacked"):
        nlp.add_pipe("static_embeddings")
    if source in ("bert", "stacked"):
        nlp.add_pipe("bert_embeddings")
    if source == "stacked":
        nlp.add_pipe("stacked_embeddings")
    return nlp


if __name__ == "__main__":
    main()
