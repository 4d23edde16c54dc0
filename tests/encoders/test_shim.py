"""encoders/shim.py: what a pickle of an encoder brings to another process."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, Model

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.encoders.shim import EncoderShim
from tests.writers.elmo import write_random_elmo

DOCS = [Doc(Vocab(), words=["the", "bank", "of", "the", "river"]), Doc(Vocab(), words=["dog"])]


@pytest.fixture(scope="module")
def make(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Model]:
    elmo = write_random_elmo(tmp_path_factory.mktemp("elmo") / "model")

    def make(family: str, **settings: Any) -> Model:
        if family == "elmo":
            model = make_elmo_v1(name=str(elmo), **settings)
        else:
            model = make_bert_v1(name=str(tiny_bert), overlap=8, **settings)
        model.predict(DOCS)
        return model

    return make


@pytest.mark.parametrize("family", ["elmo", "bert"])
@pytest.mark.parametrize("settings", [{}, {"trainable": True}, {"precision": "bfloat16"}])
def test_the_pickler_of_multiprocessing_gets_the_weights_and_no_file_descriptors(family, settings, make):
    shim = make(family, **settings).shims[0]
    weights = shim.network().module.state_dict().values()
    sent = bytes(ForkingPickler.dumps(shim))
    assert len(sent) > sum(weight.numel() * weight.element_size() for weight in weights)
    assert b"multiprocessing" not in sent


def _learn(model: Model) -> float:
    # One step, and how far the rows went.
    before = model.predict(DOCS)
    rows, backprop = model.begin_update(DOCS)
    backprop([np.ones_like(part) for part in rows])
    model.finish_update(Adam(0.01))
    return max(np.abs(one - other).max() for one, other in zip(before, model.predict(DOCS)))


@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_a_pickled_encoder_learns_alone(family, make):
    model = make(family, trainable=True, layer_mix="mean")
    twin = model.copy()
    twin.shims[0] = pickle.loads(pickle.dumps(model.shims[0]))
    before = model.predict(DOCS)
    assert _learn(twin) > 1e-3
    assert all(np.array_equal(one, other) for one, other in zip(before, model.predict(DOCS)))


def test_a_pickled_bert_knows_the_files_that_it_was_opened_from(make):
    shim: EncoderShim = make("bert").shims[0]
    other: EncoderShim = pickle.loads(pickle.dumps(shim))
    assert other.network().checksum == shim.network().checksum
