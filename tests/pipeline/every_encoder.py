"""A script: one pipeline with every encoder, run by this process and by workers of each start method.

Its arguments are a static table, an ELMo, a BERT and a folder to write to; it prints JSON: what the Docs brought back,
by start method. Each encoder is in the pipeline twice: "used", as it is after it has run (and learnt, was saved and
loaded, lost its files), and "fresh", as it is built.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Config

from spacy_ctx_embed import restore_hooks
from spacy_ctx_embed.encoders.elmo.model import reset_states
from spacy_ctx_embed.networks.packed.matrix import can_pack_int8

TEXTS = [
    "The river bank. We sat",
    "",
    "we sat on the bank 😀",
    "\n",
    "I gave money \n\n to the dog",
    "tree",
    "the apple",
]
BATCH, N_WORKERS = 2, 2
START_METHODS = [how for how in ("spawn", "forkserver", "fork") if how in multiprocessing.get_all_start_methods()]
# Imported once for all workers of a fork server: what opening these models imports.
PRELOAD = ["spacy", "torch._dynamo", "transformers.models.bert.modeling_bert", "spacy_curated_transformers.pipeline"]
HAS_CURATED = importlib.util.find_spec("spacy_curated_transformers") is not None
NUMBERS = np.random.default_rng(0).normal(size=(3, 4)).astype("f")


def build(static: str, elmo: str, bert: str, folder: Path) -> Language:
    """The pipeline; its used components have run."""
    gone = shutil.copytree(elmo, folder / "gone" / "elmo")
    models = _models(static, elmo, bert)
    nlp = spacy.blank("xx")
    nlp.vocab.vectors = spacy.vocab.Vectors(data=NUMBERS, keys=["the", "bank", "dog"])
    if HAS_CURATED:
        _add_curated(nlp)
    else:
        del models["curated"]
    _add(nlp, "used", {**models, "elmo_gone": {**models["elmo"], "name": str(gone)}}, folder)
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(TEXTS[0]), {})])
    list(nlp.pipe(TEXTS))
    shutil.rmtree(gone.parent)
    for name in ("used_elmo_trainable", "used_bert_trainable"):
        with torch.no_grad():
            for parameter in nlp.get_pipe(name).model.shims[0].network().module.parameters():
                parameter.mul_(1.5)
    nlp.get_pipe("used_elmo_saved").to_disk(folder / "saved")
    nlp.get_pipe("used_elmo_saved").from_disk(folder / "saved")
    learnt = ("elmo_trainable", "bert_trainable", "layers")  # these have other weights when they are built
    _add(nlp, "fresh", {key: model for key, model in models.items() if key not in learnt}, folder)
    return nlp


def _models(static: str, elmo: str, bert: str) -> Dict[str, Dict[str, Any]]:
    # The model of each component; the first word of the key says which kind of component it is for.
    def model(architecture: str, **settings: Any) -> Dict[str, Any]:
        return {"@architectures": f"spacy_ctx_embed.{architecture}.v1", **settings}

    parts = {
        "heard": model("EmbeddingListener", upstream="used_elmo"),
        "static": model("StaticVectors", name=static),
        "elmo": model("Elmo", name=elmo),
    }
    models = {
        "static": model("StaticVectors", name=static),
        "static_vocab": model("StaticVectors", name="vocab", oov="mean"),
        "elmo": model("Elmo", name=elmo),
        "elmo_saved": model("Elmo", name=elmo, layer_norm=True, char_cache_mb=0),
        "elmo_half": model("Elmo", name=elmo, precision="bfloat16"),
        "elmo_warm": model("Elmo", name=elmo, initial_state="warm"),
        "elmo_stateful": model("Elmo", name=elmo, stateful=True),
        "elmo_cached": model("Elmo", name=elmo),
        "elmo_trainable": model("Elmo", name=elmo, trainable=True),
        "bert": model("Bert", name=bert, overlap=8, layer_mix="scalar_mix"),
        "bert_trainable": model("Bert", name=bert, overlap=8, trainable=True),
        "layers": model("StackedTok2Vec", embeddings=parts, width=8),
        "curated": model("TransformerOutput", upstream="trf", width=16),
        "stacked": {},
    }
    if can_pack_int8():
        models["elmo_int8"] = model("Elmo", name=elmo, precision="int8")
    return models


def _add(nlp: Language, prefix: str, models: Dict[str, Dict[str, Any]], folder: Path) -> None:
    for key, model in models.items():
        family = key.split("_")[0]
        factory = family if family in ("static", "elmo", "stacked") else "bert"
        config: Dict[str, Any] = {"model": model} if model else {"sources": [f"{prefix}_static", f"{prefix}_bert"]}
        if key == "elmo_cached":
            config.update(cache_mb=1, cache_dir=str(folder / "cache"))
        nlp.add_pipe(f"{factory}_embeddings", name=f"{prefix}_{key}", config=config)


def _add_curated(nlp: Language) -> None:
    from curated_tokenizers import WordPieceProcessor

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "river", "bank", "##s"]
    text = """
    [model]
    @architectures = "spacy-curated-transformers.BertTransformer.v1"
    hidden_width = 16
    num_hidden_layers = 2
    num_attention_heads = 2
    intermediate_width = 32

    [model.piece_encoder]
    @architectures = "spacy-curated-transformers.BertWordpieceEncoder.v1"

    [model.with_spans]
    @architectures = "spacy-curated-transformers.WithStridedSpans.v1"
    """
    model = {**Config().from_str(text)["model"], "vocab_size": len(pieces)}
    component = nlp.add_pipe("curated_transformer", name="trf", config={"model": model})
    component.model.get_ref("piece_encoder").attrs["wordpiece_processor"] = WordPieceProcessor(pieces)


def expected_rows(nlp: Language) -> Dict[str, List[np.ndarray]]:
    """Rows of this process. State is carried from batch to batch, and each worker gets every second batch."""
    found: List[Optional[Doc]] = [None] * len(TEXTS)
    batches = [list(range(i, min(i + BATCH, len(TEXTS)))) for i in range(0, len(TEXTS), BATCH)]
    with nlp.select_pipes(disable=[name for name in nlp.pipe_names if name.startswith("fresh")]):
        for worker in range(N_WORKERS):
            reset_states(nlp.get_pipe("used_elmo_stateful").model)
            for batch in batches[worker::N_WORKERS]:
                for i, doc in zip(batch, nlp.pipe([TEXTS[i] for i in batch], batch_size=BATCH)):
                    found[i] = doc
    docs = [doc for doc in found if doc is not None]
    rows = {name: [doc._.embeddings[name] for doc in docs] for name in docs[0]._.embeddings}
    return {**{name.replace("used", "fresh"): part for name, part in rows.items()}, **rows}


def difference(left: np.ndarray, right: np.ndarray) -> float:
    """The largest, infinite where the shapes differ."""
    return float(np.abs(left - right).max(initial=0)) if left.shape == right.shape else float("inf")


def send(nlp: Language, expected: Dict[str, List[np.ndarray]]) -> Dict[str, Any]:
    """Let workers of the start method that is set do it, and say what came back."""
    # Docs are sent with what is on them, texts alone.
    items: List[Any] = [nlp.make_doc(text) if i % 2 else text for i, text in enumerate(TEXTS)]
    items[1].user_data["mine"] = {"numbers": NUMBERS}
    docs = list(nlp.pipe(items, n_process=N_WORKERS, batch_size=BATCH))
    return {
        "texts": [doc.text for doc in docs] == TEXTS,
        "user data": np.array_equal(docs[1].user_data["mine"]["numbers"], NUMBERS),
        "hooks": np.array_equal(restore_hooks(docs[0])[1].vector, docs[0][1]._.vector),
        "differences": {
            name: max(difference(doc._.embeddings[name], rows) for doc, rows in zip(docs, expected[name]))
            for name in nlp.pipe_names
            if name != "trf"
        },
    }


def main(static: str, elmo: str, bert: str, folder: str) -> None:
    """Print what came back."""
    nlp = build(static, elmo, bert, Path(folder))
    expected = expected_rows(nlp)
    answer: Dict[str, Any] = {"config": nlp.config.to_str()}
    multiprocessing.set_forkserver_preload(PRELOAD)
    for how in START_METHODS:
        multiprocessing.set_start_method(how, force=True)
        answer[how] = send(nlp, expected)
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
