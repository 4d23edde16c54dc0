"""networks/elmo/module.py: ELMo as one module, packed and not.

Here too: networks/packed/packable.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional

import pytest
import torch

from spacy_ctx_embed.networks.elmo.alphabets import CodePoints, Utf8Bytes
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig
from spacy_ctx_embed.networks.elmo.lexicon import Lexicon
from spacy_ctx_embed.networks.elmo.module import ElmoConfig, ElmoModule

BILM = BilmConfig(dim=8, projection_dim=6, n_layers=2, cell_clip=3, proj_clip=3, use_skip_connections=True)
CHARS = CharCnnConfig(
    embedding_dim=4, filters=((1, 3), (2, 4)), activation="relu", n_highway=1, max_chars=12, projection_dim=6
)
ROWS = {key: row for row, key in enumerate([*"abc", *CodePoints.SYMBOLS])}
WORDS = {"<oov>": 0, "<bos>": 1, "<eos>": 2, "abc": 3, "cab": 4}

BYTES_ALONE = ElmoConfig(CHARS, BILM, Utf8Bytes())
WORDS_ALONE = ElmoConfig(None, BILM, Utf8Bytes(), Lexicon({"<S>": 0, "</S>": 1, "<UNK>": 2, "abc": 3}, 2), 4)
CACHED = ElmoConfig(CHARS, BILM, Utf8Bytes(), Lexicon({"abc": 0, "<S>": 1}), 2)
BOTH = ElmoConfig(
    replace(CHARS, n_chars=len(ROWS), pad_char=ROWS["<pad>"], word_dim=5),
    BILM,
    CodePoints(ROWS),
    Lexicon(WORDS, WORDS["<oov>"], CHARS.max_chars - 2),
    len(WORDS),
)
CONFIGS: Dict[str, ElmoConfig] = {
    "bytes": BYTES_ALONE,
    "words": WORDS_ALONE,
    "cached": CACHED,
    "both": BOTH,
    "aligned": replace(BYTES_ALONE, aligned=True),
}


def build(config: ElmoConfig) -> ElmoModule:
    torch.manual_seed(0)
    module = ElmoModule(config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.eval()


def spelling(module: ElmoModule, word: str, vector: Optional[torch.Tensor] = None) -> torch.Tensor:
    ids = torch.from_numpy(module.config.alphabet.ids([word], CHARS.max_chars))
    return module.char_cnn(ids, vector)[0]


@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_kind_gives_a_vector_per_word(name: str) -> None:
    module = build(CONFIGS[name])
    words = [module.config.alphabet.bos, "abc", "unheard", "abc", "", module.config.alphabet.eos]
    found = module.encode_words(words)
    assert found.shape == (6, 6) and bool(found.isfinite().all())
    torch.testing.assert_close(found[1], found[3])


@pytest.mark.parametrize("name", ["bytes", "words", "cached"])
def test_no_words_give_no_vectors(name: str) -> None:
    assert build(CONFIGS[name]).encode_words([]).shape == (0, 6)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_words_do_not_influence_each_other(name: str) -> None:
    module = build(CONFIGS[name])
    words = ["abc", "unheard", "<S>", "cab", "x" * 30]
    alone = torch.cat([module.encode_words([word]) for word in words])
    torch.testing.assert_close(module.encode_words(words), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bytes", {"char_cnn", "bilm"}),
        ("words", {"words", "bilm"}),
        ("cached", {"char_cnn", "words", "bilm"}),
        ("both", {"char_cnn", "words", "bilm"}),
        ("aligned", {"char_cnn", "bilm", "alignment"}),
    ],
)
def test_parts_of_each_kind(name: str, parts: set) -> None:
    state = build(CONFIGS[name]).state_dict()
    assert {key.partition(".")[0] for key in state} == parts


def test_table_of_words_is_as_wide_as_its_use() -> None:
    assert build(WORDS_ALONE).words.weight.shape == (4, 6)
    assert build(CACHED).words.weight.shape == (2, 6)
    assert build(BOTH).words.weight.shape == (5, 5)


def test_words_alone_are_rows_of_the_table() -> None:
    module = build(WORDS_ALONE)
    assert torch.equal(module.encode_words(["abc", "unheard", "<S>"]), module.words.weight[[3, 2, 0]])


def test_cached_words_are_rows_and_others_are_spelt() -> None:
    module = build(CACHED)
    found = module.encode_words(["unheard", "abc", "</S>", "<S>"])
    assert torch.equal(found[[1, 3]], module.words.weight)
    torch.testing.assert_close(found[0], spelling(module, "unheard"))
    torch.testing.assert_close(found[2], spelling(module, "</S>"))


def test_words_of_the_cache_alone_need_no_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(CACHED)
    monkeypatch.setattr(module, "_spell", None)
    assert module.encode_words(["abc", "<S>"]).shape == (2, 6)


@pytest.mark.parametrize(("word", "row"), [("abc", 3), ("<bos>", 1), ("<eos>", 2), ("unheard", 0), ("<pad>", 0)])
def test_word_and_spelling_are_joined(word: str, row: int) -> None:
    # <bos> is one character of the spelling and has a row among the words
    module = build(BOTH)
    expected = spelling(module, word, module.words.weight[row : row + 1])
    torch.testing.assert_close(module.encode_words(["cab", word])[1], expected)


def test_gradients_reach_table_and_spelling() -> None:
    module = build(CACHED)
    module.encode_words(["unheard", "abc"]).sum().backward()
    assert module.words.weight.grad is not None and module.words.weight.grad[:, 0].tolist() == [1, 0]
    assert module.char_cnn is not None and module.char_cnn.embedding.weight.grad is not None


def test_device_is_that_of_the_weights() -> None:
    assert build(WORDS_ALONE).device == torch.device("cpu")
    with torch.device("meta"):
        assert ElmoModule(WORDS_ALONE).device == torch.device("meta")
