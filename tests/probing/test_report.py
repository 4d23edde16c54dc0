"""probing/report.py: the table."""

from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.probing.report import format_notes, format_table, make_rows
from spacy_ctx_embed.probing.runs import Run
from spacy_ctx_embed.probing.variants import make_variants

VARIANTS = make_variants(2)
GOOD, FAIR = (np.tile([counts], (50, 1, 1)) for counts in ([[9, 1, 0]], [[6, 2, 3]]))


def _run(variant, seed, score, counts=None, mix=None):
    return Run(variant, seed, score, 5, 1.0, mix, None if mix is None else 1.0, counts)


def test_differences_are_to_the_best_single_layer():
    runs = [_run("layer 0", s, 0.5 + s / 100, FAIR) for s in (0, 1)] + [_run("layer 1", 0, 0.6, FAIR)]
    runs += [_run("mean", 0, 0.7, GOOD)]
    rows = {row.variant: row for row in make_rows(runs, VARIANTS)}
    assert list(rows) == ["layer 0", "layer 1", "mean"]
    assert rows["layer 0"].n_seeds == 2 and rows["layer 0"].mean == pytest.approx(0.505)
    assert rows["layer 0"].sd == pytest.approx(np.std([0.5, 0.51], ddof=1)) and rows["layer 1"].sd is None
    assert rows["layer 1"].difference is None and rows["layer 1"].p is None
    assert rows["mean"].difference == pytest.approx(0.1) and rows["mean"].p < 0.001
    assert rows["layer 0"].p == 1


def test_only_seeds_that_both_have_are_compared():
    runs = [_run("layer 0", 0, 0.6, FAIR), _run("mean", 1, 0.9, GOOD)]
    assert make_rows(runs, VARIANTS)[1].p is None
    runs = [_run("layer 0", 0, 0.6, FAIR), _run("mean", 1, 0.9, GOOD), _run("mean", 0, 0.6, FAIR)]
    assert make_rows(runs, VARIANTS)[1].p == 1


def test_a_score_without_counts_has_no_p_and_the_notes_say_so():
    runs = [_run("layer 0", 0, 0.6), _run("mean", 0, 0.7)]
    rows = make_rows(runs, VARIANTS)
    assert rows[1].p is None
    assert "No p" in format_notes(runs, rows)


def test_without_a_single_layer_there_is_nothing_to_compare_with():
    rows = make_rows([_run("mean", 0, 0.7, GOOD)], VARIANTS)
    assert rows[0].difference is None


def test_the_table_has_mean_spread_difference_and_mark():
    runs = [_run("layer 0", s, 0.5 + s / 50, FAIR) for s in (0, 1)]
    runs += [_run("learned mix", s, 0.8, GOOD, mix=[0.25, 0.75]) for s in (0, 1)]
    rows = make_rows(runs, VARIANTS)
    lines = [line.split() for line in format_table(rows, "ents_f").splitlines()]
    assert lines[0] == ["variant", "ents_f", "seeds", "to", "best", "layer", "p"]
    assert lines[2] == ["layer", "0", "51.00", "±", "1.41", "2", "best"]
    assert lines[3] == ["learned", "mix", "80.00", "±", "0.00", "2", "+29.00", "0.0001", "*"]
    notes = format_notes(runs, rows)
    assert "Yeh 2000" in notes and "0: 0.250, 1: 0.750" in notes
