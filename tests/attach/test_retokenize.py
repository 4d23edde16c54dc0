"""attach/retokenize.py: rows after merges and splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_ctx_embed.attach import attributes, storage
from spacy_ctx_embed.attach.retokenize import UnmatchedError, match_tokens
from spacy_ctx_embed.data import Layout, Status, TokenRows


def _doc_with_rows(words, spaces=None, status=None):
    attributes.install()
    doc = Doc(Vocab(), words=words, spaces=spaces)
    rows = np.arange(len(doc) * 2, dtype=np.float32).reshape(-1, 2) + 1
    status = np.zeros(len(doc), dtype=np.uint8) if status is None else np.array(status, dtype=np.uint8)
    rows[(status > 1) & (status != Status.UNKNOWN)] = 0
    storage.write(doc, "x", TokenRows(rows, status), pooling="mean", hooks=False, dtype="float32")
    return doc, rows


def test_a_merged_token_has_the_mean_of_its_parts():
    doc, rows = _doc_with_rows(["in", "New", "York", "city"])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    assert np.array_equal(doc._.embeddings["x"], [rows[0], rows[1:3].mean(0), rows[3]])
    assert doc[1]._.vector_status == "ok"


def test_parts_without_a_vector_do_not_count_in_a_merge():
    doc, rows = _doc_with_rows(["New", "\n", "York"], status=[0, 3, 0])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:3])
    assert np.array_equal(doc[0]._.vector, rows[[0, 2]].mean(0))


def test_a_merge_of_parts_without_vectors_has_none():
    doc, _ = _doc_with_rows(["a", "\n", "b"], status=[2, 3, 2])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:3])
    assert doc[0]._.vector_status == "oov"
    assert not doc[0]._.has_vector


@pytest.mark.parametrize("status", [[5, 3, 5], [4, 5, 5]])
def test_a_merge_of_unknown_parts_keeps_the_mean_of_their_rows(status):
    doc, rows = _doc_with_rows(["\u9f49", "\n", "\u9750"], status=status)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:3])
    assert np.array_equal(doc[0]._.vector, rows[np.array(status) == 5].mean(0))
    assert doc[0]._.vector_status == "unknown" and not doc[0]._.has_vector


def test_unknown_parts_do_not_count_beside_a_vector():
    doc, rows = _doc_with_rows(["a", "\u9f49", "b"], status=[0, 5, 0])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:3])
    assert np.array_equal(doc[0]._.vector, rows[[0, 2]].mean(0))
    assert doc[0]._.vector_status == "ok"


def test_the_parts_of_a_split_unknown_token_are_unknown_and_share_its_row():
    doc, rows = _doc_with_rows(["\u9f49\u9750", "city"], status=[5, 0])
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["\u9f49", "\u9750"], heads=[(doc[0], 1), doc[1]])
    assert np.array_equal(doc._.embeddings["x"], [rows[0], rows[0], rows[1]])
    assert [token._.vector_status for token in doc] == ["unknown", "unknown", "ok"]


def test_the_parts_of_a_split_token_share_its_row():
    doc, rows = _doc_with_rows(["LosAngeles", "city"])
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["Los", "Angeles"], heads=[(doc[0], 1), doc[1]])
    assert np.array_equal(doc._.embeddings["x"], [rows[0], rows[0], rows[1]])


def test_merge_and_split_at_once_leave_the_length_and_still_match():
    doc, rows = _doc_with_rows(["New", "York", "is", "here"])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
        retokenizer.split(doc[3], ["he", "re"], heads=[(doc[3], 1), doc[2]])
    assert len(doc) == 4
    assert np.array_equal(doc[0]._.vector, rows[0:2].mean(0))
    assert np.array_equal(doc[1]._.vector, rows[2])
    assert np.array_equal(doc[3]._.vector, rows[3])


def test_two_retokenisations_after_another_match():
    doc, rows = _doc_with_rows(["a", "b", "c", "d"])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert doc._.vector.shape == (2,)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert np.allclose(doc[0]._.vector, (rows[0:2].mean(0) + rows[2]) / 2)


def test_a_token_across_two_former_tokens_is_refused():
    doc, _ = _doc_with_rows(["New", "York"], spaces=[False, False])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["NewY", "ork"], heads=[(doc[0], 1), doc[0]])
    with pytest.raises(ValueError, match="parts of several former tokens"):
        doc[0]._.vector  # noqa: B018


def _layout(bounds):
    starts = np.array([start for start, _ in bounds], dtype=np.int64)
    ends = np.array([end for _, end in bounds], dtype=np.int64)
    return Layout(starts, (starts * 1000 + ends).astype(np.uint64), int(ends[-1]) if bounds else 0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=10), st.data())
def test_any_grouping_of_neighbours_matches_exactly_its_parts(lengths, data):
    ends = np.cumsum(lengths)
    old = [(int(end - length), int(end)) for length, end in zip(lengths, ends)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(old) - 1), max_size=len(old)))) if len(old) > 1 else []
    edges = [0, *cuts, len(old)]
    new = [(old[a][0], old[b - 1][1]) for a, b in zip(edges, edges[1:])]
    first, last = match_tokens(_layout(old), _layout(new))
    assert list(zip(first.tolist(), last.tolist())) == list(zip(edges, edges[1:]))
    first, last = match_tokens(_layout(new), _layout(old))  # and back: each part finds the token it lies in
    assert first.tolist() == [i for i, (a, b) in enumerate(zip(edges, edges[1:])) for _ in range(b - a)]


@pytest.mark.parametrize("new", [[(0, 2)], [(0, 2), (3, 6)], [(0, 2), (3, 5), (6, 7)], [(1, 2), (3, 5)], []])
def test_another_text_is_refused(new):
    with pytest.raises(UnmatchedError):
        match_tokens(_layout([(0, 2), (3, 5)]), _layout(new))
