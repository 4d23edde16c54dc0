"""Corpora of a few annotated sentences, and training configs over a tiny BERT."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Dict, List, Optional

from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab
from thinc.api import Config

NOUNS = ["river", "bank", "dog", "tree", "money"]
VERBS = ["sat", "gave", "flows", "barks"]
PLACES = ["new york", "apple", "city"]


def make_docs(n: int, seed: int = 0) -> List[Doc]:
    """Sentences like "the dog sat in new york .", with all annotation that a task component may want."""
    draw, vocab = random.Random(seed), Vocab()
    docs = []
    for _ in range(n):
        place = draw.choice(PLACES)
        words = ["the", draw.choice(NOUNS), draw.choice(VERBS), "in", *place.split(), "."]
        tags = ["D", "N", "V", "P", *["N"] * len(place.split()), "."]
        heads = [1, 2, 2, 2, *[3] * len(place.split()), 2]
        deps = ["det", "nsubj", "ROOT", "prep", *["pobj"] * len(place.split()), "punct"]
        doc = Doc(
            vocab, words=words, tags=tags, heads=heads, deps=deps, sent_starts=[True] + [False] * (len(words) - 1)
        )
        ent = Span(doc, 4, len(words) - 1, label="ORG" if place == "apple" else "GPE")
        doc.ents = [ent]
        doc.spans["sc"] = [ent]
        animal = words[1] == "dog"
        doc.cats = {"ANIMAL": float(animal), "THING": float(not animal)}
        docs.append(doc)
    return docs


def write_corpus(file: Path, n: int, seed: int = 0) -> Path:
    DocBin(docs=make_docs(n, seed)).to_disk(file)
    return file


def make_config(bert: Path, *, task: str = "ner", encoder: Optional[Dict[str, Any]] = None, **training: Any) -> Config:
    """A training config with ``bert_embeddings`` and a task component that listens; ``encoder``: its other settings."""
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": "bert_embeddings"}
    models: Dict[str, Dict[str, Any]] = {
        "ner": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 16,
            "maxout_pieces": 1,
            "use_upper": True,
            "tok2vec": listener,
        },
        "tagger": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener},
        "textcat": {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": True,
            "use_reduce_first": False,
            "use_reduce_last": False,
            "use_reduce_max": False,
            "use_reduce_mean": True,
            "tok2vec": listener,
        },
    }
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(bert), **(encoder or {})}
    return Config(
        {
            "paths": {"train": None, "dev": None},
            "nlp": {"lang": "xx", "pipeline": ["bert_embeddings", task]},
            "components": {
                "bert_embeddings": {"factory": "bert_embeddings", "model": model},
                task: {"factory": task, "model": models[task]},
            },
            "training": {
                "seed": 5,
                "gpu_allocator": None,
                "max_steps": 4,
                "batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 4},
                **training,
            },
        }
    )


def write_config(file: Path, config: Config) -> Path:
    config.to_disk(file, interpolate=False)
    return file
