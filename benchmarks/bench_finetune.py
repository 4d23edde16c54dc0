"""Fine-tuning: seconds per training step of a BERT that learns, under spaCy's named-entity parser on WNUT 2017.

- ours: ``Bert.v1`` with ``trainable = true`` in the parser's ``tok2vec`` slot, last layer, windows of 128 pieces;
- spacy-transformers: ``transformer`` and its listener with their defaults (windows of 128 tokens, mean pooling).

The same sentences, batches, dropout and optimizer (Thinc's Adam); the two take turns step by step, and every step gives
one ratio. The parts of a step (forward and backward pass of the network, its optimizer, all else: the parser and what
surrounds it) are measured by the same stop watches in both. ``--profile`` prints where ours spends its time instead.
"""

from __future__ import annotations

import random
import statistics
from typing import Any, Callable, Dict, List, Sequence, cast

import measure
from bench_training_speed import SOURCE, examples_of, model_path, peer_listener
from bench_wnut17 import Sentence, parser_on, read_conll

OURS, PEER = "spacy-ctx-embed", "spacy-transformers"
PARTS = ("forward", "backward", "optimizer")


def main() -> None:
    """Run the benchmark."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=30)
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per step")
    parser.add_argument("--dropout", type=float, default=0.1, help="share dropped by spaCy's layers in training")
    parser.add_argument("--learn-rate", type=float, default=5e-5, help="of Adam")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before, that do not count")
    parser.add_argument("--precision", default="float32", help="of ours")
    parser.add_argument("--max-batch-tokens", type=int, default=2048, help="padded pieces per forward pass of ours")
    parser.add_argument("--seed", type=int, default=0, help="of weights, dropout and order")
    parser.add_argument("--model", default=SOURCE, help="the model's name, as in a config")
    parser.add_argument("--profile", action="store_true", help="no comparison: profile our steps")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    sentences = read_conll(settings.data / "wnut17" / "train.conll")
    random.Random(settings.seed).shuffle(sentences)
    n_steps = settings.warm_up + settings.rounds
    sentences = (sentences * (1 + n_steps * settings.batch_size // len(sentences)))[: n_steps * settings.batch_size]
    ours = Training(_ours, settings, sentences)
    if settings.profile:
        _profile(ours, settings)
        return
    trainings = {OURS: ours}
    notes: List[str] = []
    try:
        import spacy_transformers  # noqa: F401
    except ImportError as error:
        notes.append(f"Skipped spacy-transformers: not installed here ({error}).")
    else:
        trainings[PEER] = Training(_peer, settings, sentences)
    steps = {name: training.step for name, training in trainings.items()}
    seconds = measure.take_turns(steps, settings.rounds, warm_up=settings.warm_up)
    n_words = sum(len(words) for words, _ in sentences[settings.warm_up * settings.batch_size :])
    rows = [_row(name, training, seconds[name], n_words, settings.warm_up) for name, training in trainings.items()]
    findings: Dict[str, Any] = {}
    if PEER in trainings:
        findings["seconds of ours / of spacy-transformers (wanted: at most 1.0)"] = [
            round(measure.ratio(seconds, OURS, PEER), 3),
            _quartiles([a / b for a, b in zip(seconds[OURS], seconds[PEER])]),
        ]
        pairs = list(zip(ours.losses, trainings[PEER].losses))
        findings["largest relative difference of a step's losses"] = round(max(abs(a - b) / b for a, b in pairs), 5)
    every = max(1, n_steps // 8)
    for name, training in trainings.items():
        means = [statistics.mean(training.losses[i : i + every]) for i in range(0, n_steps, every)]
        findings[f"loss of {name}, mean of each {every} steps"] = [round(loss) for loss in means]
    shown = {**vars(settings), "text": "wnut17"}
    measure.report("finetune", rows, settings=shown, before=before, findings=findings, notes=notes)


class Training:
    """One pipeline that is trained step by step, with a stop watch on the parts of a step.

    :param build: adds the components to an empty pipeline and gives the model that learns.
    :param settings: of the command line.
    :param sentences: batch after batch.
    """

    def __init__(
        self, build: Callable[[Any, Any], Callable[[], Any]], settings: Any, sentences: Sequence[Sentence]
    ) -> None:
        import spacy
        from spacy.util import fix_random_seed
        from thinc.api import Adam

        fix_random_seed(settings.seed)
        self.nlp = spacy.blank("en")
        encoder = build(self.nlp, settings)
        examples = examples_of(self.nlp, sentences)
        self.nlp.initialize(lambda: examples)
        self.optimizer = Adam(settings.learn_rate, L2=0.01, grad_clip=1.0, use_averages=False)
        self.batches = [examples[i : i + settings.batch_size] for i in range(0, len(examples), settings.batch_size)]
        self.dropout: float = settings.dropout
        self.losses: List[float] = []
        self.parts: List[Dict[str, float]] = []  # seconds, by part, of each step
        _watch(encoder(), self._add)

    def step(self) -> None:
        """Train on the next batch."""
        self.parts.append(dict.fromkeys(PARTS, 0.0))
        losses: Dict[str, float] = {}
        batch = self.batches[len(self.losses)]
        self.nlp.update(batch, drop=self.dropout, sgd=self.optimizer, losses=losses)
        self.losses.append(float(losses["ner"]))

    def _add(self, part: str, seconds: float) -> None:
        if self.parts:
            self.parts[-1][part] += seconds


def _ours(nlp: Any, settings: Any) -> Callable[[], Any]:
    name = "spacy_ctx_embed.Bert.v1"
    tok2vec = {"@architectures": name, "name": settings.model, "layers": [-1], "layer_mix": "last"}
    tok2vec |= {"trainable": True, "precision": settings.precision, "window": 128, "overlap": 16}
    tok2vec["max_batch_tokens"] = settings.max_batch_tokens
    ner = nlp.add_pipe("ner", config=parser_on(tok2vec))
    return lambda: next(node for node in ner.model.walk() if node.name == name)


def _peer(nlp: Any, settings: Any) -> Callable[[], Any]:
    transformer = nlp.add_pipe("transformer", config={"model": {"name": model_path(settings.model)}})
    nlp.add_pipe("ner", config=parser_on(peer_listener(1.0)))
    return lambda: transformer.model


def _watch(model: Any, add: Callable[[str, float], None]) -> None:
    # Puts stop watches around a model's two passes and around the optimizer's visit to the network in it.
    forward = model._func

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = measure.now()
            result = function(*args, **kwargs)
            add(part, measure.now() - start)
            return result

        return run

    def watched(layer: Any, docs: Any, is_train: bool) -> Any:
        start = measure.now()
        rows, backprop = forward(layer, docs, is_train)
        add("forward", measure.now() - start)
        return rows, timed(backprop, "backward")

    model._func = watched
    for node in model.walk():
        for shim in node.shims:
            shim.finish_update = timed(shim.finish_update, "optimizer")


def _row(name: str, training: Training, seconds: List[float], n_words: int, warm_up: int) -> Dict[str, Any]:
    parts = {f"{part}, ms": _median_ms([step[part] for step in training.parts[warm_up:]]) for part in PARTS}
    rest = [total - sum(step.values()) for total, step in zip(seconds, training.parts[warm_up:])]
    return {
        "contestant": name,
        "step, ms": _median_ms(seconds),
        "quartiles": [round(1000 * value) for value in _quartiles(seconds)],
        **parts,
        "all else, ms": _median_ms(rest),
        "words/s": n_words / sum(seconds),
    }


def _median_ms(seconds: List[float]) -> float:
    return round(1000 * statistics.median(seconds), 1)


def _quartiles(values: List[float]) -> List[float]:
    if len(values) < 2:
        return [round(value, 3) for value in values]
    low, _, high = statistics.quantiles(values, n=4)
    return [round(low, 3), round(high, 3)]


def _profile(training: Training, settings: Any) -> None:
    import cProfile
    import pstats

    from torch.profiler import ProfilerActivity, profile

    half = settings.rounds // 2
    for _ in range(settings.warm_up):
        training.step()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(half):
        training.step()
    profiler.disable()
    for order, n_lines in (("tottime", 25), ("cumulative", 45)):
        pstats.Stats(profiler).sort_stats(order).print_stats(n_lines)
    with profile(activities=[ProfilerActivity.CPU]) as torch_profiler:
        for _ in range(cast(int, settings.rounds) - half):
            training.step()
    print(torch_profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60))


if __name__ == "__main__":
    main()
