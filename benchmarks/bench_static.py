"""Static vectors: ``static_embeddings`` on a Doc against ``[t.vector for t in doc]``, and the time to load a table.

Both read the same GloVe table: ours from its files, spaCy's from ``nlp.vocab.vectors`` filled with the same words and
rows. Ours includes storing the rows on the Doc; both drop what they made Doc by Doc. Loading is timed in fresh
interpreters: the time from the first use of the component to its rows, with every import that it needs, and spaCy's
own import apart.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import measure
import texts

OURS, PIPE, LOOP = "static_embeddings(doc)", "static_embeddings.pipe(docs)", "[t.vector for t in doc]"
READ = "ours, and [t._.vector for t in doc]"


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=11)
    parser.add_argument("--docs", type=int, default=200, help="Docs per turn")
    parser.add_argument("--tokens", type=int, default=200, help="tokens per Doc")
    parser.add_argument("--name", default="glove-6b-50d", help="the table's name, as in a config")
    parser.add_argument("--loads", type=int, default=3, help="fresh interpreters that load the table")
    parser.add_argument("--load-only", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    if settings.load_only:
        print(_load_seconds(settings.name))
        return
    import numpy as np

    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    batch = texts.texts_of_tokens(text, settings.docs, settings.tokens)

    ours, plain = _pipelines(settings.name)
    component = ours.get_pipe("static_embeddings")
    docs = {name: [ours.make_doc(t) for t in batch] for name in (OURS, PIPE, READ)}
    plain_docs = [plain.make_doc(t) for t in batch]

    def call(name: str) -> None:
        # The rows are dropped as they come, as the vectors of the loop are: keeping them would cost page faults.
        for doc in docs[name]:
            component(doc)
            if name == READ:
                [t._.vector for t in doc]
            doc.user_data.clear()

    def pipe() -> None:
        for doc in component.pipe(docs[PIPE], batch_size=32):
            doc.user_data.clear()

    def loop() -> None:
        for doc in plain_docs:
            [t.vector for t in doc]

    turns = {OURS: lambda: call(OURS), PIPE: pipe, LOOP: loop, READ: lambda: call(READ)}
    seconds = measure.take_turns(turns, settings.rounds)
    known = [(a, b) for x, y in zip(map(component, docs[OURS][:50]), plain_docs) for a, b in zip(x, y) if b.has_vector]
    different = max(float(np.abs(a._.vector - b.vector).max()) for a, b in known)
    n_tokens = settings.docs * settings.tokens
    rows = [
        {
            "contestant": name,
            "tokens/s": n_tokens / statistics.median(taken),
            "µs per Doc": 1e6 * statistics.median(taken) / settings.docs,
            "ours is faster by": measure.ratio(seconds, name, OURS),
            "from, to": measure.spread(seconds, name, OURS),
        }
        for name, taken in seconds.items()
    ]
    loads = _loads(settings)
    findings = {
        "in batches, times [t.vector for t in doc] (wanted: 10)": round(measure.ratio(seconds, LOOP, PIPE), 1),
        "Doc by Doc, times [t.vector for t in doc]": round(measure.ratio(seconds, LOOP, OURS), 1),
        "largest difference of rows, words as written": different,
        f"seconds to load {settings.name}, median (wanted: under 1)": round(statistics.median(loads), 3),
        "seconds of each load": [round(load, 3) for load in loads],
    }
    measure.report("static", rows, settings={**vars(settings), "text": source}, before=before, findings=findings)


def _pipelines(name: str) -> Any:
    import spacy
    from spacy.vectors import Vectors

    ours = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": name}
    component = ours.add_pipe("static_embeddings", config={"model": model})
    component.model.initialize()
    table = component.model.shims[0].network().table
    plain = spacy.blank("en")
    plain.vocab.vectors = Vectors(data=table.vectors.copy(), keys=list(table.words), strings=plain.vocab.strings)
    return ours, plain


def _load_seconds(name: str) -> float:
    import spacy

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": name}
    component = nlp.add_pipe("static_embeddings", config={"model": model})
    doc = nlp.make_doc("one")
    start = measure.now()
    component(doc)
    return measure.now() - start


def _loads(settings: argparse.Namespace) -> List[float]:
    command = [sys.executable, str(Path(__file__).resolve()), "--load-only", "--name", settings.name]
    command += ["--threads", str(settings.threads), "--clock", settings.clock]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(settings.loads)]
    return [float(run.stdout.split()[-1]) for run in runs]


if __name__ == "__main__":
    main()
