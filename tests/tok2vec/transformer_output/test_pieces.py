"""transformer_output/pieces.py: rows and gradients against the network run alone and the packages' own listeners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from thinc.api import NumpyOps, reduce_mean

from tests.tok2vec.transformer_output.upstreams import (
    MIXES,
    POOLINGS,
    TEXTS,
    both_kinds,
    initialize_upstream,
    make_encoder,
    make_examples,
    needs_curated,
    needs_transformers,
    network,
    random_gradient,
    rows_by_hand,
    tagger_config,
)

# rows


@both_kinds
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_rows_are_the_pooled_pieces_of_the_network_alone(kind, pooling, initialized):
    nlp = initialized(kind)
    docs = list(nlp.pipe(TEXTS))
    for doc, rows in zip(docs, make_encoder(subword_pooling=pooling).predict(docs)):
        np.testing.assert_allclose(rows, rows_by_hand(nlp, doc, pooling).detach().numpy(), atol=1e-5)


@both_kinds
@pytest.mark.parametrize("layer_mix", ["mean", "sum", "concat", "scalar_mix", "last"])
@pytest.mark.parametrize("layers", ["all", [0, -1], [1]])
def test_layers_are_mixed_as_asked(kind, layer_mix, layers, initialized):
    nlp = initialized(kind, all_layers=True)
    docs = list(nlp.pipe(TEXTS))
    numbers = [0, 1, 2] if layers == "all" else layers
    for doc, rows in zip(docs, make_encoder(layers=layers, layer_mix=layer_mix).predict(docs)):
        if len(doc):
            expected = rows_by_hand(nlp, doc, layers=numbers, layer_mix=layer_mix)
            np.testing.assert_allclose(rows, expected.detach().numpy(), atol=1e-5)


@needs_transformers
def test_overlapping_windows_count_as_for_the_listener_of_spacy_transformers(make_upstream):
    nlp = initialize_upstream(make_upstream("transformers", window=4))
    own = _own_transformers_listener()
    docs = list(nlp.pipe(["the dog runs unbelievably over the bank and a tree", "I sat", ""]))
    assert len(docs[0]._.trf_data.wordpieces) > 1
    for ours, theirs in zip(make_encoder().predict(docs)[:2], own.predict(docs)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


# gradients


def _own_transformers_listener():
    from spacy_transformers.architectures import transformer_listener_tok2vec_v1

    model = transformer_listener_tok2vec_v1(reduce_mean(), 0.5, "trf")
    model.layers[0].set_dim("nO", 16)
    return model


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


@needs_transformers
@pytest.mark.parametrize("window", [48, 4])
def test_rows_and_gradient_are_those_of_the_listener_of_spacy_transformers(window, make_upstream):
    nlp = initialize_upstream(make_upstream("transformers", window=window))
    docs = [nlp.make_doc(text) for text in ("the dog runs unbelievably", "", "over the river bank we sat and I don't")]
    given = []
    encoders = [_own_transformers_listener(), make_encoder(grad_factor=0.5)]
    _send(nlp, encoders, docs, given.append)
    results = [encoder.begin_update(docs) for encoder in encoders]
    for theirs, ours in zip(results[0][0], results[1][0]):
        if len(ours):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for _, backprop in results:
        backprop(random_gradient([np.zeros((len(doc), 16)) for doc in docs]))
    assert len(given[0]) == len(given[1]) == 2
    for theirs, ours in zip(*given):
        assert [t.shape for t in ours.tensors] == [t.shape for t in theirs.tensors]
        np.testing.assert_allclose(ours.tensors[0], theirs.tensors[0], atol=1e-6)


@needs_curated
def test_rows_and_gradient_are_those_of_the_listener_of_curated_transformers(make_upstream):
    from spacy_curated_transformers.models.listeners import build_last_transformer_layer_listener_v1

    nlp = initialize_upstream(make_upstream("curated", window=8))
    docs = [nlp.make_doc(text) for text in TEXTS]
    given = []
    own = build_last_transformer_layer_listener_v1(16, reduce_mean(), "trf", 0.5)
    encoders = [own, make_encoder(grad_factor=0.5)]
    _send(nlp, encoders, docs, lambda gradient, outputs_to_backprop: given.append((gradient, outputs_to_backprop)))
    for encoder in encoders:
        rows, backprop = encoder.begin_update(docs)
        given.append(rows)
        backprop(random_gradient(rows))
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
    encoder = make_encoder(subword_pooling=pooling, layers=[0, 2, -3], layer_mix=layer_mix)
    given = []
    outputs = _send(nlp, [encoder], docs, lambda gradient, outputs_to_backprop: given.append(gradient))
    rows, backprop = encoder.begin_update(docs)
    d_rows = random_gradient(rows)
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
    nlp.add_pipe("tagger", config=tagger_config(kind, grad_factor=0.5))
    nlp.initialize(lambda: make_examples(nlp))
    examples = make_examples(nlp)
    docs = [example.predicted for example in examples]
    nlp.get_pipe("trf").update(examples)
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update(docs)
    d_rows = random_gradient(rows)
    backprop(d_rows)
    found = {name: weight.grad.clone() for name, weight in network(nlp).named_parameters() if weight.grad is not None}
    assert len(found) > 10
    network(nlp).zero_grad()
    sum((rows_by_hand(nlp, doc) * torch.from_numpy(d)).sum() for doc, d in zip(docs, d_rows) if len(doc)).backward()
    for name, weight in network(nlp).named_parameters():
        if name in found:
            np.testing.assert_allclose(found[name], 0.5 * weight.grad, atol=1e-4, err_msg=name)
