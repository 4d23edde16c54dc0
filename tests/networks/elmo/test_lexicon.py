from __future__ import annotations

import numpy as np

from spacy_ctx_embed.networks.elmo.lexicon import NOT_LISTED, Lexicon

ROWS = {"the": 0, "cat": 4, "": 2}


def test_words_that_are_not_listed_share_a_row_or_have_none() -> None:
    assert Lexicon(ROWS).look_up(["cat", "dog", "the"]).tolist() == [4, NOT_LISTED, 0]
    assert Lexicon(ROWS, unknown=5).look_up(["cat", "dog", "The"]).tolist() == [4, 5, 5]


def test_words_are_cut_before_they_are_looked_up() -> None:
    lexicon = Lexicon(ROWS, max_length=3)
    assert lexicon.look_up(["cat", "cats", "category", "ca", ""]).tolist() == [4, 4, 4, NOT_LISTED, 2]


def test_a_character_is_a_code_point() -> None:
    assert Lexicon({"🙂中": 1}, max_length=2).look_up(["🙂中文"]).tolist() == [1]


def test_rows_that_the_table_must_have() -> None:
    assert Lexicon(ROWS).n_rows == 5
    assert Lexicon(ROWS, unknown=7).n_rows == 8
    assert Lexicon({}).n_rows == 0


def test_no_words_give_no_rows() -> None:
    found = Lexicon(ROWS).look_up([])
    assert found.shape == (0,) and found.dtype == np.int64
