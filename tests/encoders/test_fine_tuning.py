"""encoders/fine_tuning.py: learning rates by depth, blocks that thaw one by one, averages, mixed precision.

Here too: encoders/contextual/training.py.
"""

from __future__ import annotations

import gc
from typing import Any, Dict, Tuple

import numpy as np
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, Model

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from tests.writers.elmo import write_random_elmo

DOCS = [Doc(Vocab(), words=["the", "bank", "of", "the", "river"]), Doc(Vocab(), words=["dog"])]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def models(tiny_bert, tmp_path_factory) -> Dict[str, Any]:
    folder = write_random_elmo(tmp_path_factory.mktemp("elmo") / "model")
    bert = {"name": str(tiny_bert), "overlap": 8, "transformer_config": NO_DROPOUT}
    return {"bert": (make_bert_v1, bert), "elmo": (make_elmo_v1, {"name": str(folder)})}


def build(models: Dict[str, Any], family: str, **settings: Any) -> Model:
    make, config = models[family]
    model: Model = make(**{**config, "trainable": True, **settings})
    model.initialize(X=DOCS)
    return model


def step(model: Model, optimizer: Adam) -> Dict[str, float]:
    # One step up a random slope: how far each parameter went, on average over its values.
    module = model.shims[0].network().module
    before = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    rows, backprop = model.begin_update(DOCS)
    random = np.random.default_rng(0)
    backprop([random.normal(size=part.shape).astype("f") for part in rows])
    model.finish_update(optimizer)
    return {name: float((tensor.detach() - before[name]).abs().max()) for name, tensor in module.named_parameters()}


# A weight of each depth, from the top; Adam's first step is the learning rate for every value that has a gradient.
DEPTHS: Dict[str, Tuple[str, ...]] = {
    "bert": (
        "model.encoder.layer.1.output.dense.weight",
        "model.encoder.layer.0.output.dense.weight",
        "model.embeddings.word_embeddings.weight",
    ),
    "elmo": ("bilm.layers.1.weight", "bilm.layers.0.weight", "char_cnn.projection.weight"),
}


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_the_learning_rate_falls_by_the_decay_from_block_to_block(family, models):
    model = build(models, family, learn_rate_factor=0.5, layer_decay=0.1)
    moved = step(model, Adam(0.01, grad_clip=0.0, L2=0.0))
    assert [moved[name] for name in DEPTHS[family]] == pytest.approx([0.005, 0.0005, 0.00005], rel=0.05)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_by_default_all_learn_at_the_optimizers_rate(family, models):
    moved = step(build(models, family), Adam(0.01, grad_clip=0.0, L2=0.0))
    assert [moved[name] for name in DEPTHS[family]] == pytest.approx([0.01] * 3, rel=0.05)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_blocks_thaw_from_the_top(family, models):
    model = build(models, family, unfreeze_steps=2)
    optimizer = Adam(0.01, grad_clip=0.0, L2=0.0)
    moved = [step(model, optimizer) for _ in range(6)]
    learnt = [[by_name[name] > 0 for name in DEPTHS[family]] for by_name in moved]
    one, two, three = [True, False, False], [True, True, False], [True, True, True]
    assert learnt == [one, one, two, two, three, three]


def test_a_frozen_network_is_no_business_of_the_optimizer(models):
    model = build(models, "bert", trainable=False, layer_mix="scalar_mix")
    optimizer = Adam(0.01)
    moved = step(model, optimizer)
    assert set(moved.values()) == {0.0}
    assert {name for _, name in optimizer.mom1} == {"mix_weights", "mix_gamma"}


def test_averages_are_put_in_place_and_taken_away_again(models):
    model = build(models, "bert")
    optimizer = Adam(0.05, use_averages=True)
    for _ in range(3):
        step(model, optimizer)
    learnt = model.predict(DOCS)[0].copy()
    with model.use_params(optimizer.averages):
        averaged = model.predict(DOCS)[0].copy()
    assert np.abs(averaged - learnt).max() > 1e-3
    np.testing.assert_array_equal(model.predict(DOCS)[0], learnt)


def test_mixed_precision_keeps_float32_weights_and_gives_about_the_same_gradients(models):
    gradients = {}
    for precision in ("float32", "bfloat16"):
        model = build(models, "bert", precision=precision)
        rows, backprop = model.begin_update(DOCS)
        random = np.random.default_rng(0)
        backprop([random.normal(size=part.shape).astype("f") for part in rows])
        module = model.shims[0].network().module
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert rows[0].dtype == np.float32
        gradients[precision] = torch.cat([p.grad.reshape(-1) for p in module.parameters() if p.grad is not None])
    cosine = torch.nn.functional.cosine_similarity(gradients["float32"], gradients["bfloat16"], dim=0)
    assert cosine > 0.98
    assert not torch.equal(gradients["float32"], gradients["bfloat16"])


@pytest.mark.parametrize(
    ("key", "value"),
    [("learn_rate_factor", 0), ("layer_decay", 1.5), ("layer_decay", 0.0), ("unfreeze_steps", -1)],
)
@pytest.mark.parametrize("make", [make_bert_v1, make_elmo_v1])
def test_a_bad_setting_is_refused_when_built(make, key, value):
    with pytest.raises(ValueError, match=f"'{key}' is {value!r}.*Accepted: .*Fix:"):
        make(name="anything", **{key: value})


def test_steps_change_the_parameters_in_place_and_leave_nothing_behind(models):
    model = build(models, "bert")
    optimizer = Adam(0.01)
    step(model, optimizer)
    module = model.shims[0].network().module

    def n_tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    places, before = [parameter.data_ptr() for parameter in module.parameters()], n_tensors()
    for _ in range(5):
        step(model, optimizer)
    assert [parameter.data_ptr() for parameter in module.parameters()] == places
    assert n_tensors() <= before
