"""encoders/settings.py, and the settings.py of static/, elmo/ and bert/: checked once, and what layers depend on.

Here too: encoders/bert/settings.py, encoders/elmo/settings.py, encoders/static/settings.py.
"""

from dataclasses import FrozenInstanceError, fields
from inspect import signature

import pytest

from spacy_ctx_embed.encoders.allennlp.model import AllenNLPSettings, make_allennlp_elmo_v1
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.encoders.elmo.settings import ElmoSettings
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.static.model import make_static_vectors_v1
from spacy_ctx_embed.encoders.static.settings import StaticSettings

FAMILIES = {
    StaticSettings: make_static_vectors_v1,
    ElmoSettings: make_elmo_v1,
    AllenNLPSettings: make_allennlp_elmo_v1,
    BertSettings: make_bert_v1,
}
# What moves un-mixed layers, and so has a place in the cache's keys.
OF_LAYERS = {
    ElmoSettings: {"precision", "layer_norm", "window", "initial_state"},
    AllenNLPSettings: {"precision", "layer_norm", "window"},
    BertSettings: {"precision", "subword_pooling", "window", "overlap", "sentence_windows"}
    | {"tokenizer_config", "transformer_config"},
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_each_argument_of_the_architecture_is_a_setting(kind):
    make = FAMILIES[kind]
    settings = make(name="x").shims[0].settings
    assert type(settings) is kind
    arguments = signature(make).parameters
    assert arguments.keys() <= {item.name for item in fields(kind)}
    for name, argument in arguments.items():
        if name != "name":
            assert getattr(settings, name) == argument.default
    with pytest.raises(FrozenInstanceError):
        settings.name = "y"


@pytest.mark.parametrize("kind", FAMILIES)
def test_has_layers_tells_the_contextual_ones(kind):
    assert kind.has_layers == issubclass(kind, ContextualSettings)


@pytest.mark.parametrize("kind", OF_LAYERS)
def test_what_layers_depend_on(kind):
    assert FAMILIES[kind](name="x").shims[0].settings.of_layers().keys() == OF_LAYERS[kind]


@pytest.mark.parametrize("kind", [ElmoSettings, BertSettings])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", []),
        ("layer_mix", "median"),
        ("precision", "float64"),
        ("trainable", 1.5),
        ("max_batch_tokens", 0),
        ("learn_rate_factor", 0),
        ("layer_decay", 2),
        ("unfreeze_steps", -1),
    ],
)
def test_a_bad_value_names_architecture_key_and_value(kind, key, value):
    with pytest.raises(ValueError, match=rf"{kind.owner}.*{key}.*Accepted: .*Fix: "):
        FAMILIES[kind](name="x", **{key: value})


@pytest.mark.parametrize(("kind", "precision"), [(ElmoSettings, "int8"), (BertSettings, "float16")])
def test_precisions_that_cannot_be_trained(kind, precision):
    FAMILIES[kind](name="x", precision=precision)
    with pytest.raises(ValueError, match=r"precision.*where trainable = true"):
        FAMILIES[kind](name="x", precision=precision, trainable=True)
