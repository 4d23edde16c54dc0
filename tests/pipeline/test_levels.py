"""pipeline/levels.py: a setting on the wrong level is an error that says where it goes."""

from __future__ import annotations

import inspect
import warnings

import pytest
import spacy
from spacy import registry
from spacy.language import Language
from spacy.util import load_config_from_str

FACTORIES = ("static_embeddings", "elmo_embeddings", "bert_embeddings")
OWN = set(spacy.blank("xx").get_factory_meta("static_embeddings").default_config) - {"model"}


def _architecture(factory):
    return spacy.blank("xx").get_factory_meta(factory).default_config["model"]["@architectures"]


def _inner(architecture):
    return set(inspect.signature(registry.architectures.get(architecture)).parameters)


ENCODER_KEYS = [(factory, key) for factory in FACTORIES for key in sorted(_inner(_architecture(factory)) - OWN)]


@pytest.mark.parametrize(("factory", "key"), ENCODER_KEYS)
def test_a_setting_of_the_encoder_is_not_the_components(factory, key):
    nlp, config = spacy.blank("xx"), {key: "some-value"}
    with pytest.raises(ValueError, match=r"CE006") as error:
        nlp.add_pipe(factory, config=config)
    message = str(error.value)
    assert f"config={{\"model\": {{'{key}': 'some-value'}}}}" in message and f"[components.{factory}.model]" in message
    assert config == {key: "some-value"} and nlp.pipe_names == []


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("key", sorted(OWN))
def test_a_setting_of_the_component_is_not_the_encoders(factory, key):
    with pytest.raises(ValueError, match=r"CE006.*belongs to the component") as error:
        spacy.blank("xx").add_pipe(factory, "mine", config={"model": {key: 1}})
    assert f"config={{'{key}': 1}}" in str(error.value) and "[components.mine]" in str(error.value)


@pytest.mark.parametrize("factory", FACTORIES)
def test_config_files_likewise(factory):
    text = f"""
        [nlp]
        lang = "en"
        pipeline = ["mine"]
        [components]
        [components.mine]
        factory = "{factory}"
        name = "some-model"
    """
    with pytest.raises(ValueError, match=r"CE006.*\[components\.mine\.model\]"):
        spacy.util.load_model_from_config(load_config_from_str(text), auto_fill=True)


def test_keys_of_the_architecture_that_the_config_names():
    config = {"bert_lr": 1, "window": 8, "model": {"@architectures": "spacy_ctx_embed.Elmo.v1"}}
    with pytest.raises(ValueError, match=r"'window', here 8, belongs to the encoder, spacy_ctx_embed.Elmo.v1"):
        spacy.blank("xx").add_pipe("bert_embeddings", config=config)


def test_replace_pipe_and_a_subclass_of_language(make_nlp):
    class Mine(Language):
        pass

    with pytest.raises(ValueError, match="CE006"):
        Mine().add_pipe("bert_embeddings", config={"name": "x"})
    nlp = make_nlp("static")
    with pytest.raises(ValueError, match="CE006"):
        nlp.replace_pipe("static_embeddings", "static_embeddings", config={"name": "x"})


def test_unknown_keys_and_models_stay_spacys_errors():
    for config in ({"no_such_key": 1}, {"model": {"no_such_key": 1}}, {"model": {"@architectures": "none.v1"}}):
        with pytest.raises(ValueError, match="no_such_key|none.v1") as error:
            spacy.blank("xx").add_pipe("bert_embeddings", config=config)
        assert "CE006" not in str(error.value)


def test_other_components_are_left_alone():
    nlp = spacy.blank("xx")
    with pytest.warns(UserWarning, match="W119"):
        nlp.add_pipe("sentencizer", config={"name": "x"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nlp.add_pipe("stacked_embeddings", "second", first=True, config={"sources": ["a"]}).name == "second"
    assert list(inspect.signature(Language.add_pipe).parameters)[:3] == ["self", "factory_name", "name"]
