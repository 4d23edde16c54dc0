from __future__ import annotations

from typing import List

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.elmo.char_ids import char_ids

PAD = 261


def padded(ids: List[int]) -> List[int]:
    return ids + [PAD] * (50 - len(ids))


def test_word_stands_between_begin_and_end_of_word() -> None:
    assert char_ids(["x"], 50).tolist() == [padded([259, 121, 260])]


def test_sentence_boundaries_have_their_own_ids() -> None:
    assert char_ids(["<S>", "</S>"], 50).tolist() == [padded([259, 257, 260]), padded([259, 258, 260])]


def test_empty_word_has_no_bytes() -> None:
    assert char_ids([""], 50).tolist() == [padded([259, 260])]


def test_long_word_is_cut_by_bytes_inside_a_character() -> None:
    ids = char_ids(["a" + "é" * 500], 50)[0]
    assert ids[0] == 259 and ids[49] == 260
    assert ids[1:49].tolist() == [b + 1 for b in ("a" + "é" * 500).encode("utf8")[:48]]


def test_lone_surrogates_vanish() -> None:
    assert char_ids(["a\ud800b"], 50).tolist() == char_ids(["ab"], 50).tolist()


def test_no_words_give_no_rows() -> None:
    assert char_ids([], 50).shape == (0, 50)


def test_other_lengths_are_possible() -> None:
    assert char_ids(["abcdef", "<S>"], 5).tolist() == [[259, 98, 99, 100, 260], [259, 257, 260, PAD, PAD]]


@given(st.lists(st.text(max_size=60), max_size=8))
def test_words_do_not_influence_each_other(words: List[str]) -> None:
    together = char_ids(words, 50)
    assert together.shape == (len(words), 50)
    for word, ids in zip(words, together):
        np.testing.assert_array_equal(ids, char_ids([word], 50)[0])
        assert ids.min() >= 1 and ids.max() <= 261
