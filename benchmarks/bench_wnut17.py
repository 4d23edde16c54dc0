"""Named entities with and without ELMo: spaCy's parser on WNUT 2017, the same budget and seeds for every variant.

- without: spaCy's default encoder, ``spacy.HashEmbedCNN.v2``, from random weights;
- with ELMo: beside the rows of that encoder those of a frozen ``Elmo.v1``, all layers in a scalar mix that is learnt;
- ELMo below: the same two, with ELMo beside the hash embeddings and the CNN over both;
- GloVe below: the same with static vectors, so that what is known of words beforehand does not count as context.

The frozen network runs once per sentence, and its layers stay in memory: an epoch costs what it costs without ELMo, and
what is trained is what training with ``Elmo.v1`` in the ``tok2vec`` slot trains. Scores are those after the last epoch
(no best one is chosen by the texts that are scored), of entities and of the tokens in them.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import measure

WIDTH, DEPTH = 96, 4
HASHES = {"width": WIDTH, "embed_size": 2000, "window_size": 1, "maxout_pieces": 3, "subword_features": True}
WITHOUT, WITH, BELOW, GLOVE = "without", "with ELMo", "ELMo below", "GloVe below"
_CACHE_BYTES = 1 << 30
VARIANTS = {"without": WITHOUT, "with": WITH, "below": BELOW, "glove": GLOVE}

Sentence = Tuple[List[str], List[str]]  # words and their IOB2 labels


def main() -> None:
    """Run the comparison."""
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--model", default="elmo-mini", help="an ELMo model: a folder or an alias")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="what to compare")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of weights, dropout and order")
    parser.add_argument("--epochs", type=int, default=15, help="times that the training text is read")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per step")
    parser.add_argument("--dropout", type=float, default=0.2, help="share dropped in training")
    parser.add_argument("--sentences", type=int, default=0, help="only so many to train and to score on; 0 for all")
    parser.add_argument("--quick", action="store_true", help="300 sentences, 2 epochs, 1 seed: no figures")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--data", type=Path, default=measure.REPOSITORY.parent / "shared" / "data" / "wnut17")
    settings = parser.parse_args()
    if settings.quick:
        settings.sentences, settings.epochs, settings.seeds = 300, 2, settings.seeds[:1]
    measure.prepare(settings.threads)
    before = measure.machine()
    limit = settings.sentences or None
    train, dev = (read_conll(settings.data / f"{part}.conll")[:limit] for part in ("train", "dev"))
    _register()
    found: Dict[str, List[Dict[str, float]]] = {VARIANTS[name]: [] for name in settings.variants}
    for seed in settings.seeds:
        for name, runs in found.items():
            runs.append(_train(name, seed, settings, train, dev))
            print(f"seed {seed}, {name}: {runs[-1]}", flush=True)
    _report(settings, before, train, dev, found)


def read_conll(file: Path) -> List[Sentence]:
    """Read sentences.

    :param file: a word, a tab and an IOB2 label on each line; between sentences a line with neither.
    :return: words and labels of each sentence.
    """
    sentences: List[Sentence] = [([], [])]
    for line in file.read_text(encoding="utf8").split("\n"):
        word, _, label = line.rstrip("\r").partition("\t")
        if word and label:
            sentences[-1][0].append(word)
            sentences[-1][1].append(label)
        elif sentences[-1][0]:
            sentences.append(([], []))
    return [sentence for sentence in sentences if sentence[0]]


def _encoder(model: str) -> Any:
    from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1

    return make_elmo_v1(name=model, layers="all", layer_mix="scalar_mix")


def parser_on(tok2vec: Dict[str, Any]) -> Dict[str, Any]:
    """Give the config of spaCy's named-entity parser.

    :param tok2vec: the config of the layer that gives it its rows.
    :return: the config of the component.
    """
    return {
        "model": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 64,
            "maxout_pieces": 2,
            "use_upper": True,
            "tok2vec": tok2vec,
        }
    }


def _register() -> None:
    from spacy import registry
    from spacy.ml.models.tok2vec import MaxoutWindowEncoder
    from thinc.api import Maxout, Model, chain, concatenate, with_array

    from spacy_ctx_embed.cache.layer_cache import LayerCache

    layers = LayerCache(_CACHE_BYTES)  # of all trainings

    def elmo(name: str) -> Model:
        encoder = _encoder(name)
        encoder.shims[0].use_cache(layers)
        return encoder

    def side_by_side(first: Model, second: Model) -> Model:
        return concatenate(first, second)

    def below(embed: Model, second: Model) -> Model:
        # As spacy.HashEmbedCNN.v2, but for the layer that brings both to the width of the CNN.
        narrow = with_array(Maxout(WIDTH, nP=3, dropout=0.0, normalize=True))
        cnn = MaxoutWindowEncoder(width=WIDTH, window_size=1, maxout_pieces=3, depth=DEPTH)
        return chain(concatenate(embed, second), narrow, cnn)

    for name, builder in (("Elmo", elmo), ("SideBySide", side_by_side), ("Below", below)):
        registry.architectures(f"benchmarks.{name}.v1", func=builder)


def _tok2vec(variant: str, model: str) -> Dict[str, Any]:
    hashes = {"@architectures": "spacy.HashEmbedCNN.v2", **HASHES, "depth": DEPTH, "pretrained_vectors": None}
    elmo = {"@architectures": "benchmarks.Elmo.v1", "name": model}
    glove = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": "glove-6b-50d"}
    embed = {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": WIDTH,
        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        "rows": [2000, 1000, 1000, 1000],
        "include_static_vectors": False,
    }
    return {
        WITHOUT: hashes,
        WITH: {"@architectures": "benchmarks.SideBySide.v1", "first": hashes, "second": elmo},
        BELOW: {"@architectures": "benchmarks.Below.v1", "embed": embed, "second": elmo},
        GLOVE: {"@architectures": "benchmarks.Below.v1", "embed": embed, "second": glove},
    }[variant]


def _train(variant: str, seed: int, settings: Any, train: List[Sentence], dev: List[Sentence]) -> Dict[str, float]:
    import spacy
    from spacy.util import fix_random_seed, minibatch

    fix_random_seed(seed)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config=parser_on(_tok2vec(variant, settings.model)))
    examples = _examples(nlp, train)
    optimizer = nlp.initialize(lambda: examples)
    order = random.Random(seed)
    start = measure.now()
    for _ in range(settings.epochs):
        order.shuffle(examples)
        for batch in minibatch(examples, settings.batch_size):
            nlp.update(batch, drop=settings.dropout, sgd=optimizer)
    seconds = measure.now() - start
    return {**_score(nlp, _examples(nlp, dev)), "seconds": round(seconds, 1)}


def _examples(nlp: Any, sentences: Sequence[Sentence]) -> List[Any]:
    from spacy.tokens import Doc
    from spacy.training import Example

    pairs = [(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=ents)) for words, ents in sentences]
    return [Example(predicted, reference) for predicted, reference in pairs]


def _score(nlp: Any, examples: List[Any]) -> Dict[str, float]:
    for example, doc in zip(examples, nlp.pipe([example.predicted for example in examples], batch_size=128)):
        example.predicted = doc
    found = nlp.get_pipe("ner").score(examples)
    n_right = n_said = n_there = 0
    for example in examples:
        for said, there in zip(example.predicted, example.reference):
            n_right += bool(said.ent_type_) and said.ent_type == there.ent_type
            n_said += bool(said.ent_type_)
            n_there += bool(there.ent_type_)
    scores = {"F": found["ents_f"], "precision": found["ents_p"], "recall": found["ents_r"]}
    scores["token F"] = 2 * n_right / max(n_said + n_there, 1)
    return {name: round(100 * (value or 0.0), 2) for name, value in scores.items()}


def _report(
    settings: argparse.Namespace,
    before: Any,
    train: List[Sentence],
    dev: List[Sentence],
    found: Dict[str, List[Dict[str, float]]],
) -> None:
    rows: List[Dict[str, Any]] = []
    for name, runs in found.items():
        means = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        row = {"variant": name, **{f"F, seed {seed}": f"{run['F']:.2f}" for seed, run in zip(settings.seeds, runs)}}
        row |= {f"mean {key}": f"{means[key]:.2f}" for key in ("F", "precision", "recall", "token F")}
        rows.append({**row, "seconds": statistics.median(run["seconds"] for run in runs)})
    findings: Dict[str, Any] = {"model": Path(settings.model).name, "seeds": settings.seeds}
    findings["sentences to train on, to score on"] = [len(train), len(dev)]
    for name in found:
        if name != WITHOUT and WITHOUT in found:
            gains = [run["F"] - plain["F"] for run, plain in zip(found[name], found[WITHOUT])]
            findings[f"{name}: points of F more than without, mean and by seed"] = [
                round(statistics.mean(gains), 2),
                [round(gain, 2) for gain in gains],
            ]
    shown = {**vars(settings), "model": Path(settings.model).name}
    measure.report("wnut17", rows, settings=shown, before=before, findings=findings)


if __name__ == "__main__":
    main()
