"""measures/published.py: findings of papers beside layers that were made up to agree, or not to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spacy_ctx_embed.measures.geometry import Geometry
from spacy_ctx_embed.measures.published import findings


def _layer(layer, mean, alike, explained, three, score):
    ends = {"mean_cosine": (mean - 0.01, mean + 0.01)}
    return Geometry(
        "bert",
        "bert",
        "hub:org/bert-base-cased",
        layer,
        99,
        9,
        mean,
        alike,
        0.9,
        explained,
        0.1,
        0.1,
        three,
        score,
        ends,
    )


AGREES = [_layer(0, 0.1, 0.9, 0.12, 0.2, 0.5), _layer(1, 0.2, 0.8, 0.13, 0.6, 0.6), _layer(2, 0.3, 0.7, 0.14, 0.3, 0.4)]
NOT = [_layer(0, 0.3, 0.2, 0.7, 0.1, 0.1), _layer(1, 0.2, 0.3, 0.8, 0.2, 0.2), _layer(2, -0.1, 0.5, 0.9, None, 0.3)]


def test_layers_as_in_the_papers_agree_with_all_of_them_and_others_with_none():
    assert [finding.agrees for finding in findings(AGREES)] == [True] * 7
    assert [finding.agrees for finding in findings(NOT)] == [False] * 7


def test_of_too_little_it_is_not_said_whether_a_finding_holds():
    bare = [replace(row, mean_cosine=None, self_similarity=None, explained=None, dominant_3=None) for row in AGREES]
    assert {finding.agrees for finding in findings([replace(row, intervals={}) for row in bare])} == {None}


def test_static_vectors_have_no_layers_to_compare():
    assert findings(AGREES[:1]) == []
    two = [*AGREES, *(replace(row, component="b") for row in NOT)]
    assert [finding.component for finding in findings(two)] == ["bert"] * 7 + ["b"] * 7


@pytest.mark.parametrize(
    ("model", "same"), [("bert-base-cased", True), ("hub:org/bert-base-cased", True), ("package:minilm", False)]
)
def test_a_finding_says_whether_its_paper_has_the_model(model, same):
    found = findings(replace(row, model=model) for row in AGREES)
    assert {finding.same_model for finding in found if "1909.00512" in finding.paper} == {same}
    assert not any(finding.same_model for finding in found if "1909.00512" not in finding.paper)
