"""How the benchmarks of named entities read text and labels, and how they score."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks"
if not (PATH / "peer_flair.py").exists():
    pytest.skip("benchmarks/ is not in this tree", allow_module_level=True)
sys.path.insert(0, str(PATH))
try:
    from bench_wnut17 import read_conll
    from peer_flair import entities, f_score
finally:
    sys.path.remove(str(PATH))


def test_a_line_with_only_a_tab_ends_a_sentence(tmp_path):
    file = tmp_path / "text.conll"
    file.write_text("Ann\tB-person\nruns\tO\n\t\nHere\tO\n", encoding="utf8")
    assert read_conll(file) == [(["Ann", "runs"], ["B-person", "O"]), (["Here"], ["O"])]


def test_empty_lines_and_windows_line_ends_make_no_sentences(tmp_path):
    file = tmp_path / "text.conll"
    file.write_bytes("\r\n\t\r\n\nAnn\tB-person\r\n\r\n\t\n".encode())
    assert read_conll(file) == [(["Ann"], ["B-person"])]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", set()),
        ("O O", set()),
        ("B-a I-a O B-b", {(0, 2, "a"), (3, 4, "b")}),
        ("B-a B-a I-a", {(0, 1, "a"), (1, 3, "a")}),
        ("B-a I-b", {(0, 1, "a"), (1, 2, "b")}),
        ("O I-a I-a", {(1, 3, "a")}),
        ("B-creative-work I-creative-work", {(0, 2, "creative-work")}),
    ],
)
def test_entities_are_ranges_of_tokens_with_a_type(labels, expected):
    assert entities(labels.split()) == expected


def test_an_entity_counts_only_with_both_ends_and_the_type_right():
    there = [{(0, 2, "a"), (3, 4, "b")}, {(0, 1, "a")}]
    assert f_score(there, there) == 100
    assert f_score([{(0, 1, "a"), (3, 4, "a")}, set()], there) == 0
    assert f_score([{(0, 2, "a")}, set()], there) == pytest.approx(100 * 2 / 4)


def test_nothing_said_about_nothing_scores_zero():
    assert f_score([set()], [set()]) == 0
