from __future__ import annotations

from typing import List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.elmo.alphabets import Alphabet, CodePoints, Utf8Bytes
from spacy_ctx_embed.networks.elmo.char_ids import char_ids

KEYS = [*"abé中🙂", "\u3000", *CodePoints.SYMBOLS]
ROWS = {key: row for row, key in enumerate(KEYS)}
POINTS = CodePoints(ROWS)


def named(ids: np.ndarray) -> List[str]:
    return [KEYS[i] for i in ids]


def test_bytes_are_those_of_bilm_tf() -> None:
    words = ["x", "", "naïve", "<S>", "🙂" * 40]
    np.testing.assert_array_equal(Utf8Bytes().ids(words, 50), char_ids(words, 50))
    assert (Utf8Bytes().bos, Utf8Bytes().eos, Utf8Bytes().pad) == ("<S>", "</S>", 261)


def test_symbols_of_begin_and_end_are_swapped() -> None:
    assert named(POINTS.ids(["ab"], 6)[0]) == ["<eow>", "a", "b", "<bow>", "<pad>", "<pad>"]
    assert POINTS.pad == ROWS["<pad>"]


def test_a_character_is_a_code_point() -> None:
    assert named(POINTS.ids(["é中🙂"], 5)[0]) == ["<eow>", "é", "中", "🙂", "<bow>"]


def test_nothing_is_normalised() -> None:
    assert named(POINTS.ids(["A\u0301e"], 6)[0]) == ["<eow>", "<oov>", "<oov>", "<oov>", "<bow>", "<pad>"]
    assert named(POINTS.ids(["\u00a0\u3000"], 4)[0]) == ["<eow>", "<oov>", "\u3000", "<bow>"]


def test_long_words_are_cut_by_characters() -> None:
    assert named(POINTS.ids(["ab" * 60], 5)[0]) == ["<eow>", "a", "b", "a", "<bow>"]
    assert named(POINTS.ids(["🙂" * 48], 50)[0]) == ["<eow>", *["🙂"] * 48, "<bow>"]


@pytest.mark.parametrize("word", ["<bos>", "<eos>"])
def test_boundary_words_are_one_character(word: str) -> None:
    assert named(POINTS.ids([word], 5)[0]) == ["<eow>", word, "<bow>", "<pad>", "<pad>"]
    assert named(POINTS.ids([word], 3)[0]) == ["<eow>", word, "<bow>"]


@pytest.mark.parametrize("word", ["<oov>", "<pad>", "<S>", "<bos>x", "<BOS>"])
def test_other_words_in_brackets_are_spelt(word: str) -> None:
    spelt = ["<oov>" if character not in "ab" else character for character in word]
    assert named(POINTS.ids([word], 10)[0])[: len(word) + 2] == ["<eow>", *spelt, "<bow>"]


def test_empty_word_and_no_words() -> None:
    assert named(POINTS.ids([""], 4)[0]) == ["<eow>", "<bow>", "<pad>", "<pad>"]
    assert POINTS.ids([], 50).shape == (0, 50)


@pytest.mark.parametrize("alphabet", [Utf8Bytes(), POINTS])
@given(words=st.lists(st.text(max_size=20), max_size=6))
def test_words_do_not_influence_each_other(alphabet: Alphabet, words: List[str]) -> None:
    together = alphabet.ids(words, 12)
    assert together.shape == (len(words), 12) and together.dtype == np.int64
    for word, ids in zip(words, together):
        np.testing.assert_array_equal(ids, alphabet.ids([word], 12)[0])
