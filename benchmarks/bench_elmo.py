"""ELMo: words per second of ``spacy_ctx_embed.Elmo.v1`` against AllenNLP's Elmo, on a random model of a published size.

AllenNLP runs in its own interpreter (``--allennlp-python``), as another process that takes turns with this one: same
sentences, same threads, from words to one NumPy row per word. Its state is reset before each batch, as ours starts
from zeros, and the vectors of both are compared. Contestants:

- ours, new words: no vector of a word is remembered from before (``char_cache_mb = 0``);
- ours: the default, which after the first turn knows all words; in long texts most words are known ones;
- AllenNLP, in the order of the text and in batches of like length, which a user would have to write;
- only the matrix products of the biLM, step by step as ours has them: the time below which no such code gets.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import elmo_model
import measure
import texts

NEW, OURS = "ours, new words", "ours"
PEER, PEER_SORTED = "AllenNLP", "AllenNLP, sorted by length"
PRODUCTS = "biLM matrix products only"


class AllenNLP:
    """The process that runs AllenNLP.

    :param python: an interpreter that has AllenNLP.
    """

    def __init__(self, python: str) -> None:
        worker = str(measure.HERE / "allennlp_worker.py")
        self._process = subprocess.Popen(
            [python, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, do: str, **values: Any) -> Dict[str, Any]:
        r"""Send a command and wait for its answer.

        :param do: the command.
        :param \**values: its arguments.
        :return: the answer.
        :raises RuntimeError: if the command failed.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps({"do": do, **values}) + "\n")
        stdin.flush()
        line = stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended; run allennlp_worker.py by hand to see why"}
        if "error" in answer:
            raise RuntimeError(f"AllenNLP, {do}: {answer['error']}")
        return dict(answer)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--allennlp-python", help="an interpreter that has AllenNLP; without it only ours is measured")
    parser.add_argument("--size", choices=sorted(elmo_model.SIZES), default="small", help="published size of the model")
    parser.add_argument("--sentences", type=int, default=320, help="sentences per turn")
    parser.add_argument("--allennlp-batch", type=int, default=64, help="sentences per batch of AllenNLP")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("news", "gutenberg", "wnut17"))
    sentences = texts.sentences_of(text, settings.sentences)
    with tempfile.TemporaryDirectory() as folder:
        _compare(settings, {**vars(settings), "text": source}, before, sentences, Path(folder))


def _compare(settings: Any, shown: Dict[str, Any], before: Any, sentences: List[List[str]], folder: Path) -> None:
    size = elmo_model.SIZES[settings.size]
    options, weights = elmo_model.write_model(size, folder)
    ours, new = _ours(folder, {}), _ours(folder, {"char_cache_mb": 0})
    products, steps = _products(size, ours, sentences)
    contestants: Dict[str, Callable[[], Any]] = {
        NEW: lambda: _run(new, sentences),
        OURS: lambda: _run(ours, sentences),
        PRODUCTS: products,
    }
    findings: Dict[str, Any] = {}
    notes: List[str] = []
    id_seconds: List[float] = []
    peer = AllenNLP(settings.allennlp_python) if settings.allennlp_python else None
    if peer is None:
        notes.append("Skipped AllenNLP: give an interpreter that has it with --allennlp-python.")
    else:
        model = {"options": str(options), "weights": str(weights)}
        opened = peer.ask("open", **model, threads=settings.threads, clock=settings.clock, sentences=sentences)
        findings["AllenNLP"] = opened

        def turn(in_order: bool) -> float:
            answer = peer.ask("run", batch_size=settings.allennlp_batch, in_order=in_order)
            id_seconds.append(answer["id_seconds"])
            return float(answer["seconds"])

        contestants[PEER] = lambda: turn(True)
        contestants[PEER_SORTED] = lambda: turn(False)
    try:
        seconds = measure.take_turns(contestants, settings.rounds)
        if peer is not None:
            findings["largest difference of vectors"] = _difference(peer, folder, new, sentences)
    finally:
        if peer is not None:
            peer.close()

    for slow in (PEER, PEER_SORTED):
        if slow in seconds:
            wanted = " (wanted: 2.0)" if slow == PEER else ""
            findings[f"new words: times {slow}{wanted}"] = round(measure.ratio(seconds, slow, NEW), 2)
            findings[f"times {slow}{wanted}"] = round(measure.ratio(seconds, slow, OURS), 2)
    if id_seconds:
        findings["of AllenNLP's seconds, words to character ids"] = round(statistics.median(id_seconds), 3)
    findings |= _rates(size, sentences, steps, seconds)
    n_words = sum(map(len, sentences))
    rows = [
        {
            "contestant": name,
            "words/s": n_words / statistics.median(taken),
            "seconds": statistics.median(taken),
            "ours, new words, is faster by": measure.ratio(seconds, name, NEW),
            "from, to": measure.spread(seconds, name, NEW),
        }
        for name, taken in seconds.items()
    ]
    measure.report(f"elmo-{settings.size}", rows, settings=shown, before=before, findings=findings, notes=notes)


def _ours(folder: Path, keys: Dict[str, Any]) -> Any:
    import spacy

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(folder), **keys}
    nlp.add_pipe("elmo_embeddings", config={"model": model})
    nlp.get_pipe("elmo_embeddings").model.initialize()
    return nlp


def _docs(nlp: Any, sentences: Sequence[Sequence[str]]) -> List[Any]:
    from spacy.tokens import Doc

    return [Doc(nlp.vocab, words=list(words), sent_starts=[i == 0 for i in range(len(words))]) for words in sentences]


def _run(nlp: Any, sentences: Sequence[Sequence[str]]) -> float:
    # Docs to rows on the Docs; AllenNLP is given lists of words, so that making Docs does not count.
    docs = _docs(nlp, sentences)
    component = nlp.get_pipe("elmo_embeddings")
    start = measure.now()
    for _ in component.pipe(docs, batch_size=nlp.batch_size):
        pass
    return measure.now() - start


def _products(size: elmo_model.Size, nlp: Any, sentences: Sequence[Sequence[str]]) -> Any:
    # The products of [input; recurrent] x gates and cells x projection, for each step of each batch.
    import torch

    from spacy_ctx_embed.networks.batching import group_by_length

    lengths = [len(words) + 2 for words in sentences]
    budget = nlp.get_pipe("elmo_embeddings").model.shims[0].settings["max_batch_tokens"]
    batches = elmo_model.steps_of(lengths, group_by_length(lengths, budget))
    p, d, widest = size.projection_dim, size.dim, len(sentences)
    weights = [(torch.randn(2, 2 * p, 4 * d) / 100, torch.randn(2, d, p) / 100) for _ in range(size.n_layers)]
    x, cells = torch.randn(2, widest, 2 * p), torch.randn(2, widest, d)

    def run() -> None:
        with torch.inference_mode():
            for steps in batches:
                for gates, projection in weights:
                    for n in steps:
                        torch.bmm(x[:, :n], gates)
                        torch.bmm(cells[:, :n], projection)

    return run, [n for steps in batches for n in steps]


def _difference(peer: AllenNLP, folder: Path, nlp: Any, sentences: Sequence[Sequence[str]]) -> float:
    import numpy as np

    path = folder / "vectors.npy"
    peer.ask("save", path=str(path))
    docs = list(nlp.get_pipe("elmo_embeddings").pipe(_docs(nlp, sentences), batch_size=nlp.batch_size))
    ours = np.concatenate([doc._.embeddings["elmo_embeddings"] for doc in docs])
    theirs = np.load(path)
    if ours.shape != theirs.shape:
        raise RuntimeError(f"ours has vectors of shape {ours.shape}, AllenNLP {theirs.shape}")
    return float(np.abs(ours - theirs).max())


def _rates(
    size: elmo_model.Size, sentences: Sequence[Sequence[str]], steps: Sequence[int], seconds: measure.Seconds
) -> Dict[str, Any]:
    # GFLOP/s by what had to be computed: ours each word once and only where it has characters, AllenNLP everything.
    n_tokens = sum(len(words) + 2 for words in sentences)
    counts = elmo_model.words_of(sentences)
    bilm = elmo_model.bilm_flops(size, n_tokens)
    once = elmo_model.word_flops(size, list(counts), padding=False)
    each = elmo_model.word_flops(size, ["a"] * n_tokens, padding=True)
    work = {NEW: bilm + once, OURS: bilm, PRODUCTS: bilm, PEER: bilm + each, PEER_SORTED: bilm + each}
    rate = {name: work[name] / statistics.median(taken) / 1e9 for name, taken in seconds.items()}
    peak = _peak_rate(size)
    return {
        "words, distinct words": [n_tokens - 2 * len(sentences), len(counts)],
        "MFLOP per token: biLM, token encoder as published": [
            round(bilm / n_tokens / 1e6, 1),
            round(each / n_tokens / 1e6, 1),
        ],
        "sentences per step, median": statistics.median(steps),
        "GFLOP/s": {name: round(value, 1) for name, value in rate.items()},
        "GFLOP/s of one large product": round(peak, 1),
        "ours: share of the rate of its products alone": round(rate[OURS] / rate[PRODUCTS], 2),
        "ours: share of the rate of one large product": round(rate[OURS] / peak, 2),
    }


def _peak_rate(size: elmo_model.Size, n: int = 1024) -> float:
    import torch

    x, gates = torch.randn(2, n, 2 * size.projection_dim), torch.randn(2, 2 * size.projection_dim, 4 * size.dim)
    seconds = measure.take_turns({"large": lambda: torch.bmm(x, gates)}, 15)["large"]
    return 2 * x.numel() * gates.shape[2] / min(seconds) / 1e9


if __name__ == "__main__":
    main()
