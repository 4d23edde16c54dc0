"""Exports: ``embed export`` against bare ``nlp.pipe`` and ``DocBin`` with ``user_data``; its memory; and the search.

Loading the pipeline is on no side. Contestants take turns: one process, two workers, the bare pipeline whose Docs are
dropped, and Docs kept in a DocBin as ``spacy apply`` writes them. Memory is that of an interpreter of its own. The
search is over random rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import measure
import texts


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--docs", type=int, default=200, help="Docs per turn of BERT, and a 20th of static's")
    parser.add_argument("--tokens", type=int, default=200, help="tokens per Doc")
    parser.add_argument("--parts", nargs="*", default=["bert", "static", "memory", "search"], help="what to measure")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    if settings.memory_only:
        print(json.dumps(_memory()))
        return
    before = measure.machine()
    _, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    rows: List[Dict[str, Any]] = []
    findings: Dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("bert", "static"):
            if kind in settings.parts:
                n_docs = settings.docs * (1 if kind == "bert" else 20)
                batch = texts.texts_of_tokens(text, n_docs, settings.tokens)
                rows += _compare(kind, batch, settings, Path(folder), findings)
        if "search" in settings.parts:
            findings.update(_search(Path(folder), settings.rounds))
    if "memory" in settings.parts:
        told = subprocess.run(
            [sys.executable, __file__, "--memory-only"], capture_output=True, text=True, check=True
        ).stdout
        findings.update(json.loads(told.splitlines()[-1]))
    measure.report("export", rows, settings=vars(settings), before=before, findings=findings)


def _compare(
    kind: str, batch: List[str], settings: Any, folder: Path, findings: Dict[str, Any]
) -> List[Dict[str, Any]]:
    import spacy
    from spacy.tokens import DocBin

    from spacy_ctx_embed.export.columns import Columns
    from spacy_ctx_embed.export.corpus.items import Item
    from spacy_ctx_embed.export.local import export_here, export_in_processes
    from spacy_ctx_embed.export.manifest import ExportFolder
    from spacy_ctx_embed.export.selection import Rows
    from spacy_ctx_embed.export.shards import cut_shards
    from spacy_ctx_embed.export.worker import Plan

    nlp = spacy.blank("en")
    name = f"{kind}_embeddings"
    nlp.add_pipe(name)
    width = nlp("word")._.embeddings[name].shape[1]
    items = [Item(str(i), text) for i, text in enumerate(batch)]
    n_characters = sum(map(len, batch))  # two shards for each worker, far less than the million of a real one
    n_tokens = sum(len(nlp.make_doc(text)) for text in batch)

    def run(rows: str, workers: int) -> Callable[[], float]:
        def turn() -> float:
            out = ExportFolder(folder / "out")
            out.begin({})
            plan = Plan("", "", None, str(out.out), Columns(Rows(rows), (name,), (width,), "float16"), {}, False)
            start = measure.now()
            shards = cut_shards(items, max(n_characters // (2 * workers), 1))
            done = export_here(nlp, plan, shards) if workers == 1 else export_in_processes(nlp, plan, shards, workers)
            n_bytes = sum(one.n_bytes for one in done)
            seconds = measure.now() - start
            findings[f"{kind}: bytes per {rows} row"] = round(n_bytes / (n_tokens if rows == "token" else len(batch)))
            shutil.rmtree(out.out)
            return seconds

        return turn

    def bare() -> None:
        for _ in nlp.pipe(batch):
            pass

    def docbin() -> None:
        kept = DocBin(docs=nlp.pipe(batch), store_user_data=True)
        kept.to_disk(folder / "docs.spacy")
        findings[f"{kind}: bytes per token in a DocBin"] = round((folder / "docs.spacy").stat().st_size / n_tokens)

    turns: Dict[str, Callable[[], Any]] = {
        "nlp.pipe": bare,
        "export, token rows": run("token", 1),
        "export, doc rows": run("doc", 1),
        "export, token rows, 2 workers": run("token", 2),
        "DocBin": docbin,
    }
    seconds = measure.take_turns(turns, settings.rounds)
    return [
        {
            "pipeline": kind,
            "contestant": contestant,
            "tokens/s": n_tokens / statistics.median(taken),
            "times nlp.pipe": measure.ratio(seconds, "nlp.pipe", contestant),
            "from, to": measure.spread(seconds, "nlp.pipe", contestant),
        }
        for contestant, taken in seconds.items()
    ]


def _memory() -> Dict[str, Any]:
    # Resident memory after the first 10,000 rows, and the peak over 1,000,000, of a random corpus of many words.
    import numpy as np

    from spacy_ctx_embed.export.run import export

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        import spacy

        folder = Path(name)
        nlp = spacy.blank("en")
        nlp.add_pipe("static_embeddings")
        nlp.to_disk(folder / "nlp")
        found = []
        for n_rows in (10_000, 1_000_000):
            with (folder / f"{n_rows}.txt").open("w") as file:
                for _ in range(n_rows // 100):
                    file.write(" ".join(f"w{word}" for word in random.zipf(1.3, 100) % 10**6) + "\n")
            summary = export(folder / "nlp", [folder / f"{n_rows}.txt"], folder / f"{n_rows}", dtype="float16")
            assert summary.rows == n_rows, summary.rows
            found.append(measure.peak_mb())
    return {
        "memory, MB after 10,000 rows": round(found[0]),
        "more at the peak of 1,000,000": round(found[1] - found[0]),
    }


def _search(folder: Path, rounds: int) -> Dict[str, Any]:
    import numpy as np

    from spacy_ctx_embed.neighbours.matrix import Matrix

    n_rows, width = 1_000_000, 384
    random = np.random.default_rng(0)
    matrix = Matrix.__new__(Matrix)
    written = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float16, (n_rows, width))
    for start in range(0, n_rows, 10_000):
        written[start : start + 10_000] = random.standard_normal((10_000, width), dtype=np.float32)
    written.flush()
    matrix.vectors = np.load(folder / "rows.npy", mmap_mode="r")
    matrix.norms = np.full(n_rows, np.sqrt(width), dtype=np.float32)
    query = random.standard_normal(width).astype(np.float32)
    taken = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        matrix.nearest(query, 10)
        taken.append(time.perf_counter() - start)
    return {"search, seconds over 1,000,000 x 384 float16 rows, warm": round(statistics.median(taken[2:]), 3)}


if __name__ == "__main__":
    main()
