"""Nine short Docs with everything that spaCy's components learn, and tiny models for the training configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.util import load_config
from spacy.vocab import Vocab

from tests.writers.elmo import write_random_elmo

CONFIGS = Path(__file__).parent.parent / "configs"
# The training configs, and the component of each that learns from labels.
TASKS = {
    "ner_hash.cfg": "ner",
    "ner_static.cfg": "ner",
    "ner_elmo.cfg": "ner",
    "ner_bert.cfg": "ner",
    "ner_bert_finetune.cfg": "ner",
    "ner_stacked.cfg": "ner",
    "tagger_bert.cfg": "tagger",
    "senter_elmo.cfg": "senter",
    "parser_elmo.cfg": "parser",
    "spancat_bert.cfg": "spancat",
    "textcat_bert.cfg": "textcat",
}
TEXTS = [
    "we sat on the bank of apple river . the dog barks .",
    "new york city gave me money . I run .",
    "the dog barks over new york city . water flows .",
    "water flows in apple river . we sat on a tree .",
    "I run and the dog barks .",
    "the bank gave me money . the dog sat on the bank .",
    "we run over apple river . the river flows .",
    "new york city was a tree .",
    "the money was on the tree . we sat in new york city .",
]
PLACES = ("apple river", "new york city")
_TAGS = {
    "D": "the a",
    "N": "bank river money dog tree city water apple new york",
    "P": "of on in over",
    "V": "sat gave flows was barks run",
    "R": "I we me",
    "C": "and",
    ".": ".",
}
_TAG_OF = {word: tag for tag, words in _TAGS.items() for word in words.split()}


def make_doc(vocab: Vocab, text: str) -> Doc:
    """A Doc with tags, entities, spans, categories, sentences and (for want of a grammar) chains as trees."""
    words = text.split()
    n = len(words)
    last = [word == "." for word in words]
    doc = Doc(
        vocab,
        words=words,
        tags=[_TAG_OF[word] for word in words],
        heads=[i if last[i] else i + 1 for i in range(n)],
        deps=["ROOT" if last[i] else _TAG_OF[words[i]] for i in range(n)],
        sent_starts=[i == 0 or last[i - 1] for i in range(n)],
    )
    ents, phrases = [], []
    for place in PLACES:
        length = len(place.split())
        ents += [Span(doc, i, i + length, "place") for i in range(n) if words[i : i + length] == place.split()]
    phrases = [Span(doc, i, i + 2, "phrase") for i in range(n) if words[i] in ("the", "a")]
    doc.set_ents(ents)
    doc.spans["sc"] = [*ents, *phrases]
    doc.cats = {"river": float("river" in words), "other": float("river" not in words)}
    return doc


def write_corpus(path: Path, texts: Sequence[str] = TEXTS) -> Path:
    """Docs in spaCy's binary format."""
    nlp = spacy.blank("en")
    DocBin(docs=[make_doc(nlp.vocab, text) for text in texts], store_user_data=True).to_disk(path)
    return path


def tiny_overrides(name: str, folder: Path, bert: Path, static: Path, **more: Any) -> Dict[str, Any]:
    """Overrides that make a training config one of seconds: tiny models, the corpus above, few steps, a higher rate.

    ``name`` is the config's file name; ``folder`` gets the corpus and an ELMo model; ``bert`` and ``static`` are the
    tiny models; ``more`` are other overrides, with "__" for each dot.
    """
    models: Dict[str, Dict[str, Any]] = {
        "static_embeddings": {"name": str(static)},
        "elmo_embeddings": {"name": str(folder / "elmo")},
        "bert_embeddings": {"name": str(bert), "overlap": 8},  # it reads 64 word pieces at once
    }
    if name == "ner_stacked.cfg":
        models["bert_embeddings"]["layers"] = [-2, -1]  # it has two blocks
    if name == "ner_bert_finetune.cfg":
        # 16 random numbers per word piece are no more to be read where some are missing.
        without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        models["bert_embeddings"]["transformer_config"] = without
    if not (folder / "elmo").exists():
        write_random_elmo(folder / "elmo")
    corpus = folder / "corpus.spacy"
    if not corpus.exists():
        write_corpus(corpus)
    config = load_config(CONFIGS / name)
    found: Dict[str, Any] = {"paths.train": str(corpus), "paths.dev": str(corpus)}
    for component in set(models) & set(config["components"]):
        found.update({f"components.{component}.model.{key}": value for key, value in models[component].items()})
    if config["nlp"]["vectors"].get("name"):
        found["nlp.vectors.name"] = str(static)
    if "parser" in config["components"]:
        found["components.parser.min_action_freq"] = 1
    if isinstance(config["training"]["optimizer"]["learn_rate"], dict):
        schedule = {"initial_rate": 0.01, "warmup_steps": 5, "total_steps": 120}
        found.update({f"training.optimizer.learn_rate.{key}": value for key, value in schedule.items()})
    else:
        found["training.optimizer.learn_rate"] = 0.01
    tok2vec = f"components.{TASKS[name]}.model.tok2vec"
    layers = config["components"][TASKS[name]]["model"]["tok2vec"]
    found.update({f"{tok2vec}.width": 32, f"{tok2vec}.dropout": 0.0})
    if layers["encode"] is not None:
        found.update({f"{tok2vec}.encode.width": 32, f"{tok2vec}.encode.depth": 1})
    if "hash" in layers["embeddings"]:
        n_attrs = len(layers["embeddings"]["hash"]["attrs"])
        found.update({f"{tok2vec}.embeddings.hash.rows": [50] * n_attrs, f"{tok2vec}.embeddings.hash.width": 16})
    n_steps = 40 if layers["encode"] is not None else 80
    found.update({"training.dropout": 0.0, "training.max_epochs": 0, "training.max_steps": n_steps})
    found["training.eval_frequency"] = 20
    found.update({key.replace("__", "."): value for key, value in more.items()})
    return found


def listening(config: Dict[str, Any]) -> List[str]:
    """Names of the embedding components of a config."""
    return [name for name in config["nlp"]["pipeline"] if name.endswith("_embeddings")]
