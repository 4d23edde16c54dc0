"""Rows from the GPU are those of the CPU, come back as NumPy arrays, and are still there when the model moves."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import spacy

from tests.gpu.encoders import (
    MIXES,
    NAME,
    TEXTS,
    assert_on_cpu,
    farthest,
    on_cpu,
    pipeline,
    rows,
    worst_cosine,
)

pytestmark = pytest.mark.gpu

CONTEXTUAL = [(family, mix) for family in ("elmo", "bert") for mix in MIXES]


def _device(nlp: spacy.Language) -> str:
    network = nlp.get_pipe(NAME).model.shims[0].network()
    return str(network.device.type)


@pytest.mark.parametrize(("family", "layer_mix"), CONTEXTUAL)
def test_each_mix_of_layers_has_the_rows_of_the_cpu(family, layer_mix):
    expected = rows(on_cpu(family, layer_mix=layer_mix).pipe(TEXTS))
    nlp = pipeline(family, layer_mix=layer_mix)
    docs = list(nlp.pipe(TEXTS))
    assert _device(nlp) == "cuda"
    assert farthest(rows(docs), expected) <= 1e-3
    assert farthest(rows(map(nlp, TEXTS)), expected) <= 1e-3  # Doc by Doc
    for doc in docs:
        assert_on_cpu(doc)


@pytest.mark.parametrize("subword_pooling", ["mean", "first", "last", "max", "sum"])
def test_each_pooling_of_pieces_has_the_rows_of_the_cpu(subword_pooling):
    settings = {"subword_pooling": subword_pooling, "max_batch_tokens": 64}  # a word's pieces in several passes too
    expected = rows(on_cpu("bert", **settings).pipe([*TEXTS, "x" * 700]))
    assert farthest(rows(pipeline("bert", **settings).pipe([*TEXTS, "x" * 700])), expected) <= 1e-3


@pytest.mark.parametrize("oov", ["zero", "mean"])
def test_static_rows_are_those_of_the_cpu(oov, tiny_static):
    settings = {"name": str(tiny_static), "oov": oov}
    expected = rows(on_cpu("static", **settings).pipe(TEXTS))
    docs = list(pipeline("static", **settings).pipe(TEXTS))
    assert farthest(rows(docs), expected) <= 1e-6
    for doc in docs:
        assert_on_cpu(doc)


@pytest.mark.parametrize("settings", [{"initial_state": "warm"}, {"stateful": True}, {"window": 16}])
def test_other_ways_to_run_elmo(settings):
    expected = rows(map(on_cpu("elmo", **settings), TEXTS))
    assert farthest(rows(map(pipeline("elmo", **settings), TEXTS)), expected) <= 1e-3


@pytest.mark.parametrize(("family", "precision"), [("bert", "bfloat16"), ("bert", "float16"), ("elmo", "bfloat16")])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision(family, precision, attention):
    settings = {"transformer_config": {"attn_implementation": attention}} if family == "bert" else {}
    if family == "elmo" and attention == "eager":
        pytest.skip("ELMo has no attention")
    expected = rows(on_cpu(family).pipe(TEXTS))
    found = rows(pipeline(family, precision=precision, **settings).pipe(TEXTS))
    assert all(part.dtype == np.float32 for part in found)
    assert worst_cosine(found, expected) >= 0.98


def test_eight_bits_are_for_the_cpu():
    with pytest.raises(ValueError, match=r"'?precision'?.*int8.*Accepted: .*Fix: "):
        pipeline("elmo", precision="int8")("the bank")


def test_spacys_own_combinations_run():
    nlp = pipeline("bert")
    nlp.add_pipe("elmo_embeddings")
    nlp.add_pipe("stacked_embeddings")
    doc = nlp(TEXTS[0])
    assert doc._.embeddings["stacked_embeddings"].shape == (len(doc), 384 + 320)
    assert_on_cpu(doc)


@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_a_cache_has_the_rows_that_were_computed(family):
    expected = rows(pipeline(family).pipe(TEXTS))
    nlp = pipeline(family, config={"cache_mb": 32})
    for _ in range(2):
        assert farthest(rows(nlp.pipe(TEXTS)), expected) <= 1e-4


@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_a_pipeline_goes_from_device_to_device(family, tmp_path):
    nlp = pipeline(family)
    expected = rows(nlp.pipe(TEXTS))
    nlp.to_disk(tmp_path)
    assert farthest(rows(spacy.load(tmp_path).pipe(TEXTS)), expected) <= 1e-4
    assert farthest(rows(pickle.loads(pickle.dumps(nlp)).pipe(TEXTS)), expected) <= 1e-4
    spacy.require_cpu()
    saved = spacy.load(tmp_path)
    assert farthest(rows(saved.pipe(TEXTS)), expected) <= 1e-3
    assert _device(saved) == "cpu"
    assert farthest(rows(nlp.pipe(TEXTS)), expected) <= 1e-4  # one that is on the GPU stays there
    assert _device(nlp) == "cuda"


@pytest.mark.parametrize("gpu", ["prefer", "require"])
def test_a_config_asks_for_the_gpu_by_itself(gpu):
    spacy.require_cpu()
    nlp = pipeline("bert", config={"gpu": gpu})
    assert nlp("the bank")[1]._.has_vector
    assert _device(nlp) == "cuda"
