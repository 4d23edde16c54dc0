"""Seeing and measuring: ``embed geometry`` against encoding alone; ``embed senses`` on 1,000 uses in a million words.

Each part runs in a fresh interpreter, so that its peak of memory is its own. Encoding and measuring take turns on the
same Docs; measuring encodes too, so that the ratio says what looking costs on top.
"""

from __future__ import annotations

import argparse
import json
import lzma
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import measure

WANTED_RATIO, WANTED_SECONDS, WANTED_MB, WANTED_PAGE_MB = 1.3, 60, 2000, 3
COMPONENTS = ("static_embeddings", "elmo_embeddings", "bert_embeddings")
_FEWEST_LETTERS = 4  # of the word whose uses are drawn, so that it is a word of content


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--corpus", choices=("modern", "gutenberg"), default="modern", help="of the data folder")
    parser.add_argument("--sizes", type=int, nargs=2, default=[20_000, 100_000], help="tokens that geometry reads")
    parser.add_argument("--words", type=int, default=1_000_000, help="words of the corpus of senses")
    parser.add_argument("--uses", type=int, default=1000, help="uses of a word on the page of senses")
    parser.add_argument("--part", choices=("geometry", "senses"), help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, default=0, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    if settings.part:
        print(json.dumps(_geometry(settings) if settings.part == "geometry" else _senses(settings)))
        return
    before = measure.machine()
    rows = [_fresh(settings, "geometry", size) for size in settings.sizes]
    senses = _fresh(settings, "senses", 0)
    small, large = rows
    findings = {
        f"geometry over encoding (wanted: at most {WANTED_RATIO})": [row["ratio"] for row in rows],
        "peak of geometry, large over small": round(large["peak (MB)"] / small["peak (MB)"], 2),
        **{f"senses, {key}": value for key, value in senses.items()},
        f"senses as wanted (< {WANTED_SECONDS} s, < {WANTED_MB} MB, page < {WANTED_PAGE_MB} MB)": (
            senses["seconds"] < WANTED_SECONDS
            and senses["peak (MB)"] < WANTED_MB
            and senses["page (MB)"] < WANTED_PAGE_MB
        ),
    }
    measure.report("seen", rows, settings=vars(settings), before=before, findings=findings)


def _fresh(settings: argparse.Namespace, part: str, tokens: int) -> Dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part, "--tokens", str(tokens)]
    for key in ("threads", "clock", "rounds", "data", "corpus", "words", "uses"):
        command += [f"--{key}", str(getattr(settings, key))]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{part}: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else run.returncode}")
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _geometry(settings: argparse.Namespace) -> Dict[str, Any]:
    from spacy_ctx_embed.measures.geometry import geometry
    from spacy_ctx_embed.seeing.default import default_pipeline
    from spacy_ctx_embed.sources.docs import batches
    from spacy_ctx_embed.sources.layers import find_sources

    nlp = default_pipeline()

    def docs() -> Iterator[Any]:
        n = 0
        for line in _lines(settings):
            doc = nlp.make_doc(line)
            n += len(doc)
            yield doc
            if n >= settings.tokens:
                return

    def encode() -> None:
        for batch in batches(docs(), 2000):
            for source in sources:
                source.layers_of(batch)

    sources = find_sources(nlp, owner="bench_seen", names=COMPONENTS)
    contestants: Dict[str, Callable[[], Any]] = {"encode": encode, "geometry": lambda: geometry(nlp, docs()) and None}
    seconds = measure.take_turns(contestants, settings.rounds)
    return {
        "tokens": settings.tokens,
        "encoding (s)": round(statistics.median(seconds["encode"]), 2),
        "geometry (s)": round(statistics.median(seconds["geometry"]), 2),
        "ratio": round(measure.ratio(seconds, "geometry", "encode"), 3),
        "smallest, largest": measure.spread(seconds, "geometry", "encode"),
        "peak (MB)": round(measure.peak_mb()),
    }


def _senses(settings: argparse.Namespace) -> Dict[str, Any]:
    from spacy_ctx_embed.seeing.default import default_pipeline
    from spacy_ctx_embed.seeing.senses import draw_senses

    with tempfile.TemporaryDirectory() as folder:
        corpus, page = Path(folder, "corpus.txt"), Path(folder, "senses.html")
        word = _write_corpus(settings, corpus)
        nlp = default_pipeline()
        nlp("Weights are read at first use.")
        start, cpu = measure.now(), time.process_time()
        (view,) = draw_senses(page, [word], corpus=corpus, nlp=nlp, limit=settings.uses)
        taken, cpu = measure.now() - start, time.process_time() - cpu
        size = page.stat().st_size / 1e6
    return {
        "word": word,
        "uses": len(view.numbers),
        "seconds": round(taken, 1),
        "of the processor": round(cpu, 1),
        "peak (MB)": round(measure.peak_mb()),
        "page (MB)": round(size, 2),
    }


def _write_corpus(settings: argparse.Namespace, file: Path) -> str:
    # Writes the corpus, and gives the word whose uses are nearest to those wanted, but not fewer.
    counts: Counter[str] = Counter()
    n = 0
    with file.open("w", encoding="utf8") as out:
        for line in _lines(settings):
            words = line.split()
            counts.update(words)
            out.write(line + "\n")
            n += len(words)
            if n >= settings.words:
                break
    fit: List[Tuple[int, str]] = [
        (count, word)
        for word, count in counts.items()
        if count >= settings.uses and word.isalpha() and word.islower() and len(word) >= _FEWEST_LETTERS
    ]
    if not fit:
        raise SystemExit(f"no word occurs {settings.uses:,} times in {n:,} words: --uses fewer, or --words more")
    return min(fit)[1]


def _lines(settings: argparse.Namespace) -> Iterator[str]:
    file = settings.data / settings.corpus / "train.txt.xz"
    if not file.is_file():
        raise SystemExit(f"its data are not there: {file.parent.name}/{file.name}")
    with lzma.open(file, "rt", encoding="utf8") as lines:
        yield from (line.strip() for line in lines if line.strip())


if __name__ == "__main__":
    main()
