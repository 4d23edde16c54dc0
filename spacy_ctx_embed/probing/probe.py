"""``embed probe`` from Python: a training config and two corpora -> a score for each choice of layers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from spacy.util import load_config

from spacy_ctx_embed.cache.layer_cache import LayerCache
from spacy_ctx_embed.checks import check_positive
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.probing import results
from spacy_ctx_embed.probing.plan import OWNER, Plan, make_plan
from spacy_ctx_embed.probing.report import Row, make_rows
from spacy_ctx_embed.probing.runs import Run, fill, run_variant

CACHE_MB = 4000


@dataclass(frozen=True)
class Probed:
    """What probing gave.

    :param plan: what was probed.
    :param runs: one per variant and seed, those of earlier calls with the same file included.
    :param rows: the table of them.
    :param n_again: texts whose layers had to be computed again in a training, as the cache was full.
    """

    plan: Plan
    runs: List[Run]
    rows: List[Row]
    n_again: int


class Reporter:
    """Is told how it goes; by default nothing is done with it."""

    def planned(self, plan: Plan, n_done: int, n_runs: int) -> None:
        """Before the first run.

        :param plan: what is probed.
        :param n_done: runs that the file of results has already.
        :param n_runs: runs in all.
        """

    def filled(self, n_texts: int, seconds: float) -> None:
        """After the network ran over the data.

        :param n_texts: texts that it ran over.
        :param seconds: how long it took.
        """

    def ran(self, run: Run) -> None:
        """After each run.

        :param run: its result.
        """


def probe(
    config: Union[str, Path],
    train: Union[str, Path],
    dev: Union[str, Path],
    *,
    component: Optional[str] = None,
    embeddings: Optional[str] = None,
    score: Optional[str] = None,
    seeds: Sequence[int] = (0, 1, 2),
    max_steps: Optional[int] = None,
    cache_mb: Optional[int] = None,
    cache_dir: Optional[Union[str, Path]] = None,
    output: Optional[Union[str, Path]] = None,
    use_gpu: int = -1,
    overrides: Optional[Dict[str, Any]] = None,
    reporter: Optional[Reporter] = None,
) -> Probed:
    """Train a task component on each layer of a frozen encoder alone, on their mean, and on a mix that is learnt.

    :param config: training config with an embedding component and a component that listens to it.
    :param train: ``.spacy`` file or folder, which becomes ``paths.train``.
    :param dev: ``.spacy`` file or folder, which becomes ``paths.dev``.
    :param component: the component whose score counts; ``None`` for the first that listens. All others of the config
        are trained too.
    :param embeddings: the embedding component; ``None`` for the first with several layers that is listened to.
    :param score: key of the score; ``None`` for that with the highest weight in the config.
    :param seeds: one training per variant and seed.
    :param max_steps: steps of each training; ``None`` for those of the config. There is no early stopping.
    :param cache_mb: memory for layers, in MB; ``None`` for what the config says, at least 4000.
    :param cache_dir: folder for layers, besides; ``None`` for that of the config.
    :param output: JSON file, written after each run; results that it has already are not computed again.
    :param use_gpu: GPU, or -1 for the CPU.
    :param overrides: settings of the config by dotted name.
    :param reporter: is told how it goes.
    :return: the results.
    :raises ValueError: if there is nothing to probe, a corpus is empty, or the score is unknown.
    :raises OSError: if a file can't be read or written, or the results in it are of other settings.
    """
    reporter = reporter or Reporter()
    seeds = list(dict.fromkeys(seeds))
    if not seeds:
        accepted = "at least one whole number"
        raise ValueError(Errors.E001.format(owner=OWNER, key="seeds", value=seeds, accepted=accepted))
    paths = {"train": str(train), "dev": str(dev)}
    changes = {**(overrides or {}), "paths.train": paths["train"], "paths.dev": paths["dev"]}
    loaded = load_config(config, overrides=changes, interpolate=False)
    plan = make_plan(loaded, component=component, embeddings=embeddings, score=score, max_steps=max_steps)
    file = None if output is None else Path(output)
    settings = results.describe(plan, paths)
    runs = results.read(file, settings)
    done = {(run.variant, run.seed) for run in runs}
    todo = [(variant, seed) for seed in seeds for variant in plan.variants if (variant.name, seed) not in done]
    reporter.planned(plan, len(done), len(done) + len(todo))
    n_again = 0
    if todo:
        cache = _make_cache(plan, cache_mb, cache_dir)
        start = time.perf_counter()
        n_texts = fill(plan, list(dict.fromkeys(seed for _, seed in todo)), cache, use_gpu=use_gpu)
        reporter.filled(n_texts, time.perf_counter() - start)
        n_missed = cache.misses
        for variant, seed in todo:
            run = run_variant(plan, variant, seed, cache, use_gpu=use_gpu)
            runs.append(run)
            results.write(file, settings, runs, [])
            reporter.ran(run)
        n_again = cache.misses - n_missed
    rows = make_rows(runs, plan.variants)
    results.write(file, settings, runs, rows)
    return Probed(plan, runs, rows, n_again)


def _make_cache(plan: Plan, cache_mb: Optional[int], cache_dir: Optional[Union[str, Path]]) -> LayerCache:
    check_positive(OWNER, "cache_mb", cache_mb, minimum=0, optional=True)
    size = max(CACHE_MB, plan.section["cache_mb"]) if cache_mb is None else cache_mb
    return LayerCache(size * 1_000_000, cache_dir or plan.section["cache_dir"])
