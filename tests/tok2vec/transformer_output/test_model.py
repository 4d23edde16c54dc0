"""tok2vec/transformer_output: rows and gradients against the networks run alone and the packages' own listeners.

For a ``curated_transformer`` and, where it is installed, a ``transformer`` of spacy-transformers: the environment of
``make test-transformers`` has both.
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import NumpyOps, reduce_mean
from thinc.types import Ragged

from spacy_ctx_embed.tok2vec.transformer_output import listener as transformer_output_listener
from spacy_ctx_embed.tok2vec.transformer_output.model import make_transformer_output_v1
from tests.conftest import WORDS

NAME = "spacy_ctx_embed.TransformerOutput.v1"
HAS_TRANSFORMERS = importlib.util.find_spec("spacy_transformers") is not None
HAS_CURATED = importlib.util.find_spec("spacy_curated_transformers") is not None
needs_transformers = pytest.mark.skipif(
    not HAS_TRANSFORMERS, reason="spacy-transformers is not installed (make test-transformers)"
)
needs_curated = pytest.mark.skipif(not HAS_CURATED, reason="spacy-curated-transformers is not installed")
both_kinds = pytest.mark.parametrize(
    "kind", [pytest.param("curated", marks=needs_curated), pytest.param("transformers", marks=needs_transformers)]
)
TEXTS = ["the dog runs unbelievably", "we sat  \n over the bank", "", " \n ", "the river bank runs over the tree"]
POOLINGS = {
    "mean": lambda x: x.mean(0),
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "max": lambda x: x.max(0).values,
    "sum": lambda x: x.sum(0),
}
MIXES = {
    "last": lambda x: x[-1],
    "mean": lambda x: x.mean(0),
    "sum": lambda x: x.sum(0),
    "concat": lambda x: torch.cat(list(x), dim=1),
    "scalar_mix": lambda x: x.mean(0),  # before it has learnt
}


@pytest.fixture(autouse=True)
def trainable_with_numpy_2_4(monkeypatch):
    # spacy-curated-transformers 0.3.1 calls float() on an array of one axis, which NumPy 2.4 refuses.
    if HAS_CURATED:
        from spacy_curated_transformers.pipeline import transformer

        monkeypatch.setattr(transformer, "float", lambda array: np.asarray(array).item(), raising=False)


def _add_curated(nlp, window, all_layers, frozen=False):
    from curated_tokenizers import WordPieceProcessor

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [*dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{c}" for c in letters)])]
    torch.manual_seed(0)
    model = {
        "@architectures": "spacy-curated-transformers.BertTransformer.v1",
        "vocab_size": len(pieces),
        "hidden_width": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_width": 32,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "piece_encoder": {"@architectures": "spacy-curated-transformers.BertWordpieceEncoder.v1"},
        "with_spans": {
            "@architectures": "spacy-curated-transformers.WithStridedSpans.v1",
            "stride": window - window // 4,
            "window": window,
        },
    }
    config = {"model": model, "all_layer_outputs": all_layers, "frozen": frozen}
    component = nlp.add_pipe("curated_transformer", name="trf", config=config)
    encoder = component.model.get_ref("piece_encoder")
    encoder.attrs.update(wordpiece_processor=WordPieceProcessor(pieces), lowercase=True)
    return component


def _add_transformers(nlp, folder, window, all_layers):
    transformer_config = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if all_layers:
        transformer_config["output_hidden_states"] = True
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": str(folder),
        "tokenizer_config": {"use_fast": True},
        "transformer_config": transformer_config,
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": window,
            "stride": window - window // 4,
        },
    }
    return nlp.add_pipe("transformer", name="trf", config={"model": model})


@pytest.fixture(scope="module")
def make_upstream(tiny_bert):
    def make(kind, window=48, all_layers=False):
        nlp = spacy.blank("en")
        if kind == "curated":
            _add_curated(nlp, window, all_layers)
        else:
            _add_transformers(nlp, tiny_bert, window, all_layers)
        return nlp

    return make


@pytest.fixture(scope="module")
def initialized(make_upstream):
    # Pipelines for the tests that train nothing, so that each is made once.
    found = {}

    def find(kind, all_layers=False):
        if (kind, all_layers) not in found:
            found[kind, all_layers] = _initialized(make_upstream(kind, all_layers=all_layers))
        return found[kind, all_layers]

    return find


def _slot(kind, **settings):
    # spacy-transformers tells the listeners in a tok2vec slot their width.
    given = {"width": 16} if kind == "curated" else {}
    return {"@architectures": NAME, "upstream": "trf", **given, **settings}


def _tagger(kind, **settings):
    return {"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": _slot(kind, **settings)}}


def _embedding(**settings):
    return {"model": {"@architectures": NAME, "upstream": "trf", "width": 16, **settings}}


def _examples(nlp, texts=TEXTS):
    docs = [nlp.make_doc(text) for text in texts]
    return [Example.from_dict(doc, {"tags": ["X" if len(t) > 3 else "Y" for t in doc]}) for doc in docs]


def _module(nlp):
    model = nlp.get_pipe("trf").model
    return model.transformer if hasattr(model, "transformer") else model.get_ref("transformer").shims[0]._model


def _initialized(nlp):
    nlp.get_pipe("trf").initialize(lambda: _examples(nlp), nlp=nlp)
    return nlp


def _by_hand(nlp, doc):
    # The network run on its own: for each token its pieces, a (n_layers, n_pieces, width) tensor with a graph.
    component = nlp.get_pipe("trf")
    if hasattr(component.model, "transformer"):
        encoded = component.model.tokenizer(doc.text, return_offsets_mapping=True, return_tensors="pt")
        offsets = encoded.pop("offset_mapping")[0].tolist()
        layers = torch.stack(component.model.transformer(**encoded, output_hidden_states=True).hidden_states)[:, 0]
        overlaps = [[s < e and s < t.idx + len(t) and t.idx < e for s, e in offsets] for t in doc]
        return [layers[:, np.flatnonzero(row)] for row in overlaps]
    (ids,) = component.model.get_ref("piece_encoder").predict([doc])
    layers = torch.stack(_module(nlp)(torch.from_numpy(ids.dataXd)[None].long()).all_outputs)[:, 0, 1:-1]
    return list(layers.split(ids.lengths[1:-1].tolist(), dim=1))


def _rows_by_hand(nlp, doc, pooling="mean", layers=(-1,), layer_mix="last"):
    rows = []
    for token, pieces in zip(doc, _by_hand(nlp, doc)):
        chosen = pieces[list(layers)]
        width = 16 * (len(layers) if layer_mix == "concat" else 1)
        if token.is_space or pieces.shape[1] == 0:
            rows.append(torch.zeros(width))
        else:
            rows.append(MIXES[layer_mix](torch.stack([POOLINGS[pooling](layer) for layer in chosen])[:, None])[0])
    return torch.stack(rows) if rows else torch.zeros((0, 16))


def _encoder(**settings):
    return make_transformer_output_v1(**{"upstream": "trf", **settings})


def _send(nlp, encoders, docs, sink):
    # What an upstream does in training, with a backward pass that keeps what it is given.
    outputs, _ = nlp.get_pipe("trf").model.begin_update(docs)
    for encoder in encoders:
        if hasattr(outputs, "doc_data"):
            batch_id = sum(token.orth for doc in docs for token in doc)
            encoder.layers[0].receive(batch_id, outputs.doc_data, sink)
        else:
            _send_curated(encoder, outputs, docs, sink)
    return outputs


def _send_curated(encoder, outputs, docs, sink=lambda *args, **kwargs: None):
    from spacy_curated_transformers.models.listeners import ListenerStateUtils

    batch_id = sum(token.orth for doc in docs for token in doc)
    node = encoder if ListenerStateUtils.is_listener(encoder) else encoder.layers[0]
    ListenerStateUtils.receive(node, batch_id, outputs, sink)


def _random_gradient(rows):
    random = np.random.default_rng(0)
    return [random.normal(size=part.shape).astype("f") for part in rows]


# rows


@both_kinds
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_rows_are_the_pooled_pieces_of_the_network_alone(kind, pooling, initialized):
    nlp = initialized(kind)
    docs = list(nlp.pipe(TEXTS))
    for doc, rows in zip(docs, _encoder(subword_pooling=pooling).predict(docs)):
        np.testing.assert_allclose(rows, _rows_by_hand(nlp, doc, pooling).detach().numpy(), atol=1e-5)


@both_kinds
@pytest.mark.parametrize("layer_mix", ["mean", "sum", "concat", "scalar_mix", "last"])
@pytest.mark.parametrize("layers", ["all", [0, -1], [1]])
def test_layers_are_mixed_as_asked(kind, layer_mix, layers, initialized):
    nlp = initialized(kind, all_layers=True)
    docs = list(nlp.pipe(TEXTS))
    numbers = [0, 1, 2] if layers == "all" else layers
    for doc, rows in zip(docs, _encoder(layers=layers, layer_mix=layer_mix).predict(docs)):
        if len(doc):
            expected = _rows_by_hand(nlp, doc, layers=numbers, layer_mix=layer_mix)
            np.testing.assert_allclose(rows, expected.detach().numpy(), atol=1e-5)


@needs_transformers
def test_overlapping_windows_count_as_for_the_listener_of_spacy_transformers(make_upstream):
    nlp = _initialized(make_upstream("transformers", window=4))
    own = _own_transformers_listener()
    docs = list(nlp.pipe(["the dog runs unbelievably over the bank and a tree", "I sat", ""]))
    assert len(docs[0]._.trf_data.wordpieces) > 1
    for ours, theirs in zip(_encoder().predict(docs)[:2], own.predict(docs)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@both_kinds
def test_a_tagger_an_embedding_component_and_the_upstream_share_one_forward_pass(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.add_pipe("bert_embeddings", config=_embedding())
    nlp.initialize(lambda: _examples(nlp))
    calls = []
    _module(nlp).register_forward_hook(lambda *args: calls.append(1))
    doc = nlp("the dog runs")
    assert len(calls) == 1
    np.testing.assert_allclose(doc[1]._.vector, _rows_by_hand(nlp, doc)[1].detach().numpy(), atol=1e-5)


@both_kinds
def test_an_embedding_component_serves_the_rows_and_says_which_have_none(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("bert_embeddings", config=_embedding())
    _initialized(nlp)
    assert nlp("")._.embeddings["bert_embeddings"].shape == (0, 16)
    doc = nlp("the  bank \x00")
    assert [token._.vector_status for token in doc][:3] == ["ok", "space", "ok"]
    assert not doc[1]._.vector.any() and not doc[1]._.has_vector and doc[0]._.has_vector
    assert [token._.vector_status for token in nlp(" \n ")] == ["space"]


# gradients


def _own_transformers_listener():
    from spacy_transformers.architectures import transformer_listener_tok2vec_v1

    model = transformer_listener_tok2vec_v1(reduce_mean(), 0.5, "trf")
    model.layers[0].set_dim("nO", 16)
    return model


@needs_transformers
@pytest.mark.parametrize("window", [48, 4])
def test_rows_and_gradient_are_those_of_the_listener_of_spacy_transformers(window, make_upstream):
    nlp = _initialized(make_upstream("transformers", window=window))
    docs = [nlp.make_doc(text) for text in ("the dog runs unbelievably", "", "over the river bank we sat and I don't")]
    given = []
    encoders = [_own_transformers_listener(), _encoder(grad_factor=0.5)]
    _send(nlp, encoders, docs, given.append)
    results = [encoder.begin_update(docs) for encoder in encoders]
    for theirs, ours in zip(results[0][0], results[1][0]):
        if len(ours):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for _, backprop in results:
        backprop(_random_gradient([np.zeros((len(doc), 16)) for doc in docs]))
    assert len(given[0]) == len(given[1]) == 2
    for theirs, ours in zip(*given):
        assert [t.shape for t in ours.tensors] == [t.shape for t in theirs.tensors]
        np.testing.assert_allclose(ours.tensors[0], theirs.tensors[0], atol=1e-6)


@needs_curated
def test_rows_and_gradient_are_those_of_the_listener_of_curated_transformers(make_upstream):
    from spacy_curated_transformers.models.listeners import build_last_transformer_layer_listener_v1

    nlp = _initialized(make_upstream("curated", window=8))
    docs = [nlp.make_doc(text) for text in TEXTS]
    given = []
    own = build_last_transformer_layer_listener_v1(16, reduce_mean(), "trf", 0.5)
    encoders = [own, _encoder(grad_factor=0.5)]
    _send(nlp, encoders, docs, lambda gradient, outputs_to_backprop: given.append((gradient, outputs_to_backprop)))
    for encoder in encoders:
        rows, backprop = encoder.begin_update(docs)
        given.append(rows)
        backprop(_random_gradient(rows))
    (rows, (theirs, _), our_rows, (ours, numbers)) = given
    assert numbers == (0,)  # the last layer is the only one
    for a, b, c, d in zip(rows, our_rows, theirs, ours):
        np.testing.assert_allclose(b, a, atol=1e-6)
        np.testing.assert_allclose(d[0].dataXd, c[0].dataXd, atol=1e-6)
        assert d[0].lengths.tolist() == c[0].lengths.tolist()


@needs_curated
@pytest.mark.parametrize("layer_mix", list(MIXES))
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_gradients_are_those_of_finite_differences(pooling, layer_mix, initialized):
    nlp = initialized("curated", all_layers=True)
    docs = [nlp.make_doc(text) for text in ("unbelievable  bank", "", "dog")]
    encoder = _encoder(subword_pooling=pooling, layers=[0, 2, -3], layer_mix=layer_mix)
    given = []
    outputs = _send(nlp, [encoder], docs, lambda gradient, outputs_to_backprop: given.append(gradient))
    rows, backprop = encoder.begin_update(docs)
    d_rows = _random_gradient(rows)
    backprop(d_rows)
    if layer_mix == "scalar_mix":
        encoder.set_param("mix_weights", NumpyOps().asarray1f([0.3, -0.5, 0.1]))
        encoder.set_param("mix_gamma", NumpyOps().asarray1f([1.5]))
        _send_curated(encoder, outputs, docs, lambda gradient, outputs_to_backprop: given.append(gradient))
        encoder.begin_update(docs)[1](d_rows)

    def loss():
        _send_curated(encoder, outputs, docs)
        return sum(float((a * b).sum()) for a, b in zip(encoder.begin_update(docs)[0], d_rows))

    def slope(array, place, step=0.05):
        before = array[place]
        found = []
        for sign in (1, -1):
            array[place] = before + sign * step
            found.append(loss())
        array[place] = before
        return (found[0] - found[1]) / (2 * step)

    for i, layer, place in [(0, 0, (0, 3)), (0, 2, (2, 0)), (0, 0, (3, 7)), (2, 2, (0, 5)), (2, 0, (0, 1))]:
        d_layer = given[-1][i][layer]
        expected = slope(outputs.all_outputs[i][layer].dataXd, place)
        assert (0.0 if d_layer is None else d_layer.dataXd[place]) == pytest.approx(expected, abs=2e-3)
    if layer_mix == "scalar_mix":
        encoder.set_grad("mix_weights", encoder.get_grad("mix_weights") * 0)
        encoder.set_grad("mix_gamma", encoder.get_grad("mix_gamma") * 0)
        _send_curated(encoder, outputs, docs)
        encoder.begin_update(docs)[1](d_rows)
        for name, n in (("mix_weights", 3), ("mix_gamma", 1)):
            found = [slope(encoder.get_param(name), k) for k in range(n)]
            np.testing.assert_allclose(encoder.get_grad(name), found, atol=5e-3)


@both_kinds
def test_the_weights_of_the_upstream_get_the_gradient_of_plain_pytorch(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind, grad_factor=0.5))
    nlp.initialize(lambda: _examples(nlp))
    examples = _examples(nlp)
    docs = [example.predicted for example in examples]
    nlp.get_pipe("trf").update(examples)
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update(docs)
    d_rows = _random_gradient(rows)
    backprop(d_rows)
    found = {name: weight.grad.clone() for name, weight in _module(nlp).named_parameters() if weight.grad is not None}
    assert len(found) > 10
    _module(nlp).zero_grad()
    sum((_rows_by_hand(nlp, doc) * torch.from_numpy(d)).sum() for doc, d in zip(docs, d_rows) if len(doc)).backward()
    for name, weight in _module(nlp).named_parameters():
        if name in found:
            np.testing.assert_allclose(found[name], 0.5 * weight.grad, atol=1e-4, err_msg=name)


# training


@both_kinds
@pytest.mark.parametrize("factory", ["tagger", "ner"])
def test_training_lowers_the_loss_and_changes_the_upstream(kind, factory, make_upstream):
    nlp = make_upstream(kind)
    tok2vec = _slot(kind)
    if factory == "tagger":
        nlp.add_pipe("tagger", config=_tagger(kind))
        examples = _examples(nlp)
    else:
        parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "hidden_width": 16}
        parser |= {"extra_state_tokens": False, "maxout_pieces": 2, "use_upper": False, "tok2vec": tok2vec}
        nlp.add_pipe("ner", config={"model": parser})
        docs = [nlp.make_doc("the dog runs over new york"), nlp.make_doc("we sat in new york")]
        examples = [Example.from_dict(doc, {"entities": [(doc[-2].idx, len(doc.text), "GPE")]}) for doc in docs]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    before = {name: weight.clone() for name, weight in _module(nlp).state_dict().items()}
    losses = []
    for _ in range(8):
        losses.append({})
        nlp.update(examples, sgd=optimizer, losses=losses[-1])
    assert losses[-1][factory] < losses[0][factory]
    after = _module(nlp).state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_all_listeners_of_an_upstream_add_to_its_gradient(kind, make_upstream):
    found = []
    for names in (["one"], ["two"], ["one", "two"]):
        torch.manual_seed(0)
        nlp = make_upstream(kind)
        for name in names:
            nlp.add_pipe("tagger", name=name, config=_tagger(kind))
        examples = _examples(nlp)
        nlp.initialize(partial(list, examples))
        docs = [example.predicted for example in examples]
        nlp.get_pipe("trf").update(examples)
        for name in names:
            rows, backprop = nlp.get_pipe(name).model.layers[0].begin_update(docs)
            factor = 1.0 if name == "one" else 2.0
            backprop([part * np.float32(factor) for part in _random_gradient(rows)])
        found.append({name: w.grad.clone() for name, w in _module(nlp).named_parameters() if w.grad is not None})
    for name in found[0]:
        np.testing.assert_allclose(found[0][name] + found[1][name], found[2][name], atol=1e-4)


@both_kinds
def test_a_frozen_upstream_that_annotates_is_read_and_not_changed(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    examples = _examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = {name: weight.clone() for name, weight in _module(nlp).state_dict().items()}
    losses = []
    for _ in range(5):
        losses.append({})
        nlp.update(examples, sgd=optimizer, losses=losses[-1], exclude=["trf"], annotates=["trf"])
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    after = _module(nlp).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_grad_factor_zero_trains_the_component_and_not_the_upstream(kind, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=_tagger(kind, grad_factor=0, layer_mix="scalar_mix"))
    examples = _examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.get_pipe("trf").update(examples)
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update([example.predicted for example in examples])
    backprop(_random_gradient(rows))
    assert encoder.get_grad("mix_weights").any()
    assert not any(w.grad.any() for w in _module(nlp).parameters() if w.grad is not None)


@needs_curated
def test_all_layers_of_a_curated_transformer_are_trained(make_upstream):
    nlp = make_upstream("curated", all_layers=True)
    nlp.add_pipe("tagger", config=_tagger("curated", layers=[0], layer_mix="mean"))
    examples = _examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.get_pipe("trf").update(examples)
    rows, backprop = nlp.get_pipe("tagger").model.layers[0].begin_update([example.predicted for example in examples])
    backprop(_random_gradient(rows))
    grads = {name: w.grad for name, w in _module(nlp).named_parameters() if w.grad is not None}
    assert all(grad.any() == ("embeddings" in name) for name, grad in grads.items() if name.endswith("weight"))


@both_kinds
def test_an_embedding_component_at_the_end_does_not_keep_the_upstream_from_learning(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.add_pipe("bert_embeddings", config=_embedding())
    examples = _examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = {name: weight.clone() for name, weight in _module(nlp).state_dict().items()}
    for _ in range(2):  # the first leaves the tagger's weights at zero no more
        nlp.update(examples, sgd=optimizer)
    after = _module(nlp).state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_a_batch_of_empty_docs_only_is_trained_on_without_an_error(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.initialize(lambda: _examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update([nlp.make_doc(""), nlp.make_doc("")])
    assert [part.shape for part in rows] == [(0, 16), (0, 16)]
    backprop(rows)


# width, saving


@both_kinds
@pytest.mark.parametrize(
    ("settings", "width"),
    [({}, 16), ({"layer_mix": "mean"}, 16), ({"layer_mix": "concat", "layers": [0, 1]}, 32)],
)
def test_the_width_is_known_when_the_pipeline_is_initialised(kind, settings, width, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=_tagger(kind, **settings))
    nlp.initialize(lambda: _examples(nlp))
    assert nlp.get_pipe("tagger").model.layers[0].get_dim("nO") == width


@both_kinds
@pytest.mark.parametrize(("layers", "n_weights"), [([0, -1], 2), ("all", None)])
def test_a_scalar_mix_has_its_weights_as_soon_as_the_number_of_layers_is_known(kind, layers, n_weights, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=_tagger(kind, layer_mix="scalar_mix", layers=layers))
    nlp.initialize(lambda: _examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    assert (encoder.get_param("mix_weights").shape[0] if encoder.has_param("mix_weights") else None) == n_weights
    nlp("the bank")
    assert encoder.get_param("mix_weights").shape == (n_weights or 3,)


@both_kinds
def test_concatenating_all_layers_is_refused_at_initialisation(kind, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=_tagger(kind, layer_mix="concat"))
    with pytest.raises(ValueError, match="CE071.*Fix: name the layers as a list"):
        nlp.initialize(lambda: _examples(nlp))


@both_kinds
def test_a_width_that_is_not_that_of_the_upstream_is_refused(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind, width=17))

    def first_doc():
        nlp.initialize(lambda: _examples(nlp))  # a transformer tells its width here, a curated one with its first rows
        nlp("the bank")

    with pytest.raises(ValueError, match="CE072.*16 columns.*17.*set width = 16"):
        first_doc()


@needs_transformers
def test_a_component_without_width_is_named_at_initialisation(make_upstream):
    nlp = make_upstream("transformers")
    nlp.add_pipe("bert_embeddings", config=_embedding(width=None))
    with pytest.raises(ValueError, match="CE071.*width is null.*Fix: set width"):
        nlp.initialize(lambda: _examples(nlp))


@both_kinds
def test_a_saved_pipeline_gives_the_same_rows(kind, make_upstream, tmp_path):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=_tagger(kind, layer_mix="scalar_mix", grad_factor=0))
    nlp.add_pipe("bert_embeddings", config=_embedding(layer_mix="scalar_mix"))
    examples = _examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    encoder = loaded.get_pipe("tagger").model.layers[0]
    assert encoder.get_dim("nO") == 16
    assert encoder.get_param("mix_weights").any()
    for text in TEXTS:
        docs = [nlp(text), loaded(text)]
        rows = [p.get_pipe("tagger").model.layers[0].predict([d])[0] for p, d in zip((nlp, loaded), docs)]
        assert np.array_equal(*rows)
        assert np.array_equal(*(doc._.embeddings["bert_embeddings"] for doc in docs))
    assert encoder.layers[0] in loaded.get_pipe("trf").listeners


@both_kinds
def test_a_doc_that_was_saved_gives_the_same_rows(kind, initialized):
    nlp = initialized(kind)
    doc = nlp(TEXTS[0])
    twin = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert np.array_equal(_encoder().predict([twin])[0], _encoder().predict([doc])[0])


@both_kinds
def test_an_encoder_can_be_pickled(kind, initialized):
    nlp = initialized(kind)
    docs = list(nlp.pipe(TEXTS))
    encoder = _encoder()
    rows = encoder.predict(docs)
    twin = pickle.loads(pickle.dumps(encoder))
    assert all(np.array_equal(a, b) for a, b in zip(twin.predict(docs), rows))


# mistakes


@both_kinds
def test_docs_that_the_upstream_did_not_see_are_an_error_that_names_it(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.initialize(lambda: _examples(nlp))
    with nlp.select_pipes(disable=["trf"]), pytest.raises(ValueError, match="CE070.*upstream = 'trf'.*Fix: put 'trf'"):
        nlp("other words")
    with pytest.raises(ValueError, match="CE070.*sent no batch.*annotating_components"):
        nlp.update(_examples(nlp), exclude=["trf"])


@both_kinds
def test_samples_of_the_initialisation_have_zero_rows_until_the_upstream_has_run(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.initialize(lambda: _examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    assert not encoder.predict([nlp.make_doc(TEXTS[0])])[0].any()
    nlp("the bank")
    with pytest.raises(ValueError, match="CE070"):
        encoder.predict([nlp.make_doc(TEXTS[0])])


@both_kinds
def test_an_upstream_that_is_not_there_is_named_at_initialisation(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind, upstream="tfr", width=None))
    with pytest.raises(ValueError, match="CE071.*'tfr'.*Fix: set width"):
        nlp.initialize(lambda: _examples(nlp))


@both_kinds
def test_an_upstream_that_is_not_there_is_named_in_the_first_step(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind, upstream="tfr", width=16))
    nlp.initialize(lambda: _examples(nlp))
    with pytest.raises(ValueError, match="CE070.*'tfr'.*sent no batch"):
        nlp.update(_examples(nlp))


@both_kinds
def test_a_batch_in_another_order_is_refused(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind))
    nlp.initialize(lambda: _examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    examples = _examples(nlp, ["the dog runs", "we sat"])
    docs = [example.predicted for example in examples]
    for wrong, reason in ((docs[::-1], "aligned to 3 tokens, the Doc has 2"), (docs[:1], "a batch of 2 Docs")):
        nlp.get_pipe("trf").update(examples)
        with pytest.raises(ValueError, match=f"CE072.*{reason}"):
            encoder.begin_update(wrong)
    nlp.get_pipe("trf").update(examples)
    with pytest.raises(ValueError, match="CE072.*other words"):
        encoder.begin_update([nlp.make_doc("the dog barks"), docs[1]])


@both_kinds
def test_tokens_merged_after_the_upstream_ran_are_refused(kind, initialized):
    nlp = initialized(kind)
    doc = nlp("the river bank")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    with pytest.raises(ValueError, match="CE072.*aligned to 3 tokens, the Doc has 2"):
        _encoder().predict([doc])


@both_kinds
@pytest.mark.parametrize("settings", [{"layer_mix": "mean"}, {"layers": [1]}, {"layers": [-2, -1], "layer_mix": "sum"}])
def test_layers_that_the_upstream_does_not_give_are_an_error_that_names_its_setting(kind, settings, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=_tagger(kind, **settings))
    key = "all_layer_outputs = true" if kind == "curated" else "output_hidden_states"
    nlp.initialize(lambda: _examples(nlp))
    for run in (lambda: nlp.update(_examples(nlp)), lambda: nlp("the bank")):
        with pytest.raises(ValueError, match=f"CE073.*{key}.*config of 'trf'"):
            run()


@both_kinds
def test_a_layer_that_does_not_exist_is_named(kind, initialized):
    nlp = initialized(kind, all_layers=True)
    with pytest.raises(ValueError, match=r"'layers' is \[3\].*-3 to 2"):
        _encoder(layers=[3]).predict([nlp("the bank")])


@needs_transformers
def test_training_other_layers_of_spacy_transformers_is_refused(make_upstream):
    nlp = make_upstream("transformers", all_layers=True)
    nlp.add_pipe("tagger", config=_tagger("transformers", layer_mix="mean"))
    examples = _examples(nlp)
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match="CE074.*grad_factor = 0"):
        nlp.update(examples)
    nlp.update(_examples(nlp), exclude=["trf"], annotates=["trf"])  # reading them is fine


def test_outputs_of_another_kind_are_named(initialized):
    nlp = initialized("curated" if HAS_CURATED else "transformers")
    doc = nlp.make_doc("the bank")
    doc._.trf_data = Ragged(np.zeros((2, 16), dtype="f"), np.ones(2, dtype="i"))
    with pytest.raises(ValueError, match="CE070.*is a Ragged"):
        _encoder().predict([doc])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upstream", ""),
        ("subword_pooling", "median"),
        ("layers", "last"),
        ("layers", []),
        ("layer_mix", "max"),
        ("grad_factor", -1),
        ("grad_factor", "1"),
        ("width", 0),
        ("width", "16"),
    ],
)
def test_a_bad_setting_is_refused_when_built(key, value):
    with pytest.raises(ValueError, match=f"'{key}' is "):
        _encoder(**{key: value})


def test_without_either_package_the_error_names_both_extras(monkeypatch):
    for module in ("spacy_transformers.layers.listener", "spacy_curated_transformers.models.listeners"):
        monkeypatch.setitem(sys.modules, module, None)
    transformer_output_listener.listener_class.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"CE005.*\[transformers\].*\[curated\]"):
            _encoder()
    finally:
        transformer_output_listener.listener_class.cache_clear()


def test_importing_the_module_imports_neither_package():
    code = (
        "import sys, spacy_ctx_embed.tok2vec.transformer_output.model\n"
        "assert not {'spacy_transformers', 'spacy_curated_transformers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
