"""segments/windows.py: windows over a sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.segments.windows import cut_at, cut_windows


def test_a_short_sequence_is_one_window():
    assert cut_windows(5, 8, 2) == [(0, 5)]


def test_an_empty_sequence_has_no_window():
    assert cut_windows(0, 8, 2) == []


def test_neighbours_share_twice_the_overlap():
    assert cut_windows(14, 8, 1) == [(0, 8), (6, 14)]


def test_the_last_window_is_as_short_as_its_context_lets_it_be():
    assert cut_windows(9, 8, 2) == [(0, 8), (4, 9)]
    assert cut_windows(12, 8, 2) == [(0, 8), (4, 12)]
    assert cut_windows(13, 8, 2) == [(0, 8), (4, 12), (8, 13)]


def test_a_window_of_nothing_but_overlap_is_refused():
    with pytest.raises(ValueError, match="never moves on"):
        cut_windows(100, 8, 4)


@given(st.integers(0, 500), st.integers(1, 50), st.data())
def test_windows_cover_everything_within_bounds(length, window, data):
    overlap = data.draw(st.integers(0, (window - 1) // 2))
    windows = cut_windows(length, window, overlap)
    assert sorted({i for start, end in windows for i in range(start, end)}) == list(range(length))
    assert all(0 <= start < end <= length and end - start <= window for start, end in windows)
    assert windows == sorted(set(windows))
    assert all(later[0] == earlier[1] - 2 * overlap for earlier, later in zip(windows, windows[1:]))
    assert all(end - start == window for start, end in windows[:-1])


def test_windows_begin_and_end_where_sentences_do():
    assert cut_at(12, [0, 3, 6, 9], 7, 1) == [(0, 6), (3, 9), (6, 12)]


def test_what_is_short_is_one_window_wherever_sentences_are():
    assert cut_at(7, [0, 3], 7, 1) == [(0, 7)]


def test_a_sentence_longer_than_a_window_is_cut_as_without_sentences():
    assert cut_at(20, [0, 18], 8, 2) == [*cut_windows(18, 8, 2)[:-1], (12, 20)]


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_a_sentence_is_whole_in_every_window_that_has_a_part_of_it(length, window, data):
    overlap = data.draw(st.integers(0, (window - 1) // 2))
    places = sorted(data.draw(st.sets(st.integers(0, length))))
    windows = cut_at(length, places, window, overlap)
    assert {i for start, end in windows for i in range(start, end)} == set(range(length))
    assert all(0 <= start < end <= length and end - start <= window for start, end in windows)
    for earlier, later in zip(windows, windows[1:]):
        assert earlier[0] < later[0] and earlier[1] < later[1]
    if length <= window:
        return
    cuts = sorted({0, length, *places})
    for first, last in zip(cuts, cuts[1:]):
        if last - first <= window:
            assert all(end <= first or start >= last or (start <= first and last <= end) for start, end in windows)


@given(st.integers(50, 300), st.integers(20, 40), st.integers(0, 5))
def test_short_sentences_leave_room_for_the_overlap_on_each_side(length, window, overlap):
    places = list(range(0, length, 4))
    windows = cut_at(length, places, window, overlap)
    assert all(later[0] <= earlier[1] - 2 * overlap for earlier, later in zip(windows, windows[1:]))
