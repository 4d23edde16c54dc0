from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import List, Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.networks.elmo.word_cache import WordCache

CPU = torch.device("cpu")
WORD_BYTES = 3 * 4 + 200  # a vector of 3 float32 numbers, and the word


class Encoder:
    def __init__(self) -> None:
        self.seen: List[str] = []

    def __call__(self, words: Sequence[str]) -> torch.Tensor:
        self.seen.extend(words)
        return torch.tensor([[float(ord(c)) for c in word.ljust(3)[:3]] for word in words]).reshape(-1, 3)


def test_known_words_are_not_encoded_again() -> None:
    cache, encode = WordCache(100 * WORD_BYTES, 3), Encoder()
    cache.look_up(["a", "b"], encode, CPU)
    cache.look_up(["b", "c", "a"], encode, CPU)
    assert encode.seen == ["a", "b", "c"]


@given(st.integers(0, 5), st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=8))
def test_rows_are_right_whatever_was_forgotten(capacity: int, batches: List[List[str]]) -> None:
    cache, encode = WordCache(capacity * WORD_BYTES, 3), Encoder()
    for words in batches:
        torch.testing.assert_close(cache.look_up(words, encode, CPU), Encoder()(words))
        assert len(cache) <= capacity


def test_least_recently_used_word_is_forgotten_first() -> None:
    cache, encode = WordCache(2 * WORD_BYTES, 3), Encoder()
    for word in ["a", "b", "a", "c", "a"]:
        cache.look_up([word], encode, CPU)
    assert encode.seen == ["a", "b", "c"]


def test_is_writable_after_use_in_inference_mode() -> None:
    cache, encode = WordCache(10 * WORD_BYTES, 3), Encoder()
    with torch.inference_mode():
        cache.look_up(["a"], encode, CPU)
    with torch.no_grad():
        torch.testing.assert_close(cache.look_up(["b", "a"], encode, CPU), Encoder()(["b", "a"]))


def test_copies_start_empty() -> None:
    cache = WordCache(10 * WORD_BYTES, 3)
    cache.look_up(["a"], Encoder(), CPU)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(other) == 0
        torch.testing.assert_close(other.look_up(["a"], Encoder(), CPU), Encoder()(["a"]))


def test_threads_get_right_rows() -> None:
    cache = WordCache(3 * WORD_BYTES, 3)
    batches = [[chr(97 + (i * k) % 26) for k in (1, 3)] for i in range(1, 200) if (2 * i) % 26]

    def check(words: List[str]) -> bool:
        return bool((cache.look_up(words, Encoder(), CPU) == Encoder()(words)).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, batches))
