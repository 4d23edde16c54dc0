"""rows/stitch.py: the window in which a token has most context."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.data import PieceMap
from spacy_ctx_embed.rows.stitch import choose_windows
from spacy_ctx_embed.segments.windows import cut_windows


def _one_piece_each(n):
    return PieceMap(np.arange(n), np.arange(n), n)


def test_one_window_is_chosen_for_all():
    assert choose_windows(_one_piece_each(3), [(0, 3)]).tolist() == [0, 0, 0]


def test_the_middle_of_the_overlap_divides_two_windows():
    chosen = choose_windows(_one_piece_each(10), [(0, 6), (4, 10)])
    assert chosen.tolist() == [0] * 5 + [1] * 5


def test_all_pieces_of_a_token_come_from_one_window():
    pairs = PieceMap(np.arange(10), np.array([0, 1, 2, 3, 4, 4, 5, 6, 7, 8]), 9)
    chosen = choose_windows(pairs, [(0, 6), (4, 10)])
    assert chosen[4] == chosen[5]


def test_a_token_longer_than_a_window_is_read_from_several():
    pairs = PieceMap(np.arange(10), np.zeros(10, dtype=np.int64), 1)
    assert choose_windows(pairs, [(0, 4), (4, 8), (6, 10)]).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]


@given(st.integers(1, 200), st.integers(3, 40), st.data())
def test_every_piece_is_inside_its_window_with_the_promised_context(n, window, data):
    overlap = data.draw(st.integers(0, (window - 1) // 2))
    windows = cut_windows(n, window, overlap)
    chosen = choose_windows(_one_piece_each(n), windows)
    for piece, number in enumerate(chosen):
        start, end = windows[number]
        assert start <= piece < end
        best = max(_context(piece, w, n) for w in windows)
        assert _context(piece, windows[number], n) == best >= min(overlap, n)


def _context(piece, window, n):
    start, end = window
    if not start <= piece < end:
        return -1
    return min(n if start == 0 else piece - start, n if end == n else end - piece - 1)
