"""data.py: bytes that stand for statuses, and shapes that are checked when the objects are made."""

from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.data import Segment, Status, covered


def test_a_status_has_the_byte_under_which_docs_and_caches_keep_it():
    labels = ["ok", "fallback", "oov", "space", "uncovered", "unknown"]
    labels += ["title", "nfkc", "accents", "digits", "parts"]
    assert [Status(number).label for number in range(len(labels))] == labels
    assert len(Status) == len(labels)


def test_only_ok_and_fallbacks_are_vectors():
    assert covered(np.arange(11, dtype=np.uint8)).tolist() == [True, True, *[False] * 4, *[True] * 5]


def test_statuses_of_a_segment_are_one_per_token():
    tokens = np.arange(3)
    assert Segment(0, tokens, 5, None).statuses is None
    with pytest.raises(ValueError, match=r"Segment.statuses must be one per token, \(3,\), got \(2,\)"):
        Segment(0, tokens, 5, None, np.zeros(2, np.uint8))
