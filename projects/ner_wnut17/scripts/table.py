"""Results of all runs -> results.md and results.json."""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import typer
from wasabi import msg

_SCORES = {"f": "ents_f", "precision": "ents_p", "recall": "ents_r"}
_CLOCKS = {"wall": "", "cpu": "cpu_"}  # parts of the keys
Result = Dict[str, Any]


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Write the table.

    :param arguments: of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--training", type=Path, default=Path("training"), help="folder of the runs")
    parser.add_argument("--variants", nargs="+", default=["*"], help="only these; all that there are by default")
    parser.add_argument("--seeds", nargs="+", default=["*"], help="only these; all that there are by default")
    parser.add_argument("--baseline", default="hash", help="the variant that others are compared to")
    parser.add_argument("--clock", choices=list(_CLOCKS), default="wall", help="cpu: for runs on a busy machine")
    parser.add_argument("--output", type=Path, default=Path("results"), help="files to write, without .md and .json")
    settings = parser.parse_args(arguments)
    try:
        results = read_results(settings.training, settings.variants, settings.seeds)
    except ValueError as error:
        msg.fail("Can't make a table", error, exits=1)
    rows = make_rows(results, settings.baseline, settings.clock)
    text = format_table(rows, results, settings.baseline, settings.clock)
    settings.output.with_suffix(".json").write_text(json.dumps(rows, indent=1), encoding="utf8")
    settings.output.with_suffix(".md").write_text(text, encoding="utf8")
    typer.echo(text)  # not by msg, which would wrap its lines
    msg.good(f"Wrote {settings.output}.md and {settings.output}.json")


def read_results(training: Path, variants: Sequence[str] = ("*",), seeds: Sequence[str] = ("*",)) -> List[Result]:
    """Read what ``train.py`` wrote.

    :param training: folder of the runs.
    :param variants: their names, or "*" for all.
    :param seeds: their seeds, or "*" for all.
    :return: the results, by variant and seed.
    :raises ValueError: if some are missing, or they are of different epochs or data.
    """
    files: List[Path] = []
    for name in [f"{variant}-{seed}" for variant in variants for seed in seeds]:
        found = sorted(training.glob(f"{name}/result.json"))
        if not found:
            raise ValueError(f"No result of {name} in {training}. Accepted: a result.json. Fix: run `train` first.")
        files += found
    results = [json.loads(file.read_text(encoding="utf8")) for file in files]
    for file, result in zip(files, results):
        other = [key for key in ("epochs", "train", "dev") if result["settings"][key] != results[0]["settings"][key]]
        if other:
            raise ValueError(
                f"{files[0].parent} and {file.parent} differ in: {', '.join(other)}. Accepted: runs of the same epochs "
                "and data. Fix: remove one of the folders, or train all variants again."
            )
    return sorted(results, key=lambda result: (result["variant"], result["seed"]))


def make_rows(results: Sequence[Result], baseline: str, clock: str = "wall") -> List[Dict[str, Any]]:
    """Sum up.

    :param results: the results.
    :param baseline: the variant that others are compared to.
    :param clock: "wall", or "cpu" for the processor time of all threads.
    :return: a row per variant, by falling F1; scores from 0 to 100, standard deviations of one run ``None``.
    """
    variants: Dict[str, Dict[int, Result]] = {}
    for result in results:
        variants.setdefault(result["variant"], {})[result["seed"]] = result
    rows = [_row(name, runs, variants.get(baseline, {}), _CLOCKS[clock]) for name, runs in variants.items()]
    return sorted(rows, key=lambda row: -row["f"])


def _row(variant: str, runs: Dict[int, Result], baseline: Dict[int, Result], clock: str) -> Dict[str, Any]:
    row: Dict[str, Any] = {"variant": variant, "seeds": sorted(runs)}
    for name, key in _SCORES.items():
        scores = [100 * run["last"][key] for run in runs.values()]
        row[name] = statistics.mean(scores)
        row[f"{name}_sd"] = statistics.stdev(scores) if len(scores) > 1 else None
    row["best_f"] = statistics.mean(100 * run["best"]["ents_f"] for run in runs.values())
    shared = [seed for seed in sorted(runs) if seed in baseline and runs[seed] is not baseline[seed]]
    gains = [100 * (runs[seed]["last"]["ents_f"] - baseline[seed]["last"]["ents_f"]) for seed in shared]
    row["gains"] = gains
    row["gain"] = statistics.mean(gains) if gains else None
    row["p"] = _p_value([runs[seed] for seed in shared], [baseline[seed] for seed in shared])
    row["seconds"] = statistics.mean(run[f"{clock}seconds"] for run in runs.values())
    firsts = [runs[seed][f"epoch_{clock}seconds"][0] for seed in sorted(runs)]
    later = [seconds for run in runs.values() for seconds in run[f"epoch_{clock}seconds"][1:]]
    row["first_epoch_first_seed"] = firsts[0]
    row["first_epoch_other_seeds"] = statistics.median(firsts[1:]) if firsts[1:] else None
    row["later_epoch"] = statistics.median(later) if later else None
    peaks = [run["peak_mb"] for run in runs.values() if run["peak_mb"] is not None]
    row["peak_mb"] = max(peaks) if peaks else None
    row["size_mb"] = statistics.mean(run["size_mb"] for run in runs.values())
    return row


def _p_value(runs: Sequence[Result], baseline: Sequence[Result]) -> Optional[float]:
    if not runs or any(run["counts"] is None for run in (*runs, *baseline)):
        return None
    import numpy as np

    from spacy_ctx_embed.probing.significance import randomisation_test

    pooled = [np.array([run["counts"] for run in part]).sum(axis=0) for part in (runs, baseline)]  # (n_docs, 3)
    return randomisation_test(*(counts[:, None] for counts in pooled))  # (n_docs, 1, 3)


def format_table(rows: Sequence[Mapping[str, Any]], results: Sequence[Result], baseline: str, clock: str) -> str:
    """Write Markdown.

    :param rows: the rows.
    :param results: the results that they are of.
    :param baseline: the variant that others are compared to.
    :param clock: as for :func:`make_rows`.
    :return: the table, and what it means.
    """
    columns = {
        "variant": [f"`ner_{row['variant']}`" for row in rows],
        "F1": [_score(row, "f") for row in rows],
        "precision": [_score(row, "precision") for row in rows],
        "recall": [_score(row, "recall") for row in rows],
        f"F1 − `ner_{baseline}`": [_number(row["gain"], "+.2f") for row in rows],
        "p": [_number(row["p"], ".4f") for row in rows],
        "training, s": [_number(row["seconds"], ".0f") for row in rows],
        "epoch 1, first seed, s": [_number(row["first_epoch_first_seed"], ".1f") for row in rows],
        "epoch 1, other seeds, s": [_number(row["first_epoch_other_seeds"], ".1f") for row in rows],
        "later epochs, s": [_number(row["later_epoch"], ".1f") for row in rows],
        "peak memory, MB": [_number(row["peak_mb"], ".0f") for row in rows],
        "on disk, MB": [_number(row["size_mb"], ".1f") for row in rows],
    }
    lines = [list(columns), ["---", *["---:"] * (len(columns) - 1)], *map(list, zip(*columns.values()))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    first = results[0]
    several = sorted({(result["jobs"], result["threads"]) for result in results})
    ways = " or ".join(f"{jobs} run(s) at a time with {threads} thread(s) each" for jobs, threads in several)
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    epochs = first["settings"]["epochs"]
    notes = (
        f"Scores are those after the last batch (of {epochs} epochs, or of the config's max_steps before) on the "
        "development data, times 100: mean ± standard deviation over seeds. p: approximate randomisation over "
        "sentences, two-sided, the counts of all seeds pooled, not corrected for several comparisons; the chance in "
        "training itself is what the standard deviation shows.",
        f"Times are by the {clock} clock. Training is the whole of `spacy train`. Epochs have the evaluations that "
        "fall into them in their times, the first always one. With its first seed a frozen encoder reads all texts in "
        "epoch 1, except what another variant has put into the cache before; with other seeds its layers come from "
        "the cache folder. Later epochs are a median. The memory is the largest of the seeds, with the cached layers "
        f"in it: those kept in memory, and the pages of the cache folder that were read. CPU: {ways}.",
        versions,
    )
    return "\n\n".join([table, *notes]) + "\n"


def _score(row: Mapping[str, Any], name: str) -> str:
    spread = "" if row[f"{name}_sd"] is None else f" ± {row[f'{name}_sd']:.2f}"
    return f"{row[name]:.2f}{spread}"


def _number(value: Optional[float], form: str) -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
