"""ELMo: words per second of ``spacy_ctx_embed.Elmo.v1`` against AllenNLP's Elmo, on a random model of a published size.

AllenNLP runs in its own interpreter (``--allennlp-python``), as another process that takes turns with this one: same
sentences, same threads, from words to one NumPy row per word. Its state is reset before each batch, as ours starts
from zeros, and the vectors of both are compared. Contestants:

- ours, new words: no vector of a word is remembered from before (the cache is emptied before each turn);
- ours: after the first turn all words are known; in long texts most words are known ones;
- ours in 8-bit integers (``precision = "int8"``), new words too;
- AllenNLP, in the order of the text and in batches of like length, which a user would have to write;
- only the matrix products that ours has to do, in the fastest layout known here: step by step for the biLM, once per
  distinct word for the token encoder. What ours takes above that is not products.

The roof is one large product of the biLM's shape in the same run; the achieved share is of its rate.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import elmo_model
import measure
import texts
from allennlp_peer import AllenNLP

NEW, OURS, INT8 = "ours, new words", "ours", "ours, int8, new words"
PEER, PEER_SORTED = "AllenNLP", "AllenNLP, sorted by length"
PRODUCTS = "only the matrix products"
WANTED = {"small": 7.0, "original": 3.5}


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
    ours = _ours(folder, {})
    int8 = _ours(folder, {"precision": "int8"})
    products, steps = _products(size, ours, sentences)
    contestants: Dict[str, Callable[[], Any]] = {
        NEW: lambda: run(ours, sentences, forget=True),
        INT8: lambda: run(int8, sentences, forget=True),
        OURS: lambda: run(ours, sentences),
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
            findings["largest difference of vectors"] = difference(peer, folder, ours, sentences)
    finally:
        if peer is not None:
            peer.close()

    for slow in (PEER, PEER_SORTED):
        if slow in seconds:
            wanted = f" (wanted: {WANTED[settings.size]})" if slow == PEER and settings.size in WANTED else ""
            findings[f"new words: times {slow}{wanted}"] = round(measure.ratio(seconds, slow, NEW), 2)
            findings[f"words known: times {slow}"] = round(measure.ratio(seconds, slow, OURS), 2)
    findings["int8: times float32 (wanted: 1.5 on original)"] = round(measure.ratio(seconds, NEW, INT8), 2)
    findings["int8: smallest cosine to float32 (wanted: 0.995)"] = _smallest_cosine(ours, int8, sentences)
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


def forget_words(nlp: Any) -> None:
    """Empty the cache of word vectors.

    :param nlp: a pipeline that :func:`_ours` made.
    """
    nlp.get_pipe("elmo_embeddings").model.shims[0].network().words.clear()


def run(nlp: Any, sentences: Sequence[Sequence[str]], *, forget: bool = False) -> float:
    """Take Docs to rows on the Docs; AllenNLP is given lists of words, so that making Docs does not count.

    :param nlp: a pipeline with ``elmo_embeddings``.
    :param sentences: words of each Doc.
    :param forget: whether to empty the cache of word vectors first.
    :return: seconds.
    """
    docs = _docs(nlp, sentences)
    component = nlp.get_pipe("elmo_embeddings")
    if forget:
        forget_words(nlp)
    start = measure.now()
    for _ in component.pipe(docs, batch_size=nlp.batch_size):
        pass
    return measure.now() - start


def _products(size: elmo_model.Size, nlp: Any, sentences: Sequence[Sequence[str]]) -> Any:
    # Per step of each batch [input; recurrent] x gates and cells x projection; per distinct word the token encoder.
    import torch

    from spacy_ctx_embed.networks.batching import group_by_length
    from spacy_ctx_embed.networks.packed.matrix import Matrix

    lengths = [len(words) + 2 for words in sentences]
    budget = nlp.get_pipe("elmo_embeddings").model.shims[0].settings.max_batch_tokens
    batches = elmo_model.steps_of(lengths, group_by_length(lengths, budget))
    p, d, f, widest = size.projection_dim, size.dim, size.n_filters, len(sentences)
    words = list(elmo_model.words_of(sentences))
    positions = sum(min(len(word.encode("utf8")) + 2, size.max_chars) for word in words)
    with torch.inference_mode():
        cells = [(Matrix(torch.randn(4 * d, 2 * p)), Matrix(torch.randn(p, d))) for _ in range(2 * size.n_layers)]
        x, c = torch.randn(widest, 2 * p), torch.randn(widest, d)
        convs = [
            (torch.randn(2048, w * size.char_dim), Matrix(torch.randn(n, w * size.char_dim))) for w, n in size.filters
        ]
        dense = [Matrix(torch.randn(2 * f, f)) for _ in range(size.n_highway)] + [Matrix(torch.randn(p, f))]
        features = torch.randn(256, f)

    def products() -> None:
        with torch.inference_mode():
            for steps in batches:
                for gates, projection in cells:
                    for n in steps:
                        gates.product(x[:n], None)
                        projection.product(c[:n], None)
            for start in range(0, positions, 2048):
                for windows, conv in convs:
                    conv.product(windows[: positions - start], None)
            for start in range(0, len(words), 256):
                for matrix in dense:
                    matrix.product(features[: len(words) - start], None)

    return products, [n for steps in batches for n in steps]


def _smallest_cosine(nlp: Any, other: Any, sentences: Sequence[Sequence[str]]) -> float:
    import numpy as np

    a, b = _rows(nlp, sentences), _rows(other, sentences)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return round(float(cosines.min()), 5)


def _rows(nlp: Any, sentences: Sequence[Sequence[str]]) -> Any:
    import numpy as np

    docs = list(nlp.get_pipe("elmo_embeddings").pipe(_docs(nlp, sentences), batch_size=nlp.batch_size))
    return np.concatenate([doc._.embeddings["elmo_embeddings"] for doc in docs])


def difference(peer: AllenNLP, folder: Path, nlp: Any, sentences: Sequence[Sequence[str]]) -> float:
    """Compare the vectors of AllenNLP's last run with ours.

    :param peer: the process that runs AllenNLP.
    :param folder: for a file between the two.
    :param nlp: a pipeline with ``elmo_embeddings``.
    :param sentences: words of each Doc.
    :return: the largest difference of two numbers.
    """
    import numpy as np

    path = folder / "vectors.npy"
    peer.ask("save", path=str(path))
    ours, theirs = _rows(nlp, sentences), np.load(path)
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
    work = {NEW: bilm + once, INT8: bilm + once, OURS: bilm, PRODUCTS: bilm + once, PEER: bilm + each}
    work[PEER_SORTED] = work[PEER]
    rate = {name: work[name] / statistics.median(taken) / 1e9 for name, taken in seconds.items()}
    peak = _peak_rate(size)
    n_words = n_tokens - 2 * len(sentences)
    weights, activations = elmo_model.bilm_bytes(size, len(steps), n_tokens)
    return {
        "words, distinct words": [n_words, len(counts)],
        "MFLOP per token: biLM, token encoder as published": [
            round(bilm / n_tokens / 1e6, 1),
            round(each / n_tokens / 1e6, 1),
        ],
        "MFLOP per word: biLM, token encoder with each word once and no padding": [
            round(bilm / n_words / 1e6, 1),
            round(once / n_words / 1e6, 1),
        ],
        "kB per token: weights read anew at each step, activations": [
            round(weights / n_tokens / 1e3),
            round(activations / n_tokens / 1e3),
        ],
        "FLOP per byte of the biLM": round(bilm / (weights + activations), 1),
        "sentences per step, median": statistics.median(steps),
        "GFLOP/s": {name: round(value, 1) for name, value in rate.items()},
        "GFLOP/s of one large product (the roof)": round(peak, 1),
        "words/s at the roof": round(n_words / ((bilm + once) / peak / 1e9)),
        "new words: share of the roof (wanted: 0.7)": round(rate[NEW] / peak, 2),
        "new words: share of the rate of its products alone": round(rate[NEW] / rate[PRODUCTS], 2),
    }


def _peak_rate(size: elmo_model.Size, n: int = 1024) -> float:
    import torch

    from spacy_ctx_embed.networks.packed.matrix import Matrix

    with torch.inference_mode():
        x, gates = torch.randn(n, 2 * size.projection_dim), Matrix(torch.randn(4 * size.dim, 2 * size.projection_dim))
        seconds = measure.take_turns({"large": lambda: gates.product(x, None)}, 15)["large"]
    return 2 * x.numel() * 4 * size.dim / min(seconds) / 1e9


if __name__ == "__main__":
    main()
