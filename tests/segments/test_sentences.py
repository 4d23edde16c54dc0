from __future__ import annotations

from typing import List, Optional

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.segments.sentences import sentence_segments


def cut(keep: List[int], starts: Optional[List[int]] = None, window: Optional[int] = None) -> List[List[int]]:
    given_starts = None if starts is None else np.array(starts, dtype=bool)
    return [part.tolist() for part in sentence_segments(np.array(keep, dtype=bool), given_starts, window)]


def test_without_sentences_all_is_one_segment() -> None:
    assert cut([1, 1, 1]) == [[0, 1, 2]]


def test_each_sentence_is_a_segment() -> None:
    assert cut([1, 1, 1, 1], [1, 0, 1, 0]) == [[0, 1], [2, 3]]


def test_first_token_starts_a_sentence_even_if_not_marked() -> None:
    assert cut([1, 1, 1], [0, 0, 1]) == [[0, 1], [2]]


def test_tokens_left_out_do_not_join_sentences() -> None:
    assert cut([1, 0, 0, 1], [1, 0, 1, 0]) == [[0], [3]]


def test_sentence_of_nothing_kept_gives_no_segment() -> None:
    assert cut([1, 0, 1], [1, 1, 1]) == [[0], [2]]


def test_no_tokens_give_no_segments() -> None:
    assert cut([]) == [] and cut([0, 0], [1, 0], 2) == []


def test_long_sentence_is_cut_into_windows_of_like_length() -> None:
    assert cut([1] * 7, None, 3) == [[0, 1, 2], [3, 4], [5, 6]]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.integers(1, 10))
def test_every_kept_token_is_in_one_segment_in_order(tokens: List[List[bool]], window: int) -> None:
    keep, starts = [k for k, _ in tokens], [s for _, s in tokens]
    segments = cut([int(k) for k in keep], [int(s) for s in starts], window)
    assert [i for segment in segments for i in segment] == [i for i, k in enumerate(keep) if k]
    assert all(1 <= len(segment) <= window for segment in segments)
    assert not any(starts[i] for segment in segments for i in range(segment[0] + 1, segment[-1] + 1))
