"""ELMo over long texts: 20,000 sentences against AllenNLP, cost against length, peak memory, one Doc without sentences.

- Against AllenNLP: one stream of sentences through ``nlp.pipe``, all words new at its start. After each fifth of it,
  AllenNLP takes a turn on the first sentences of that fifth (its rate does not depend on how many there are; all
  20,000 would take it an hour on the original size). Each fifth gives one ratio of words per second.
- Cost: words per second over ``--many`` sentences against 2,000, in one run each, words new at the start.
- Memory: a fresh interpreter reads the model and runs 2,000 sentences; its peak is held against that of one that
  does the same with a model of a few kB, so that Python, spaCy and torch themselves do not count.
- One Doc of 100,000 tokens without sentence boundaries.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import bench_elmo
import elmo_model
import measure
import texts
from allennlp_peer import AllenNLP

WANTED = {"small": 9.0, "original": 4.0}
_PARTS = 5
_TINY = elmo_model.Size(32, 16, 1, filters=((1, 4), (2, 8)))


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=1)
    parser.add_argument("--allennlp-python", help="an interpreter that has AllenNLP; without it only ours is measured")
    parser.add_argument("--size", choices=sorted(elmo_model.SIZES), default="small", help="published size of the model")
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32", help="of ours")
    parser.add_argument("--sentences", type=int, default=20000, help="sentences against AllenNLP; 0 for none")
    parser.add_argument("--slice", type=int, default=160, help="sentences of AllenNLP's turn after each fifth")
    parser.add_argument("--many", type=int, default=100000, help="sentences of the long run; 0 for none")
    parser.add_argument("--memory", type=int, default=2000, help="sentences of the memory run; 0 for none")
    parser.add_argument("--long-doc", type=int, default=100000, help="tokens of the long Doc; 0 for none")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news", "wnut17"))
    if settings.peak_of:
        print(json.dumps(_peak(settings, texts.sentences_of(text, settings.memory))))
        return
    sentences = texts.sentences_of(text, max(settings.sentences, settings.many, settings.memory))
    with tempfile.TemporaryDirectory() as folder:
        _measure(settings, {**vars(settings), "text": source}, before, sentences, Path(folder))


def _measure(settings: Any, shown: Dict[str, Any], before: Any, sentences: List[List[str]], folder: Path) -> None:
    options, weights = elmo_model.write_model(elmo_model.SIZES[settings.size], folder)
    nlp = bench_elmo._ours(folder, {"precision": settings.precision})
    rows: List[Dict[str, Any]] = []
    findings: Dict[str, Any] = {}
    notes: List[str] = []
    _rate(nlp, sentences[:200])  # warm up
    if settings.sentences:
        if settings.allennlp_python:
            findings |= _against(settings, nlp, sentences[: settings.sentences], options, weights, rows)
        else:
            notes.append("Skipped AllenNLP: give an interpreter that has it with --allennlp-python.")
    if settings.many:
        few, many = _rate(nlp, sentences[:2000]), _rate(nlp, sentences[: settings.many])
        rows += [{"run": f"{n:,} sentences", "words/s": rate} for n, rate in ((2000, few), (len(sentences), many))]
        findings["cost is linear: rate over many times that over 2,000 (wanted: 0.9)"] = round(many / few, 2)
    if settings.long_doc:
        words = [word for words in sentences for word in words][: settings.long_doc]
        rows.append({"run": f"one Doc of {len(words):,} tokens", "words/s": _rate(nlp, [words], cut=False)})
    if settings.memory:
        findings |= _memory(settings, folder, weights)
    measure.report(f"elmo-long-{settings.size}", rows, settings=shown, before=before, findings=findings, notes=notes)


def _against(
    settings: Any, nlp: Any, sentences: List[List[str]], options: Path, weights: Path, rows: List[Dict[str, Any]]
) -> Dict[str, Any]:
    peer = AllenNLP(settings.allennlp_python)
    size = len(sentences) // _PARTS
    ours: List[float] = []
    theirs: List[float] = []
    bench_elmo.forget_words(nlp)
    try:
        for part in range(_PARTS):
            chunk = sentences[part * size : (part + 1) * size]
            ours.append(_rate(nlp, chunk, forget=False))
            some = chunk[: settings.slice]
            model = {"options": str(options), "weights": str(weights)}
            peer.ask("open", **model, threads=settings.threads, clock=settings.clock, sentences=some)
            if part == 0:
                peer.ask("run", batch_size=64, in_order=True)  # warm up
            seconds = peer.ask("run", batch_size=64, in_order=True)["seconds"]
            theirs.append(sum(map(len, some)) / seconds)
    finally:
        peer.close()
    ratios = [a / b for a, b in zip(ours, theirs)]
    rows.append({"run": f"{len(sentences):,} sentences, ours, median of fifths", "words/s": statistics.median(ours)})
    rows.append({"run": f"AllenNLP, {settings.slice} of each fifth", "words/s": statistics.median(theirs)})
    wanted = f" (wanted: {WANTED[settings.size]})" if settings.size in WANTED else ""
    return {
        f"times AllenNLP{wanted}": round(statistics.median(ratios), 2),
        "by fifth": [round(ratio, 2) for ratio in ratios],
    }


def _rate(nlp: Any, sentences: Sequence[Sequence[str]], *, forget: bool = True, **keys: Any) -> float:
    # Words per second through the component; Docs are made and dropped as they go, as in a long stream.
    if forget:
        bench_elmo.forget_words(nlp)
    making = 0.0

    def stream() -> Iterator[Any]:
        nonlocal making
        for words in sentences:
            start = measure.now()
            doc = _doc(nlp, words, **keys)
            making += measure.now() - start
            yield doc

    start = measure.now()
    for _ in nlp.get_pipe("elmo_embeddings").pipe(stream(), batch_size=nlp.batch_size):
        pass
    return sum(map(len, sentences)) / (measure.now() - start - making)


def _doc(nlp: Any, words: Sequence[str], *, cut: bool = True) -> Any:
    from spacy.tokens import Doc

    return bench_elmo._docs(nlp, [words])[0] if cut else Doc(nlp.vocab, words=list(words))


def _memory(settings: Any, folder: Path, weights: Path) -> Dict[str, Any]:
    tiny = folder / "tiny"
    tiny.mkdir()
    elmo_model.write_model(_TINY, tiny)
    base, found = _fresh(settings, tiny), _fresh(settings, folder)
    n_weights, cache = weights.stat().st_size / 2**20, 64
    limit = n_weights + cache + 300
    return {
        "memory (MiB): weights, cache": [round(n_weights), cache],
        "peak over that with a tiny model (MiB): opening, running": [round(a - b) for a, b in zip(found, base)],
        "limit wanted: weights + cache + 300 (MiB)": round(limit),
    }


def _fresh(settings: Any, folder: Path) -> List[float]:
    command = [sys.executable, str(Path(__file__).resolve()), "--peak-of", str(folder)]
    for key in ("threads", "clock", "text", "data", "memory", "precision"):
        command += [f"--{key}", str(getattr(settings, key))]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr.strip().splitlines()[-1] if run.stderr.strip() else str(run.returncode))
    return list(json.loads(run.stdout.splitlines()[-1]))


def _peak(settings: Any, sentences: List[List[str]]) -> List[float]:
    nlp = bench_elmo._ours(settings.peak_of, {"precision": settings.precision})
    opened = measure.peak_mb() * 1e6 / 2**20
    _rate(nlp, sentences)
    return [opened, measure.peak_mb() * 1e6 / 2**20]


if __name__ == "__main__":
    main()
