"""encoders/contextual/model.py: a saved mix and a config that says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from thinc.api import Adam

from tests.writers.elmo import write_random_elmo

TEXT = "the bank of the river"


@pytest.fixture(scope="module")
def elmo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_elmo(tmp_path_factory.mktemp("elmo") / "model")


def pipeline(elmo: Path, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(elmo), **settings}
    nlp.add_pipe("elmo_embeddings", name="elmo", config={"model": model})
    return nlp


@pytest.fixture(scope="module")
def saved(elmo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp, folder = pipeline(elmo), tmp_path_factory.mktemp("saved")
    nlp.initialize()
    model = nlp.get_pipe("elmo").model
    model.set_param("mix_weights", np.array([3, 0, -3], dtype=np.float32))
    model.set_param("mix_gamma", np.array([2], dtype=np.float32))
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def warm(elmo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp, folder = pipeline(elmo, initial_state="warm"), tmp_path_factory.mktemp("warm")
    nlp.initialize()
    nlp.to_disk(folder)
    return folder


def load(folder: Path, **settings: Any) -> Language:
    return spacy.load(folder, config={"components": {"elmo": {"model": settings}}})


@pytest.mark.parametrize("layer_mix", ["last", "mean", "sum", "concat"])
def test_a_saved_scalar_mix_gives_way_to_the_mix_that_the_config_names(layer_mix, elmo, saved):
    nlp, fresh = load(saved, layer_mix=layer_mix), pipeline(elmo, layer_mix=layer_mix)
    expected = fresh(TEXT)._.embeddings["elmo"]
    np.testing.assert_allclose(nlp(TEXT)._.embeddings["elmo"], expected, atol=1e-6)
    model = nlp.get_pipe("elmo").model
    assert model.get_dim("nO") == expected.shape[1]


def test_the_width_follows_the_mix_where_a_state_was_saved_as_well(warm):
    widths = [load(warm, layer_mix=mix)(TEXT)._.embeddings["elmo"].shape[1] for mix in ("mean", "concat")]
    assert widths == [12, 36]


def test_a_saved_scalar_mix_does_not_learn_where_another_mix_is_used(saved):
    model = load(saved, layer_mix="mean", trainable=True).get_pipe("elmo").model
    before = model.get_param("mix_weights").copy()
    rows, backprop = model.begin_update([spacy.blank("xx")(TEXT)])
    backprop([np.ones_like(part) for part in rows])
    model.finish_update(Adam(0.1))
    np.testing.assert_array_equal(model.get_param("mix_weights"), before)


def test_other_layers_than_a_saved_scalar_mix_is_of_are_refused_by_name(saved):
    nlp = load(saved, layers=[1, 2])
    message = r"CE001.*Elmo.v1: the setting 'layers' is \[1, 2\]. Accepted: 3 layers.*Fix: "
    with pytest.raises(ValueError, match=message):
        nlp(TEXT)
