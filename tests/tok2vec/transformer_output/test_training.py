"""transformer_output: what listens to an upstream trains it, and leaves it alone where it is frozen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from spacy.training import Example

from tests.tok2vec.transformer_output.upstreams import (
    both_kinds,
    embedding_config,
    make_examples,
    needs_curated,
    network,
    random_gradient,
    slot_config,
    tagger_config,
)


@both_kinds
@pytest.mark.parametrize("factory", ["tagger", "ner"])
def test_training_lowers_the_loss_and_changes_the_upstream(kind, factory, make_upstream):
    nlp = make_upstream(kind)
    tok2vec = slot_config(kind)
    if factory == "tagger":
        nlp.add_pipe("tagger", config=tagger_config(kind))
        examples = make_examples(nlp)
    else:
        parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "hidden_width": 16}
        parser |= {"extra_state_tokens": False, "maxout_pieces": 2, "use_upper": False, "tok2vec": tok2vec}
        nlp.add_pipe("ner", config={"model": parser})
        docs = [nlp.make_doc("the dog runs over new york"), nlp.make_doc("we sat in new york")]
        examples = [Example.from_dict(doc, {"entities": [(doc[-2].idx, len(doc.text), "GPE")]}) for doc in docs]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    before = {name: weight.clone() for name, weight in network(nlp).state_dict().items()}
    losses = []
    for _ in range(8):
        losses.append({})
        nlp.update(examples, sgd=optimizer, losses=losses[-1])
    assert losses[-1][factory] < losses[0][factory]
    after = network(nlp).state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_all_listeners_of_an_upstream_add_to_its_gradient(kind, make_upstream):
    found = []
    for names in (["one"], ["two"], ["one", "two"]):
        torch.manual_seed(0)
        nlp = make_upstream(kind)
        for name in names:
            nlp.add_pipe("tagger", name=name, config=tagger_config(kind))
        examples = make_examples(nlp)
        nlp.initialize(partial(list, examples))
        docs = [example.predicted for example in examples]
        nlp.get_pipe("trf").update(examples)
        for name in names:
            rows, backprop = nlp.get_pipe(name).model.layers[0].begin_update(docs)
            factor = 1.0 if name == "one" else 2.0
            backprop([part * np.float32(factor) for part in random_gradient(rows)])
        found.append({name: w.grad.clone() for name, w in network(nlp).named_parameters() if w.grad is not None})
    for name in found[0]:
        np.testing.assert_allclose(found[0][name] + found[1][name], found[2][name], atol=1e-4)


@both_kinds
def test_a_frozen_upstream_that_annotates_is_read_and_not_changed(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = {name: weight.clone() for name, weight in network(nlp).state_dict().items()}
    losses = []
    for _ in range(5):
        losses.append({})
        nlp.update(examples, sgd=optimizer, losses=losses[-1], exclude=["trf"], annotates=["trf"])
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    after = network(nlp).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_grad_factor_zero_trains_the_component_and_not_the_upstream(kind, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config(kind, grad_factor=0, layer_mix="scalar_mix"))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.get_pipe("trf").update(examples)
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update([example.predicted for example in examples])
    backprop(random_gradient(rows))
    assert encoder.get_grad("mix_weights").any()
    assert not any(w.grad.any() for w in network(nlp).parameters() if w.grad is not None)


@needs_curated
def test_all_layers_of_a_curated_transformer_are_trained(make_upstream):
    nlp = make_upstream("curated", all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config("curated", layers=[0], layer_mix="mean"))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.get_pipe("trf").update(examples)
    rows, backprop = nlp.get_pipe("tagger").model.layers[0].begin_update([example.predicted for example in examples])
    backprop(random_gradient(rows))
    grads = {name: w.grad for name, w in network(nlp).named_parameters() if w.grad is not None}
    assert all(grad.any() == ("embeddings" in name) for name, grad in grads.items() if name.endswith("weight"))


@both_kinds
def test_an_embedding_component_at_the_end_does_not_keep_the_upstream_from_learning(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.add_pipe("bert_embeddings", config=embedding_config())
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    before = {name: weight.clone() for name, weight in network(nlp).state_dict().items()}
    for _ in range(2):  # the first leaves the tagger's weights at zero no more
        nlp.update(examples, sgd=optimizer)
    after = network(nlp).state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)


@both_kinds
def test_a_batch_of_empty_docs_only_is_trained_on_without_an_error(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.initialize(lambda: make_examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    rows, backprop = encoder.begin_update([nlp.make_doc(""), nlp.make_doc("")])
    assert [part.shape for part in rows] == [(0, 16), (0, 16)]
    backprop(rows)
