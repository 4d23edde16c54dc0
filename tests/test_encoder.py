"""encoder.py: what an encoder offers is found on its model, and on nothing else."""

import copy
import pickle
from dataclasses import replace

from thinc.api import Linear, Model

from spacy_ctx_embed.data import TokenRows
from spacy_ctx_embed.encoder import Encoder, encoder_of, learns_nothing, no_gradient


def _forward(model, docs, is_train):
    return [], no_gradient


def _encode(model, docs):
    return []


def test_the_object_is_found_on_its_model_and_on_copies():
    model = Model("some", _forward, attrs=Encoder(_encode, settings={"a": 1}).attrs)
    for again in (model, model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        found = encoder_of(again)
        assert found is not None
        assert found.encode is _encode and found.learns is learns_nothing and found.settings == {"a": 1}
    assert encoder_of(Linear()) is None


def test_the_config_decides_and_not_what_was_saved():
    saved = Model("some", _forward, attrs=Encoder(_encode, settings="saved").attrs).to_bytes()
    model = Model("some", _forward, attrs=Encoder(_encode, settings="config").attrs).from_bytes(saved)
    assert encoder_of(model).settings == "config"


def test_another_encoder_can_be_put_in_its_place():
    model = Model("some", _forward, attrs=Encoder(_encode).attrs)
    model.attrs.update(replace(encoder_of(model), encode=TokenRows).attrs)
    assert encoder_of(model).encode is TokenRows
