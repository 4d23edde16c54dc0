"""Speed and memory of ``elmo_embeddings`` with different models, such as two editions of one.

The models take turns on the same sentences, in one ``nlp.pipe`` each, with the vectors of words known from the turn
before; memory is the peak of a fresh interpreter that reads all sentences once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import measure
import texts


def main() -> None:
    """Run the comparison."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--models", nargs="+", default=["elmo-mini"], help="folders or aliases; ratios to the first")
    parser.add_argument("--sentences", type=int, default=2000, help="how many to read")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    sentences = texts.sentences_of(text, settings.sentences)
    if settings.one:
        reader(settings.one, sentences)()
        print(json.dumps(measure.peak_mb()))
        return
    contestants: Dict[str, Callable[[], Any]] = {name: reader(name, sentences) for name in settings.models}
    seconds = measure.take_turns(contestants, settings.rounds)
    n_tokens, first = sum(map(len, sentences)), settings.models[0]
    rows: List[Dict[str, Any]] = []
    for name in settings.models:
        speed = n_tokens / statistics.median(seconds[name])
        shown = "/".join(Path(name).parts[-2:])  # many folders are called model-best
        row = {"model": shown, "tokens/s": speed, "times the first": measure.ratio(seconds, first, name)}
        rows.append({**row, "from, to": measure.spread(seconds, first, name), "peak (MB)": _peak(settings, name)})
    findings = {"tokens": n_tokens, "peak (MB)": {row["model"]: row["peak (MB)"] for row in rows}}
    asked = {**vars(settings), "models": len(rows), "text": source}
    measure.report("elmo_models", rows, settings=asked, before=before, findings=findings)


def reader(name: str, sentences: List[List[str]]) -> Callable[[], None]:
    """Make what reads the sentences once.

    :param name: of the model.
    :param sentences: their words.
    :return: it.
    """
    import spacy
    from spacy.tokens import Doc

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": name}
    nlp.add_pipe("elmo_embeddings", config={"model": model})

    def read() -> None:
        for _ in nlp.pipe(Doc(nlp.vocab, words=words) for words in sentences):
            pass

    return read


def _peak(settings: argparse.Namespace, name: str) -> float:
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name, "--sentences", str(settings.sentences)]
    for key in ("threads", "text", "data"):
        command += [f"--{key}", str(getattr(settings, key))]
    return round(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]), 1)


if __name__ == "__main__":
    main()
