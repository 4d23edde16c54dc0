"""rows/align.py: pieces to tokens by character offset."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.rows.align import align_pieces, keep_tokens
from tests.strategies import ranges


def _pairs(pieces, tokens):
    a = np.array(pieces, dtype=np.int64).reshape(-1, 2)
    b = np.array(tokens, dtype=np.int64).reshape(-1, 2)
    result = align_pieces(a[:, 0], a[:, 1], b[:, 0], b[:, 1])
    return list(zip(result.tokens.tolist(), result.pieces.tolist()))


def test_pieces_go_to_the_token_they_lie_in():
    assert _pairs([(0, 2), (2, 5), (6, 7)], [(0, 5), (6, 7)]) == [(0, 0), (0, 1), (1, 2)]


def test_a_piece_over_two_tokens_belongs_to_both():
    assert _pairs([(0, 3), (3, 5)], [(0, 2), (2, 5)]) == [(0, 0), (1, 0), (1, 1)]


def test_a_piece_with_a_leading_space_belongs_to_the_word_behind_it():
    assert _pairs([(0, 1), (1, 4)], [(0, 1), (2, 4)]) == [(0, 0), (1, 1)]


def test_an_empty_piece_belongs_to_no_token():
    assert _pairs([(1, 1), (0, 3)], [(0, 3)]) == [(0, 1)]


def test_pieces_of_one_character_all_belong_to_it():
    assert _pairs([(0, 1), (0, 1), (0, 1)], [(0, 1)]) == [(0, 0), (0, 1), (0, 2)]


def test_no_pieces_and_no_tokens_give_no_pairs():
    assert _pairs([], [(0, 3)]) == []
    assert _pairs([(0, 3)], []) == []


def test_dropped_tokens_lose_their_pairs_and_shift_nobody():
    a = np.array([0, 2, 4])
    pairs = keep_tokens(align_pieces(a, a + 1, a, a + 1), np.array([True, False, True]))
    assert pairs.tokens.tolist() == [0, 2]
    assert pairs.pieces.tolist() == [0, 2]


@given(ranges(), ranges())
def test_pairs_are_exactly_the_overlaps(pieces, tokens):
    expected = [
        (t, p)
        for t, (token_start, token_end) in enumerate(zip(*tokens[:2]))
        for p, (start, end) in enumerate(zip(*pieces[:2]))
        if start < token_end and token_start < end
    ]
    assert _pairs(list(zip(*pieces[:2])), list(zip(*tokens[:2]))) == expected


@given(st.data(), ranges())
def test_repeated_and_empty_pieces_change_nothing_for_the_others(data, tokens):
    spans = list(zip(*tokens[:2]))
    pieces = [span for span in spans for _ in range(data.draw(st.integers(1, 3)))]
    assert len(_pairs(pieces, spans)) == len(pieces)
