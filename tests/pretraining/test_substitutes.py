"""pretraining/substitutes.py: predictions from the words around a token, against the network that was trained."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.pretraining import substitutes as module
from spacy_ctx_embed.pretraining.build import make_language_model
from spacy_ctx_embed.pretraining.network.language_model import Direction, LanguageModel
from spacy_ctx_embed.pretraining.outputs import SOFTMAX, VOCAB, write_model
from spacy_ctx_embed.pretraining.settings import read_settings
from spacy_ctx_embed.pretraining.substitutes import Substitute, Substitutes
from tests.strategies import words

WORDS = ["<S>", "</S>", "<UNK>", *"the a cat dog sat on mat . , river bank money été 犬".split()]
SENTENCE = "the cat sat on a mat by the river .".split()
KINDS: Dict[str, Dict] = {
    "full": {"kind": "full"},
    "sampled": {"kind": "sampled", "n_samples": 4},
    "adaptive": {"kind": "adaptive", "cutoffs": [6, 10]},
}
TINY = {
    "char_cnn": {"embedding_dim": 4, "filters": [[1, 8], [2, 8]], "n_highway": 1, "max_characters_per_token": 12},
    "lstm": {"dim": 16, "projection_dim": 8, "n_layers": 2},
}
NLP = spacy.blank("xx")


def make_model(kind: str) -> LanguageModel:
    found = make_language_model(read_settings({**TINY, "softmax": KINDS[kind], "seed": 3}), WORDS)
    with torch.no_grad():
        for parameter in [*found.elmo.bilm.parameters(), *found.softmax.parameters()]:
            parameter.mul_(3)  # random weights alone predict all words alike
    return found


MODELS = {kind: make_model(kind) for kind in KINDS}


def make_doc(tokens: Sequence[str], starts: Optional[Sequence[bool]] = None) -> Doc:
    return Doc(NLP.vocab, words=list(tokens), sent_starts=list(starts) if starts is not None else None)


def by_hand(model: LanguageModel, read: List[str], index: int) -> np.ndarray:
    """The distribution after the last of the words that one direction reads, by the network that is trained."""
    with torch.no_grad():
        places = torch.arange(len(read))[:, None]
        direction = Direction(index, places, torch.zeros(len(read)).long(), None, model.zero_state(index, 1))
        top, _ = model.read(direction, model.spell(read), model.leaves(index), None)
        return model.softmax.log_probs(top[-1])[0].exp().numpy()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    found = {}
    for kind, model in MODELS.items():
        found[kind] = tmp_path_factory.mktemp(kind)
        write_model(found[kind], model, WORDS, read_settings({"softmax": KINDS[kind]}).softmax, "# A card\n")
    return found


@pytest.fixture(scope="module")
def full(folders: Dict[str, Path]) -> Substitutes:
    return Substitutes(folders["full"])


# What is predicted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("i", range(len(SENTENCE)))
def test_each_direction_is_the_trained_model_after_the_words_on_its_side(folders: Dict[str, Path], kind: str, i: int):
    _, forward, backward = Substitutes(folders[kind]).probabilities(make_doc(SENTENCE), i)

    left, right = SENTENCE[:i], SENTENCE[i + 1 :]
    np.testing.assert_allclose(forward, by_hand(MODELS[kind], ["<S>", *left], 0), rtol=1e-4)
    np.testing.assert_allclose(backward, by_hand(MODELS[kind], ["</S>", *reversed(right)], 1), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_are_the_product_times_the_rank_over_its_sum(folders: Dict[str, Path], kind: str):
    model = Substitutes(folders[kind])

    for i in range(len(SENTENCE)):
        both, forward, backward = model.probabilities(make_doc(SENTENCE), i)
        product = forward * backward * np.maximum(np.arange(len(forward)) - 2, 1)
        np.testing.assert_allclose(both, product / product.sum(), rtol=1e-9)
        assert both.sum() == pytest.approx(1, abs=1e-12)
        assert forward.sum() == pytest.approx(1, abs=1e-5)
        assert backward.sum() == pytest.approx(1, abs=1e-5)


def test_substitutes_are_the_most_probable_words_without_the_special_ones(full: Substitutes):
    doc = make_doc(SENTENCE)

    found = full.substitutes(doc, 1, n=4)

    probabilities = full.probabilities(doc, 1)
    best = sorted(range(3, len(WORDS)), key=lambda word: -probabilities[0, word])[:4]
    assert found == [Substitute(WORDS[word], *probabilities[:, word].tolist()) for word in best]


def test_all_words_and_the_special_ones_add_up_to_one(full: Substitutes):
    doc = make_doc(SENTENCE)

    found = full.substitutes(doc, 4, n=1000)

    assert sorted(each.word for each in found) == sorted(WORDS[3:])
    special = full.probabilities(doc, 4)[0, :3].sum()
    assert special > 0
    assert sum(each.probability for each in found) + special == pytest.approx(1, abs=1e-12)


def test_ten_words_are_given_if_no_number_is(full: Substitutes):
    assert len(full.substitutes(make_doc(SENTENCE), 0)) == 10


def test_a_sentence_of_one_word_is_predicted_from_its_bounds(full: Substitutes):
    _, forward, backward = full.probabilities(make_doc(["cat"]), 0)

    np.testing.assert_allclose(forward, by_hand(MODELS["full"], ["<S>"], 0), rtol=1e-4)
    np.testing.assert_allclose(backward, by_hand(MODELS["full"], ["</S>"], 1), rtol=1e-4)


def test_negative_numbers_count_from_the_end(full: Substitutes):
    doc = make_doc(SENTENCE)

    assert full.substitutes(doc, -1) == full.substitutes(doc, len(doc) - 1)
    assert full.substitutes(doc, -len(doc)) == full.substitutes(doc, 0)


# What has an influence


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(context=st.lists(words, min_size=1, max_size=6), others=st.tuples(words, words), data=st.data())
def test_the_word_itself_has_no_influence(full: Substitutes, context: List[str], others: tuple, data: st.DataObject):
    i = data.draw(st.integers(0, len(context) - 1))
    docs = [make_doc([*context[:i], word, *context[i + 1 :]]) for word in others]
    assume(not any(doc[i].is_space for doc in docs))

    first, second = (full.probabilities(doc, i) for doc in docs)

    assert (first == second).all()


def test_each_direction_reads_its_side_alone(full: Substitutes):
    of_sentence, of_left, of_right = (
        full.probabilities(make_doc(tokens), 3)
        for tokens in (SENTENCE, ["dog", *SENTENCE[1:]], [*SENTENCE[:-1], "dog"])
    )

    assert not np.allclose(of_left[1], of_sentence[1], rtol=1e-3)
    assert not np.allclose(of_right[2], of_sentence[2], rtol=1e-3)
    np.testing.assert_array_equal(of_left[2], of_sentence[2])
    np.testing.assert_array_equal(of_right[1], of_sentence[1])


def test_other_sentences_have_no_influence(full: Substitutes):
    before, after = ["a", "dog", "."], ["the", "bank"]
    starts = [i in (0, len(before), len(before) + len(SENTENCE)) for i in range(len(before + SENTENCE + after))]
    doc = make_doc([*before, *SENTENCE, *after], starts)
    alone = make_doc(SENTENCE)

    for i in range(len(SENTENCE)):
        np.testing.assert_array_equal(full.probabilities(doc, len(before) + i), full.probabilities(alone, i))


def test_a_sentencizer_gives_the_sentences(full: Substitutes):
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")

    np.testing.assert_array_equal(
        full.probabilities(nlp("A dog sat. The cat sat."), 5), full.probabilities(nlp("The cat sat."), 1)
    )


def test_without_sentence_bounds_the_whole_doc_is_one_sentence(full: Substitutes):
    tokens = ["a", "dog", ".", "the", "cat"]

    _, forward, _ = full.probabilities(make_doc(tokens), 4)

    np.testing.assert_allclose(forward, by_hand(MODELS["full"], ["<S>", *tokens[:4]], 0), rtol=1e-4)


def test_whitespace_is_not_read(full: Substitutes):
    spaced = make_doc(["\n", "the", " ", "cat", "\t", "sat", "\n\n"])
    plain = make_doc(["the", "cat", "sat"])

    for i, other in ((1, 0), (3, 1), (5, 2)):
        np.testing.assert_array_equal(full.probabilities(spaced, i), full.probabilities(plain, other))


def test_words_far_away_are_not_read(full: Substitutes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CONTEXT", 2)

    _, forward, backward = full.probabilities(make_doc(SENTENCE), 5)

    np.testing.assert_allclose(forward, by_hand(MODELS["full"], ["<S>", "on", "a"], 0), rtol=1e-4)
    np.testing.assert_allclose(backward, by_hand(MODELS["full"], ["</S>", "the", "by"], 1), rtol=1e-4)


def test_nothing_is_carried_from_call_to_call(full: Substitutes):
    doc = make_doc(SENTENCE)
    first = full.probabilities(doc, 2)

    full.probabilities(make_doc(["money"] * 20), 7)

    np.testing.assert_array_equal(full.probabilities(doc, 2), first)


# Where the model is


def test_a_model_may_be_in_a_package(folders: Dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "a_package_of_substitutes"
    shutil.copytree(folders["adaptive"], package / "model")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    doc = make_doc(SENTENCE)

    found = Substitutes("package:a_package_of_substitutes/model").substitutes(doc, 1)

    assert found == Substitutes(str(folders["adaptive"])).substitutes(doc, 1)


def test_the_model_of_the_package_knows_what_english_words_come_where():
    nlp = spacy.blank("en")
    model = Substitutes("elmo-mini")
    for text, i, expected in (
        ("She opened the door and went into the room .", 7, "her"),
        ("He looked at her and did not say a word .", 6, "hardly"),
        ("He was born in London in the year 1856 .", 7, "summer"),
        ("The new software runs on most computers .", 2, "app"),
        ("We sat on the bank of the river .", 4, "edge"),
    ):
        assert expected in [found.word for found in model.substitutes(Doc(nlp.vocab, words=text.split()), i, 5)]


def test_importing_loads_neither_spacy_nor_torch():
    code = (
        "import sys, spacy_ctx_embed.pretraining.substitutes\n"
        "assert not {'spacy', 'torch', 'h5py'} & {name.split('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Errors


@pytest.mark.parametrize("i", [10, 11, -11, 1000])
def test_a_token_that_is_not_there(full: Substitutes, i: int):
    with pytest.raises(IndexError, match=rf"CE046.* i = {i} is not a token of this Doc.*from -10 to 9.*Fix: "):
        full.substitutes(make_doc(SENTENCE), i)


def test_an_empty_doc_has_no_tokens(full: Substitutes):
    with pytest.raises(IndexError, match="the Doc has no tokens"):
        full.substitutes(make_doc([]), 0)


def test_whitespace_has_no_substitutes(full: Substitutes):
    doc = make_doc(["the", "\n\n", "cat"])

    for i in (1, -2):
        with pytest.raises(ValueError, match=r"CE046.*whitespace \('\\n\\n'\).*token.is_space"):
            full.substitutes(doc, i)
    with pytest.raises(ValueError, match="whitespace"):
        full.substitutes(make_doc([" "]), 0)


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_word_must_be_asked_for(full: Substitutes, n: int):
    with pytest.raises(ValueError, match=f"CE046.* n = {n} is too few.*Accepted: 1 or more"):
        full.substitutes(make_doc(SENTENCE), 0, n=n)


@pytest.mark.parametrize("name", [SOFTMAX, VOCAB])
def test_a_model_without_softmax_or_vocabulary(folders: Dict[str, Path], tmp_path: Path, name: str):
    shutil.copytree(folders["full"], tmp_path / "model")
    (tmp_path / "model" / name).unlink()

    with pytest.raises(ModelFormatError, match=f"CE045.*model holds no {name}.*Fix: name the folder model-best"):
        Substitutes(tmp_path / "model")


def test_a_softmax_that_is_cut_off(folders: Dict[str, Path], tmp_path: Path):
    shutil.copytree(folders["full"], tmp_path / "model")
    file = tmp_path / "model" / SOFTMAX
    file.write_bytes(file.read_bytes()[:-100])

    with pytest.raises(ModelFormatError, match=f"CE012.*{SOFTMAX}"):
        Substitutes(tmp_path / "model")


def test_a_model_that_is_nowhere():
    with pytest.raises(ModelNotFoundError, match="Substitutes: can't find the model name = 'nowhere/model-best'"):
        Substitutes("nowhere/model-best")
