"""Memory: what stays behind when 2,000 Docs go through ``nlp.pipe``, twice, under each source of vectors.

Each source runs in a fresh interpreter. The Docs are dropped as they come, as a user of a long stream does. The
first pass may grow the process (weights, threads, caches that are bounded); the second must not.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import elmo_model
import measure
import texts

SOURCES = ("static", "elmo", "bert", "stacked", "none")
TOLERANCE_MB = 5.0  # what allocators and the garbage collector may move between passes


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=2)
    parser.add_argument("--docs", type=int, default=2000, help="Docs per pass; --rounds is the number of passes")
    parser.add_argument("--tokens", type=int, default=50, help="tokens per Doc")
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
    growth = {row["source"]: row["growth, last pass (MB)"] for row in rows}
    steady = all(value <= TOLERANCE_MB for value in growth.values())
    findings = {f"no growth between the passes (up to {TOLERANCE_MB} MB is noise)": steady, "growth": growth}
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
    batch = texts.texts_of_tokens(text, settings.docs, settings.tokens)
    with tempfile.TemporaryDirectory() as folder:
        nlp = _pipeline(settings.one, Path(folder))
        nlp(batch[0])  # weights are read at first use
    gc.collect()
    resident = [measure.rss_mb()]
    start = measure.now()
    for _ in range(settings.rounds):
        for _doc in nlp.pipe(batch):
            pass
        del _doc
        gc.collect()
        resident.append(measure.rss_mb())
    return {
        "loaded (MB)": round(resident[0], 1),
        "after each pass (MB)": [round(value, 1) for value in resident[1:]],
        "growth, last pass (MB)": round(resident[-1] - resident[-2], 1),
        "peak (MB)": round(measure.peak_mb(), 1),
        "tokens/s": settings.rounds * settings.docs * settings.tokens / (measure.now() - start),
    }


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
