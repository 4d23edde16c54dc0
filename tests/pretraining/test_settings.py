"""pretraining/settings.py: defaults, what each key accepts, and which keys must stay as they are on resume."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.pretraining.checkpoint import FIXED, first_difference
from spacy_ctx_embed.pretraining.settings import (
    LstmSettings,
    PretrainSettings,
    read_settings,
)

# Per key without its sections: what it accepts, and what it does not.
COUNT, COUNT_0, NUMBER = ([1, 7], [0, -1, 1.0, "1", True, None]), ([0, 7], [-1, 0.5, "0", False, None]), [-1, "1", True]
NOT_A_NAME = [1, None, "", "Adam", ["adamw"]]
VALUES = {
    "seed": COUNT_0,
    "max_epochs": ([3], COUNT_0[1]),
    "max_steps": COUNT_0,
    "batch_size": COUNT,
    "unroll_steps": COUNT,
    "vocab_size": ([4, 10], [3, 10.0, "10", None]),
    "reset_state": ([0, 0.5, 1, 1.0], [1.01, *NUMBER, None]),
    "dropout": ([0, 0.0, 0.9], [0.99, *NUMBER, float("nan"), None]),
    "grad_clip": ([0.1, 10], [0, float("inf"), *NUMBER, None]),
    "precision": (["float32", "bfloat16"], NOT_A_NAME),
    "init_from": ([None, "elmo-small", "a/b"], [1, "", ["a"]]),
    "mix": ([[], [1], [0.5, 2]], [None, 1, [0], [-1.0], ["1"], [True]]),
    "widen": ([False], [0, 1, "true", None, True]),  # true needs a model, as a test below has one
    "freeze_steps": ([0], [-1, 1.0, "1", True, None, 3]),  # 3 needs a model, as a test below has one
    "held_out": ([0.01, 0.5], [0, 1, *NUMBER, None]),
    "log_every": COUNT,
    "eval_every": COUNT,
    "eval_tokens": COUNT_0,
    "save_every": COUNT,
    "patience": COUNT_0,
    "char_cnn.embedding_dim": COUNT,
    "char_cnn.filters": (
        [[[1, 2]], [[1, 2], [3, 4]]],
        [None, [], [1, 2], [[1, 2, 3]], [[0, 2]], [[1.0, 2]], "[]", [[]]],
    ),
    "char_cnn.activation": (["relu", "tanh"], NOT_A_NAME),
    "char_cnn.n_highway": COUNT_0,
    "char_cnn.max_characters_per_token": ([7, 50], [2, 50.0, "50", None]),
    "lstm.dim": COUNT,
    "lstm.projection_dim": COUNT,
    "lstm.n_layers": COUNT,
    "lstm.cell_clip": ([None, 0, 3, 0.5], NUMBER),
    "lstm.proj_clip": ([None, 0, 3, 0.5], NUMBER),
    "lstm.use_skip_connections": ([True, False], [0, 1, "true", None]),
    "softmax.kind": (["sampled", "adaptive", "full"], NOT_A_NAME),
    "softmax.n_samples": COUNT,
    "softmax.cutoffs": ([[], [5], [5, 10]], [None, 5, [10, 5], [5, 5], [0], [1.5], ["5"]]),
    "softmax.div_value": ([1, 4.0], [0.5, *NUMBER, None]),
    "optimizer.kind": (["adagrad", "adamw", "muon"], NOT_A_NAME),
    "optimizer.learn_rate": ([1e-6, 1], [0, float("nan"), *NUMBER, None]),
    "optimizer.warmup_steps": COUNT_0,
    "optimizer.decay": (["none", "linear", "cosine"], NOT_A_NAME),
    "optimizer.initial_accumulator": ([0, 1.0], [*NUMBER, None]),
    "optimizer.betas": ([[0.9, 0.98], [0, 0]], [None, 0.9, [0.9], [0.9, 1], [0.9, -1], [0.9, "1"], [0.9, 0.9, 0.9]]),
    "optimizer.weight_decay": ([0, 0.1], [*NUMBER, None]),
}


def _flat(values, start=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{start}{key}.")
        else:
            yield start + key, value


def _section(key, value):
    name, _, inner = key.partition(".")
    return {name: {inner: value}} if inner else {name: value}


def test_the_defaults_are_those_of_bilm_tf():
    settings = read_settings({})
    assert settings == PretrainSettings()
    found = dict(_flat(asdict(settings)))
    published = {
        "max_epochs": 10,
        "batch_size": 128,
        "unroll_steps": 20,
        "dropout": 0.1,
        "grad_clip": 10.0,
        "reset_state": 0.0,
        "precision": "float32",
        "softmax.kind": "sampled",
        "softmax.n_samples": 8192,
        "optimizer.kind": "adagrad",
        "optimizer.learn_rate": 0.2,
        "optimizer.initial_accumulator": 1.0,
        "lstm.dim": 4096,
        "lstm.projection_dim": 512,
        "char_cnn.n_highway": 2,
    }
    assert published.items() <= found.items()


def test_every_key_is_tested_here():
    assert set(VALUES) == {key for key, _ in _flat(asdict(PretrainSettings()))}


@pytest.mark.parametrize("key", VALUES)
def test_a_key_takes_what_makes_sense(key):
    for value in VALUES[key][0]:
        assert dict(_flat(asdict(read_settings(_section(key, value)))))[key] == value


@pytest.mark.parametrize("key", VALUES)
def test_what_makes_no_sense_is_refused_by_the_name_of_its_key(key):
    for value in VALUES[key][1]:
        with pytest.raises(ValueError, match="CE001") as caught:
            read_settings(_section(key, value))
        assert f"'pretraining.{key}' is {value!r}" in str(caught.value)
        assert "Accepted: " in str(caught.value)


@pytest.mark.parametrize("key", ["max_step", "lstm.dims", "optimizer.lr", "adam.learn_rate"])
def test_an_unknown_key_is_named_beside_the_known_ones(key):
    with pytest.raises(ValueError, match="only the keys") as caught:
        read_settings(_section(key, 1))
    assert f"'pretraining.{key if key != 'adam.learn_rate' else 'adam'}'" in str(caught.value)


@pytest.mark.parametrize("name", ["char_cnn", "lstm", "softmax", "optimizer"])
def test_a_section_is_no_value(name):
    with pytest.raises(ValueError, match=f"'pretraining.{name}'.*a section"):
        read_settings({name: 3})


def test_only_a_network_of_a_model_can_wait_for_its_softmax():
    assert read_settings({"init_from": "elmo-small", "freeze_steps": 3}).freeze_steps == 3
    with pytest.raises(ValueError, match="freeze_steps.*init_from is null"):
        read_settings({"freeze_steps": 3})


def test_a_model_that_grows_has_the_sizes_asked_for_and_they_are_checked():
    section = {"init_from": "elmo-small", "widen": True}
    assert read_settings(section).widen
    with pytest.raises(ValueError, match="'pretraining.char_cnn.filters' is 60"):
        read_settings({**section, "char_cnn": {"filters": [[60, 2]]}})


def test_training_has_an_end():
    with pytest.raises(ValueError, match="'pretraining.max_epochs'.*never end"):
        read_settings({"max_epochs": 0, "max_steps": 0})
    assert read_settings({"max_epochs": 0, "max_steps": 5}).max_steps == 5


def test_filters_are_not_wider_than_a_word():
    section = {"max_characters_per_token": 5, "filters": [[5, 2], [6, 2]]}
    with pytest.raises(ValueError, match="'pretraining.char_cnn.filters' is 6.*which is 5"):
        read_settings({"char_cnn": section})


def test_the_last_cluster_of_an_adaptive_softmax_has_a_width():
    section = {"kind": "adaptive", "cutoffs": [10, 20, 30], "div_value": 2.0}
    with pytest.raises(ValueError, match=r"'pretraining.softmax.div_value' is 2\.0.*1 of 7"):
        read_settings({"softmax": section, "lstm": {"projection_dim": 7}})
    assert read_settings({"softmax": section, "lstm": {"projection_dim": 8}}).softmax.div_value == 2
    assert read_settings({"softmax": {**section, "kind": "full"}, "lstm": {"projection_dim": 7}})


def test_the_network_has_the_sizes_asked_for():
    section = {
        "char_cnn": {"embedding_dim": 3, "filters": [[1, 2], [2, 5]], "activation": "tanh", "n_highway": 0},
        "lstm": {"dim": 9, "projection_dim": 4, "n_layers": 3, "cell_clip": 0, "use_skip_connections": False},
    }
    network = read_settings(section).network()
    assert network.char_cnn is not None
    assert network.char_cnn.filters == ((1, 2), (2, 5))
    assert (network.char_cnn.embedding_dim, network.char_cnn.activation, network.char_cnn.n_highway) == (3, "tanh", 0)
    assert (network.char_cnn.max_chars, network.char_cnn.projection_dim) == (50, 4)
    assert (network.bilm.dim, network.bilm.projection_dim, network.bilm.n_layers) == (9, 4, 3)
    assert (network.bilm.cell_clip, network.bilm.proj_clip, network.bilm.use_skip_connections) == (None, 3.0, False)
    assert isinstance(network.alphabet, Utf8Bytes) and network.lexicon is None


@pytest.mark.parametrize("key", VALUES)
def test_what_must_stay_the_same_on_resume_is_named(key):
    settings = PretrainSettings()
    default = dict(_flat(asdict(settings)))[key]
    for value in VALUES[key][0]:
        changed = read_settings(_section(key, value))
        is_fixed = key.split(".")[0] in FIXED and value != default
        assert first_difference(settings, changed) == (f"pretraining.{key}" if is_fixed else None)
        assert first_difference(changed, changed) is None


def test_the_message_names_what_must_stay_the_same():
    assert [key for key in FIXED if key not in Errors.E044] == ["char_cnn", "lstm"]  # the "sizes"


def test_the_first_of_several_differences_is_named():
    changed = replace(PretrainSettings(), seed=1, lstm=LstmSettings(dim=3), max_steps=3)
    assert first_difference(PretrainSettings(), changed) == "pretraining.seed"


def test_learning_rate_and_length_may_change_on_resume():
    assert not {"optimizer", "max_epochs", "max_steps", "patience", "grad_clip", "save_every"} & set(FIXED)
    assert {"vocab_size", "lstm", "char_cnn", "softmax", "init_from", "seed"} <= set(FIXED)
