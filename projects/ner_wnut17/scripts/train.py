"""Train each variant with each seed by ``spacy train``, and write what came of it; go on where it was interrupted.

Each run has a folder VARIANT-SEED, and is complete when that has a result.json of the same settings. All runs share
the cached layers of the frozen encoders.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from confection import Config
from wasabi import msg

SCRIPTS = Path(__file__).resolve().parent
RESULT = "result.json"
_LIBRARIES = ("OMP", "MKL", "OPENBLAS", "BLIS", "RAYON")


@dataclass(frozen=True)
class Run:
    """One training.

    :param variant: which config.
    :param seed: of weights, dropout and order.
    :param folder: where everything of it goes.
    :param config: the config.
    :param overrides: what is changed in it, measuring and places aside.
    :param corpus: the folder with train.spacy and dev.spacy.
    :param cache: the folder for layers.
    """

    variant: str
    seed: int
    folder: Path
    config: Path
    overrides: Dict[str, int]
    corpus: Path
    cache: Path

    @property
    def settings(self) -> Dict[str, Any]:
        """What a result depends on."""
        return {
            "epochs": self.overrides["training.max_epochs"],
            "config": _digest(Config().from_disk(self.config, interpolate=False).to_str(interpolate=False).encode()),
            **{part: _digest((self.corpus / f"{part}.spacy").read_bytes()) for part in ("train", "dev")},
        }


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Train what is not there yet.

    :param arguments: of the command line.
    """
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    variants = ["hash", "static", "elmo", "bert", "stacked"]
    parser.add_argument("--variants", nargs="+", default=variants, help="VARIANT of ner_VARIANT.cfg")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of weights, dropout and order")
    parser.add_argument(
        "--epochs",
        type=int,
        default=15,
        help="of training at most; max_steps of the config also ends it",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of all runs together")
    parser.add_argument("--configs", type=Path, default=Path("../../configs"), help="folder of the configs")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of train.spacy and dev.spacy")
    parser.add_argument("--output", type=Path, default=Path("training"), help="folder for the runs")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder for the layers of frozen encoders")
    settings = parser.parse_args(arguments)
    runs = [
        Run(
            variant,
            seed,
            settings.output / f"{variant}-{seed}",
            settings.configs / f"ner_{variant}.cfg",
            {"system.seed": seed, "training.seed": seed, "training.max_epochs": settings.epochs},
            settings.corpus,
            settings.cache,
        )
        for seed in settings.seeds  # a seed of all variants first: stopped early, they can be compared
        for variant in settings.variants
    ]
    try:
        open_runs = [run for run in runs if not is_complete(run)]
        msg.info(f"{len(runs) - len(open_runs)} of {len(runs)} runs are complete")
        train_all(open_runs, settings.jobs, max(1, settings.threads // settings.jobs))
    except (OSError, RuntimeError) as error:
        msg.fail("Training did not come to its end", error, exits=1)


def is_complete(run: Run) -> bool:
    """Look for a result.

    :param run: a run.
    :return: whether it has a result, and that of the same settings.
    :raises OSError: if the config or the corpus can't be read.
    """
    settings = run.settings
    try:
        found = json.loads((run.folder / RESULT).read_text(encoding="utf8"))["settings"]
    except FileNotFoundError:
        return False
    if found != settings:
        other = ", ".join(key for key in settings if found.get(key) != settings[key])
        msg.warn(f"{run.folder} has a result of other settings ({other}): trained again")
    return bool(found == settings)


def train_all(runs: Sequence[Run], jobs: int, threads: int) -> None:
    """Train several.

    :param runs: the runs.
    :param jobs: how many at the same time.
    :param threads: CPU threads of each.
    :raises RuntimeError: if one fails. No other is begun then, and those that are under way are finished.
    """
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(train_one, run, jobs, threads) for run in runs]
        try:
            for n_done, future in enumerate(as_completed(futures), 1):
                result = future.result()
                what = f"{result['variant']}, seed {result['seed']}: F1 {100 * result['last']['ents_f']:.2f}"
                msg.good(f"{what}, {result['seconds']:.0f} seconds ({n_done} of {len(runs)})")
                sys.stdout.flush()  # it takes hours, and may go to a file
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def train_one(run: Run, jobs: int, threads: int) -> Dict[str, Any]:
    """Train and score one, and write its result.

    :param run: the run.
    :param jobs: how many run at the same time, to be noted.
    :param threads: CPU threads.
    :return: the result.
    :raises RuntimeError: if a command fails.
    """
    folder = run.folder
    folder.mkdir(parents=True, exist_ok=True)
    epochs, scores, log = folder / "epochs.jsonl", folder / "scores.json", folder / "log.txt"
    for file in (folder / RESULT, epochs, scores, log):
        file.unlink(missing_ok=True)
    settings = run.settings
    start = time.perf_counter()
    run_command(training_command(run, epochs), log, threads)
    seconds = time.perf_counter() - start
    dev = run.corpus / "dev.spacy"
    score = [sys.executable, str(SCRIPTS / "score.py"), str(folder / "model-last"), str(dev), "--output", str(scores)]
    run_command(score, log, threads)  # meta.json of model-last has the scores of the last evaluation, not of its end
    lines = [json.loads(line) for line in epochs.read_text(encoding="utf8").splitlines()]
    epochs_done = [line for line in lines if line["whole"]] or lines
    last = json.loads(scores.read_text(encoding="utf8"))
    counts = last.pop("counts")
    best = json.loads((folder / "model-best" / "meta.json").read_text(encoding="utf8"))["performance"]
    files = (path for path in (folder / "model-last").rglob("*") if path.is_file())
    result = {
        "variant": run.variant,
        "seed": run.seed,
        "last": last,
        "best": {key: best[key] for key in last},
        "seconds": round(seconds, 3),
        "cpu_seconds": lines[-1]["cpu_seconds_in_all"],
        "epoch_seconds": [line["seconds"] for line in epochs_done],
        "epoch_cpu_seconds": [line["cpu_seconds"] for line in epochs_done],
        "peak_mb": lines[-1]["peak_mb"],
        "size_mb": round(sum(path.stat().st_size for path in files) / 1e6, 3),
        "settings": settings,
        "jobs": jobs,
        "threads": threads,
        "versions": {name: importlib.metadata.version(name) for name in ("spacy", "spacy-ctx-embed", "torch")},
        "counts": counts,
    }
    beside = folder / f"{RESULT}.tmp"
    beside.write_text(json.dumps(result), encoding="utf8")
    beside.replace(folder / RESULT)
    return result


def training_command(run: Run, epochs: Path) -> List[str]:
    """Put a command together.

    :param run: the run.
    :param epochs: file for what the epochs took.
    :return: ``spacy train`` and its arguments.
    """
    overrides: Dict[str, Any] = {
        "paths.train": run.corpus / "train.spacy",
        "paths.dev": run.corpus / "dev.spacy",
        **run.overrides,
        "training.batcher.@batchers": "ner_wnut17.TimedBatches.v1",
        "training.batcher.log": epochs,
    }
    config = Config().from_disk(run.config, interpolate=False)
    for name in config["nlp"]["pipeline"]:
        if config["components"][name].get("cache_mb"):  # 0 where there is nothing to cache
            overrides[f"components.{name}.cache_dir"] = run.cache
    command = [sys.executable, "-m", "spacy", "train", str(run.config), "--output", str(run.folder)]
    command += ["--code", str(SCRIPTS / "timed_batches.py")]
    for key, value in overrides.items():
        command += [f"--{key}", str(value)]
    return command


def run_command(command: Sequence[str], log: Path, threads: int) -> None:
    """Run a command.

    :param command: its words.
    :param log: file to which its output is appended.
    :param threads: CPU threads.
    :raises RuntimeError: if it fails.
    """
    environment = {**os.environ, **{f"{library}_NUM_THREADS": str(threads) for library in _LIBRARIES}}
    with log.open("a", encoding="utf8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode:
        end = "\n".join(log.read_text(encoding="utf8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{' '.join(command)}\nended with {done.returncode}. The end of {log}:\n{end}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    main()
