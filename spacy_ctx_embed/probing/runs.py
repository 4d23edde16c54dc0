"""One training: a variant and a seed -> a score on the evaluation data, all by the training config.

The layers come from a cache that all trainings share; :func:`fill` puts them there, so that the network runs over the
data once. Steps, their order and all first weights of the task component depend on the seed alone.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, cast

import numpy as np
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.scorer import Scorer
from spacy.training import Example
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import get_sourced_components, load_model_from_config, registry, resolve_dot_names
from thinc.api import fix_random_seed, set_gpu_allocator

from spacy_ctx_embed.cache.layer_cache import LayerCache
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.pipeline.component import EmbeddingComponent
from spacy_ctx_embed.pipeline.saving import encoder_shims
from spacy_ctx_embed.probing.counts import count
from spacy_ctx_embed.probing.plan import OWNER, Plan
from spacy_ctx_embed.probing.variants import LEARNED, Variant, vary

_STREAMED = 100  # examples to initialise from where a corpus is streamed, as in spaCy
Corpus = Callable[[Language], Iterable[Example]]


@dataclass(frozen=True)
class Run:
    """What one training gave.

    :param variant: name of the variant.
    :param seed: seed of everything random.
    :param score: on the evaluation data, after the last step.
    :param n_steps: steps done.
    :param seconds: of training and scoring.
    :param mix: for the learned mix, share of each layer.
    :param gamma: for the learned mix, its scale.
    :param counts: ``(n_docs, n_classes, 3)`` as :func:`~spacy_ctx_embed.probing.counts.count` gives them, or ``None``.
    """

    variant: str
    seed: int
    score: float
    n_steps: int
    seconds: float
    mix: Optional[List[float]] = None
    gamma: Optional[float] = None
    counts: Optional[np.ndarray] = field(default=None, repr=False, compare=False)


class _KeepExamples(Scorer):
    # spaCy's evaluation works on copies of the examples, which only its scorer sees.
    examples: List[Example]

    def score(self, examples: Iterable[Example], *, per_component: bool = False) -> Dict[str, Any]:
        self.examples = list(examples)
        return super().score(self.examples, per_component=per_component)


class _Trainer:
    # A pipeline with what its section [training] says. As spaCy's init_nlp, but the encoder has its cache before
    # anything is computed.
    def __init__(self, plan: Plan, variant: Variant, seed: int, cache: LayerCache, use_gpu: int) -> None:
        config = vary(plan.config, plan.embeddings, plan.section, variant, seed)
        fix_random_seed(seed)
        self.nlp = load_model_from_config(config, auto_fill=True)
        upstream = self.nlp.get_pipe(plan.embeddings)
        assert isinstance(upstream, EmbeddingComponent)
        self.upstream = upstream
        for shim in encoder_shims(upstream.model):
            shim.use_cache(cache)
        filled = self.nlp.config.interpolate()
        self.training: Dict[str, Any] = registry.resolve(filled["training"], schema=ConfigSchemaTraining)
        allocator = self.training["gpu_allocator"]
        if use_gpu >= 0 and allocator:
            set_gpu_allocator(allocator)
        names = [self.training["train_corpus"], self.training["dev_corpus"]]
        self.train_corpus, self.dev_corpus = cast(Tuple[Corpus, Corpus], resolve_dot_names(filled, names))
        self._paths = dict(filled["paths"])
        self._sourced = get_sourced_components(config)

    def check_corpora(self) -> None:
        state = random.getstate()  # which a corpus may use
        for corpus, key, what in ((self.train_corpus, "train", "train on"), (self.dev_corpus, "dev", "evaluate on")):
            if next(iter(corpus(self.nlp)), None) is None:
                raise ValueError(Errors.E082.format(owner=OWNER, path=self._paths[key], what=what))
        random.setstate(state)

    def initialize(self) -> None:
        nlp, optimizer, frozen = self.nlp, self.training["optimizer"], self.training["frozen_components"]
        resumed = [name for name in self._sourced if name not in frozen]
        if resumed:
            with nlp.select_pipes(enable=resumed):
                nlp.resume_training(sgd=optimizer)
        nlp._link_components()  # names of sourced components
        n_samples = _STREAMED if self.training["max_epochs"] == -1 else None
        with nlp.select_pipes(disable=[*frozen, *resumed]):
            nlp.initialize(lambda: islice(self.train_corpus(nlp), n_samples), sgd=optimizer)

    def batches(self) -> Iterator[Tuple[int, List[Example]]]:
        training = self.training
        return create_train_batches(self.nlp, self.train_corpus, training["batcher"], training["max_epochs"])

    def train(self, max_steps: int) -> int:
        training = self.training
        steps = train_while_improving(
            self.nlp,
            training["optimizer"],
            self.batches(),
            _no_evaluation,
            dropout=training["dropout"],
            eval_frequency=sys.maxsize,  # what is scored is the last step
            accumulate_gradient=training["accumulate_gradient"],
            patience=0,
            max_steps=0,
            exclude=training["frozen_components"],
            annotating_components=training["annotating_components"],
            before_update=training["before_update"],
        )
        return sum(1 for _ in islice(steps, max_steps or None))

    def evaluate(self, component: str) -> Tuple[Dict[str, Any], List[Example]]:
        scorer = _KeepExamples(self.nlp)
        with self.nlp.use_params(self.training["optimizer"].averages):
            scores = self.nlp.evaluate(self.dev_corpus(self.nlp), scorer=scorer, per_component=True)
        return scores.get(component) or {}, scorer.examples


def run_variant(plan: Plan, variant: Variant, seed: int, cache: LayerCache, *, use_gpu: int = -1) -> Run:
    """Train and score one variant.

    :param plan: what is probed.
    :param variant: the variant.
    :param seed: the seed.
    :param cache: layers, of this and other variants.
    :param use_gpu: GPU, or -1 for the CPU.
    :return: the result.
    :raises ValueError: if the score has no value.
    """
    start = time.perf_counter()
    trainer = _Trainer(plan, variant, seed, cache, use_gpu)
    trainer.initialize()
    fix_random_seed(seed)
    n_steps = trainer.train(plan.max_steps)
    scores, examples = trainer.evaluate(plan.component)
    value = float(_check_score(plan, scores))
    mix, gamma = _learned(trainer) if variant.name == LEARNED else (None, None)
    counts = count(plan.score, trainer.nlp.get_pipe(plan.component), examples, value)
    return Run(variant.name, seed, value, n_steps, time.perf_counter() - start, mix, gamma, counts)


def fill(plan: Plan, seeds: Sequence[int], cache: LayerCache, *, use_gpu: int = -1) -> int:
    """Run the network over all texts that the trainings will meet, once, and keep all of its layers.

    :param plan: what is probed.
    :param seeds: seeds of the trainings to come, which decide on the texts where there are more than steps.
    :param cache: where the layers go.
    :param use_gpu: GPU, or -1 for the CPU.
    :return: how many texts the network ran over; those that a folder had already are not among them.
    :raises ValueError: if a corpus is empty, or the score has no value.
    """
    n_known = cache.misses
    trainer = _Trainer(plan, plan.variants[-1], seeds[0], cache, use_gpu)
    trainer.check_corpora()
    trainer.initialize()
    for seed in seeds:
        fix_random_seed(seed)
        for _, batch in islice(_first_epoch(trainer.batches()), plan.max_steps or None):
            docs = [example.predicted for example in batch]
            for name in _annotating_before(trainer):
                docs = list(cast(Any, trainer.nlp.get_pipe(name)).pipe(docs))
            trainer.upstream.predict(docs)
    scores, _ = trainer.evaluate(plan.component)
    _check_score(plan, scores)
    return cache.misses - n_known


def _first_epoch(batches: Iterable[Tuple[int, List[Example]]]) -> Iterator[Tuple[int, List[Example]]]:
    for epoch, batch in batches:
        if epoch > 0:
            return
        yield epoch, batch


def _annotating_before(trainer: _Trainer) -> List[str]:
    names = trainer.nlp.pipe_names
    before = names[: names.index(trainer.upstream.name)]
    return [name for name in before if name in trainer.training["annotating_components"]]


def _check_score(plan: Plan, scores: Dict[str, Any]) -> float:
    value = scores.get(plan.score)
    if isinstance(value, (int, float)):
        return value
    able = [key for key, other in scores.items() if isinstance(other, (int, float))]
    accepted = ", ".join(map(repr, able)) or "none, as the data has no annotation for it"
    raise ValueError(Errors.E083.format(owner=OWNER, component=plan.component, score=plan.score, accepted=accepted))


def _learned(trainer: _Trainer) -> Tuple[List[float], float]:
    # As it was when it was scored: averages where the optimizer keeps some.
    model = trainer.upstream.model
    with model.use_params(trainer.training["optimizer"].averages or {}):
        weights, gamma = (model.ops.to_numpy(model.get_param(key)) for key in ("mix_weights", "mix_gamma"))
    shares = np.exp(weights - weights.max())
    return [float(share) for share in shares / shares.sum()], float(gamma[0])


def _no_evaluation() -> Tuple[float, Dict[str, Any]]:
    return 0.0, {}
