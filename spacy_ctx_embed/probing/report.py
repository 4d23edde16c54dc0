"""Runs -> a table: mean and spread over seeds, and the difference to the best single layer with its p-value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

import numpy as np

from spacy_ctx_embed.probing.runs import Run
from spacy_ctx_embed.probing.significance import randomisation_test
from spacy_ctx_embed.probing.variants import LEARNED, Variant

LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One variant.

    :param variant: its name.
    :param n_seeds: runs.
    :param mean: of the scores, 0 to 1.
    :param sd: their standard deviation; ``None`` for one run.
    :param difference: of the mean to that of the best single layer; ``None`` without one, or for that layer itself.
    :param p: p-value of the difference over documents, the counts of all seeds that both have pooled; ``None`` where
        the score is not made from counts.
    """

    variant: str
    n_seeds: int
    mean: float
    sd: Optional[float]
    difference: Optional[float]
    p: Optional[float]


def make_rows(runs: Sequence[Run], variants: Sequence[Variant]) -> List[Row]:
    """Sum up.

    :param runs: results, each variant with any seeds.
    :param variants: all variants, in the order of the table.
    :return: a row for each variant that has runs.
    """
    by_variant: Dict[str, Dict[int, Run]] = {}
    for run in runs:
        by_variant.setdefault(run.variant, {})[run.seed] = run
    means = {name: float(np.mean([run.score for run in own.values()])) for name, own in by_variant.items()}
    single = [variant.name for variant in variants if variant.layer is not None and variant.name in means]
    best = max(single, key=means.__getitem__) if single else None
    rows = []
    for name in (variant.name for variant in variants if variant.name in means):
        scores = [run.score for run in by_variant[name].values()]
        sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        if best is None or name == best:
            rows.append(Row(name, len(scores), means[name], sd, None, None))
        else:
            p = _p_value(by_variant[name], by_variant[best])
            rows.append(Row(name, len(scores), means[name], sd, means[name] - means[best], p))
    return rows


def format_table(rows: Sequence[Row], score: str) -> str:
    """Write the table.

    :param rows: the rows.
    :param score: name of the score.
    :return: its lines.
    """
    from wasabi import table

    header = ("variant", score, "seeds", "to best layer", "p", "")
    body = [_cells(row) for row in rows]
    return str(table(body, header=header, divider=True, aligns=("l", "r", "r", "r", "r", "l"))).strip("\n")


def format_notes(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """Say what the table means, and what the mix became.

    :param runs: the runs.
    :param rows: the rows.
    :return: lines.
    """
    lines = ["Scores are those after the last step, times 100, mean ± standard deviation over seeds."]
    if any(row.p is not None for row in rows):
        lines.append(
            "p: approximate randomisation over texts (Yeh 2000), seeds pooled, against the best single layer. That "
            f"one was chosen on the same data, and p is not corrected for several comparisons. *: p < {LEVEL}."
        )
    elif len(rows) > 1:
        lines.append("No p: this score is not made from counts of right and wrong answers.")
    mixes = [run.mix for run in runs if run.variant == LEARNED and run.mix is not None]
    if mixes:
        shares = np.mean(mixes, axis=0)  # (n_runs, n_layers) -> (n_layers,)
        lines.append("Shares of layers in the learned mix: " + ", ".join(f"{k}: {x:.3f}" for k, x in enumerate(shares)))
    return "\n".join(lines)


def _cells(row: Row) -> List[str]:
    spread = "" if row.sd is None else f" ± {100 * row.sd:.2f}"
    mean = f"{100 * row.mean:.2f}{spread}"
    if row.difference is None:
        return [row.variant, mean, str(row.n_seeds), "best" if row.variant.startswith("layer") else "", "", ""]
    p = "" if row.p is None else f"{row.p:.4f}"
    mark = "*" if row.p is not None and row.p < LEVEL else ""
    return [row.variant, mean, str(row.n_seeds), f"{100 * row.difference:+.2f}", p, mark]


def _p_value(left: Dict[int, Run], right: Dict[int, Run]) -> Optional[float]:
    shared = [seed for seed in left if seed in right]
    pooled = []
    for runs in (left, right):
        counts = [runs[seed].counts for seed in shared]
        known = [part for part in counts if part is not None]
        if not known or len(known) < len(counts) or len({part.shape for part in known}) > 1:
            return None
        pooled.append(np.sum(known, axis=0))  # (n_docs, n_classes, 3)
    if pooled[0].shape != pooled[1].shape:
        return None
    return randomisation_test(*pooled)
