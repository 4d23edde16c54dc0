"""Registered names: found by spaCy, and pinned here so that none changes unnoticed."""

from importlib.metadata import entry_points

import pytest
import spacy

FACTORIES = {"static_embeddings", "elmo_embeddings", "bert_embeddings", "stacked_embeddings"}
ARCHITECTURES = {
    "spacy_ctx_embed.StaticVectors.v1",
    "spacy_ctx_embed.Elmo.v1",
    "spacy_ctx_embed.AllenNLPElmo.v1",
    "spacy_ctx_embed.Bert.v1",
}
TRAINING_ARCHITECTURES = {
    "spacy_ctx_embed.EmbeddingListener.v1",
    "spacy_ctx_embed.StackedTok2Vec.v1",
    "spacy_ctx_embed.TransformerOutput.v1",
}
COMMANDS = {"embed"}
DEFAULTS = {
    "doc_pooling": "mean",
    "set_hooks": True,
    "dtype": "float32",
    "gpu": "follow",
    "gpu_id": 0,
    "cache_mb": 0,
    "cache_dir": None,
    "correction": None,
    "serialize": "weights",
}


def _declared(group):
    return {e.name for e in entry_points(group=group) if e.value.startswith("spacy_ctx_embed.")}


def test_the_entry_points_are_these():
    assert _declared("spacy_factories") == FACTORIES
    assert _declared("spacy_architectures") == ARCHITECTURES | TRAINING_ARCHITECTURES
    assert _declared("spacy_cli") == COMMANDS


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_each_factory_is_found_and_has_the_contracts_defaults(name):
    nlp = spacy.blank("en")
    nlp.add_pipe(name)
    config = nlp.get_pipe_config(name)
    assert {key: config[key] for key in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_each_architecture_resolves_without_opening_a_file(name):
    make = spacy.registry.architectures.get(name)
    assert make(name="no-such-model").name == name


@pytest.mark.parametrize("name", sorted(TRAINING_ARCHITECTURES))
def test_each_architecture_for_training_is_found(name):
    assert callable(spacy.registry.architectures.get(name))


def test_the_default_models_are_those_of_the_contract():
    names = {}
    for name in sorted(FACTORIES - {"stacked_embeddings"}):
        nlp = spacy.blank("en")
        nlp.add_pipe(name)
        names[name] = nlp.get_pipe_config(name)["model"]["name"]
    assert names == {
        "static_embeddings": "glove-6b-50d",
        "elmo_embeddings": "elmo-mini",
        "bert_embeddings": "all-minilm-l6-v2",
    }
