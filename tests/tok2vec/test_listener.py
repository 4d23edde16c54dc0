"""tok2vec/listener.py and training_batch.py: rows go to components that learn, gradients come back.

Here too: tok2vec/training_batch.py, pipeline/listeners.py.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any, Dict, List

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Model

from spacy_ctx_embed.tok2vec.listener import find_link, make_embedding_listener_v1

TEXTS = ["the bank of the river", "we sat on the bank", "the dog barks", "I gave money over"]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def listener(upstream: str = "bert_embeddings", **settings: Any) -> Dict[str, Any]:
    return {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": upstream, **settings}


def tagger(upstream: str = "bert_embeddings", **settings: Any) -> Dict[str, Any]:
    return {"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener(upstream, **settings)}}


def pipeline(name: str, *taggers: str, cache_mb: int = 0, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "spacy_ctx_embed.Bert.v1",
        "name": name,
        "overlap": 8,
        "layer_mix": "scalar_mix",
        "transformer_config": NO_DROPOUT,
        **settings,
    }
    nlp.add_pipe("bert_embeddings", config={"model": model, "cache_mb": cache_mb})
    for tagger_name in taggers:
        nlp.add_pipe("tagger", name=tagger_name, config=tagger())
    return nlp


def examples(nlp: Language) -> List[Example]:
    found = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        tags = ["D" if token.text == "the" else "X" for token in doc]
        found.append(Example(doc, Doc(nlp.vocab, words=[token.text for token in doc], tags=tags)))
    return found


def train(nlp: Language, n_steps: int = 30, rate: float = 0.02, **settings: Any) -> List[float]:
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    optimizer, losses = Adam(rate), []
    for _ in range(n_steps):
        step: Dict[str, float] = {}
        nlp.update(batch, sgd=optimizer, losses=step, **settings)
        losses.append(float(step["tagger"]))
    return losses


def listener_of(nlp: Language, name: str) -> Model:
    return next(node for node in nlp.get_pipe(name).model.walk() if find_link(node) is not None)


def weights_of(nlp: Language) -> Dict[str, np.ndarray]:
    encoder = nlp.get_pipe("bert_embeddings").model
    module = encoder.shims[0].network().module
    found = {name: tensor.numpy(force=True).copy() for name, tensor in module.named_parameters()}
    found.update({name: encoder.get_param(name).copy() for name in encoder.param_names if encoder.has_param(name)})
    return found


def test_prediction_reads_the_rows_of_the_doc(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp, 1)
    docs = [nlp.get_pipe("bert_embeddings")(nlp.make_doc(text)) for text in [*TEXTS, "", " \n "]]
    for doc, rows in zip(docs, listener_of(nlp, "tagger").predict(docs)):
        np.testing.assert_array_equal(rows, doc._.embeddings["bert_embeddings"])


def test_a_tagger_learns_and_the_frozen_network_stays_as_it_is(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    before = weights_of(nlp)
    losses = train(nlp)
    after = weights_of(nlp)
    assert losses[-1] < losses[0] / 5
    assert [token.tag_ for token in nlp("the bank of the river")] == ["D", "X", "X", "D", "X"]
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert changed == {"mix_weights", "mix_gamma"}


def test_a_trainable_network_is_changed_and_saved_with_the_pipeline(tiny_bert, tmp_path):
    nlp = pipeline(str(tiny_bert), "tagger", trainable=True, layer_mix="last")
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    before = weights_of(nlp)
    losses = train(nlp, rate=0.003)
    after = weights_of(nlp)
    assert losses[-1] < losses[0] / 2
    assert not np.array_equal(
        before["model.encoder.layer.0.output.dense.weight"], after["model.encoder.layer.0.output.dense.weight"]
    )
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    for name, values in weights_of(again).items():
        np.testing.assert_array_equal(values, after[name])
    left, right = nlp("the dog barks"), again("the dog barks")
    np.testing.assert_array_equal(left._.embeddings["bert_embeddings"], right._.embeddings["bert_embeddings"])


def _plain_rows(module: torch.nn.Module, network: Any, nlp: Language, docs: List[Doc]) -> List[torch.Tensor]:
    # The model run on each text by itself, all layers, mean of each token's pieces: (n_layers, n_tokens, width).
    found = []
    for doc in docs:
        encoding = network.tokenizer(doc.text, return_offsets_mapping=True, return_tensors="pt")
        offsets = encoding.pop("offset_mapping")[0].tolist()
        hidden = torch.stack(module(**encoding, output_hidden_states=True).hidden_states)[:, 0]
        columns = []
        for token in doc:
            start, end = token.idx, token.idx + len(token)
            mine = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
            columns.append(hidden[:, mine].mean(dim=1))
        found.append(torch.stack(columns, dim=1))
    return found


@pytest.mark.parametrize("max_batch_tokens", [16, 2048])
def test_gradients_of_several_listeners_are_those_of_plain_pytorch(max_batch_tokens, tiny_bert):
    nlp = pipeline(str(tiny_bert), "one", "two", trainable=True, max_batch_tokens=max_batch_tokens)
    nlp.remove_pipe("two")
    nlp.add_pipe("tagger", name="two", config=tagger(grad_factor=0.5))
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    component = nlp.get_pipe("bert_embeddings")
    component.model.set_param("mix_weights", np.array([0.3, -0.2, 0.5], dtype="f"))
    component.model.set_param("mix_gamma", np.array([1.5], dtype="f"))
    docs = [example.predicted for example in batch]
    random = np.random.default_rng(0)
    losses: Dict[str, float] = {}
    component.update(batch, losses=losses)
    slopes, callbacks = [], []
    for name in ("one", "two"):
        rows, backprop = listener_of(nlp, name)(docs, is_train=True)
        slopes.append([random.normal(size=part.shape).astype("f") for part in rows])
        callbacks.append(backprop)
    for backprop, slope in zip(callbacks, slopes):
        backprop(slope)
    assert losses["bert_embeddings"] > 0

    network = component.model.shims[0].network()
    ours = {name: p.grad.clone() for name, p in network.module.model.named_parameters() if p.grad is not None}
    module = copy.deepcopy(network.module.model).eval()
    module.zero_grad()
    weights = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    gamma = torch.tensor([1.5], requires_grad=True)
    total = torch.zeros(())
    for layers, first, second in zip(_plain_rows(module, network, nlp, docs), *slopes):
        rows = gamma * torch.einsum("l,ltw->tw", weights.softmax(0), layers)
        total = total + (rows * (torch.from_numpy(first) + 0.5 * torch.from_numpy(second))).sum()
    total.backward()
    theirs = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=2e-4, rtol=2e-3, msg=name)
    np.testing.assert_allclose(component.model.get_grad("mix_weights"), weights.grad, rtol=1e-3)
    np.testing.assert_allclose(component.model.get_grad("mix_gamma"), gamma.grad, rtol=1e-3)


@pytest.mark.parametrize("cache_mb", [0, 10])
def test_the_gradient_of_the_mix_is_that_of_finite_differences(cache_mb, tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger", cache_mb=cache_mb)
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    component, docs = nlp.get_pipe("bert_embeddings"), [example.predicted for example in batch]
    random = np.random.default_rng(1)
    component.update(batch)
    rows, backprop = listener_of(nlp, "tagger")(docs, is_train=True)
    slope = [random.normal(size=part.shape).astype("f") for part in rows]
    backprop(slope)

    def value() -> float:
        found = component.model.predict(docs)
        return sum(float((part.astype("d") * s).sum()) for part, s in zip(found, slope))

    for name in ("mix_weights", "mix_gamma"):
        parameter, gradient = component.model.get_param(name), component.model.get_grad(name)
        for i in range(len(parameter)):
            sides = []
            for sign in (1, -1):
                moved = parameter.copy()
                moved[i] += sign * 1e-2
                component.model.set_param(name, moved)
                sides.append(value())
            component.model.set_param(name, parameter)
            assert gradient[i] == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=0.02, abs=0.02)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(4)), n_listeners=st.integers(1, 4), silent=st.sets(st.integers(0, 3)))
def test_gradients_add_up_in_any_order_and_without_those_that_never_come(tiny_bert, order, n_listeners, silent):
    names = [f"tagger{i}" for i in range(n_listeners)]
    nlp = pipeline(str(tiny_bert), *names)
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    component, docs = nlp.get_pipe("bert_embeddings"), [example.predicted for example in batch]
    component.update(batch)
    callbacks = [listener_of(nlp, name)(docs, is_train=True) for name in names]
    speaking = [i for i in order if i < n_listeners and i not in silent]
    slopes = [np.random.default_rng(7).normal(size=part.shape).astype("f") for part in callbacks[0][0]]
    for i in speaking:
        callbacks[i][1]([part * (i + 1) for part in slopes])
    component.update(batch)  # what was waiting for the silent ones is learnt now
    if not speaking:
        assert not component.model.has_grad("mix_gamma")
        return
    total = sum(i + 1 for i in speaking)
    rows = component.model.predict(docs)  # gamma is 1
    expected = total * sum(float((part * slope).sum()) for part, slope in zip(rows, slopes))
    assert component.model.get_grad("mix_gamma")[0] == pytest.approx(expected, rel=1e-3)


def test_the_loss_is_the_same_with_and_without_cache(tiny_bert):
    found = {}
    for cache_mb in (0, 10):
        spacy.util.fix_random_seed(0)
        found[cache_mb] = train(pipeline(str(tiny_bert), "tagger", cache_mb=cache_mb))
    assert found[0][0] == found[10][0]
    np.testing.assert_allclose(found[0], found[10], rtol=1e-4)


def test_a_frozen_and_annotating_upstream_serves_from_the_doc(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    losses = train(nlp, exclude=["bert_embeddings"], annotates=["bert_embeddings"])
    assert losses[-1] < losses[0] / 5
    assert np.array_equal(nlp.get_pipe("bert_embeddings").model.get_param("mix_gamma"), [1.0])


@pytest.mark.parametrize("trainable", [False, True])
def test_an_unknown_word_has_one_row_in_training_prediction_and_annotation(tiny_bert, trainable):
    nlp = pipeline(str(tiny_bert), "tagger", trainable=trainable)
    nlp.initialize(lambda: examples(nlp))
    upstream, node = nlp.get_pipe("bert_embeddings"), listener_of(nlp, "tagger")
    doc = Doc(nlp.vocab, words=["the", "\u9f49", "bank"])
    upstream.update([Example(doc, doc)])
    trained, _ = node(([doc]), is_train=True)
    find_link(node).batch = None
    upstream(doc)
    read = node.predict([doc])
    assert doc[1]._.vector_status == "unknown" and doc[1]._.vector.any()
    np.testing.assert_allclose(trained[0], read[0], atol=1e-5)
    np.testing.assert_allclose(upstream.model.predict([doc])[0], read[0], atol=1e-5)


def test_a_frozen_upstream_that_does_not_annotate_is_an_error(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    batch = examples(nlp)
    nlp.initialize(lambda: batch[:2])
    with pytest.raises(ValueError, match=r"CE061.*'bert_embeddings'.*annotating_components"):
        nlp.update(batch, exclude=["bert_embeddings"])


def test_sample_texts_of_the_initialisation_get_their_real_rows_on_other_docs_too(tiny_bert):
    # spacy debug model updates the component alone, on Docs made anew from the texts that it was initialised with.
    nlp = pipeline(str(tiny_bert), "tagger")
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    again = [nlp.make_doc(text) for text in TEXTS]
    for doc, rows in zip(again, listener_of(nlp, "tagger").predict(again)):
        np.testing.assert_array_equal(rows, nlp.get_pipe("bert_embeddings")(doc)._.embeddings["bert_embeddings"])


def test_prediction_without_the_upstream_is_an_error(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp, 1)
    with nlp.select_pipes(disable="bert_embeddings"), pytest.raises(ValueError, match="CE064.*'bert_embeddings'"):
        nlp("the bank")
    assert nlp("the bank")[0].tag_


@pytest.mark.parametrize("upstream", ["nothing", "tagger", "later"])
def test_an_upstream_that_is_not_there_before_is_an_error_when_initialised(upstream, tiny_bert):
    nlp = pipeline(str(tiny_bert))
    nlp.add_pipe("tagger", config=tagger(upstream))
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(tiny_bert), "overlap": 8}
    nlp.add_pipe("bert_embeddings", name="later", config={"model": model})
    batch = examples(nlp)
    with pytest.raises(ValueError, match=f"CE060.*'{upstream}'"):
        nlp.initialize(lambda: batch)


def test_a_width_that_is_not_the_upstreams_is_an_error(tiny_bert):
    nlp = pipeline(str(tiny_bert))
    nlp.add_pipe("tagger", config=tagger(width=17))
    batch = examples(nlp)
    with pytest.raises(ValueError, match="CE063.*16 columns.*width = 17"):
        nlp.initialize(lambda: batch)


@pytest.mark.parametrize(("key", "value"), [("upstream", ""), ("width", 0), ("grad_factor", -1), ("grad_factor", "x")])
def test_a_bad_setting_is_refused_when_built(key, value):
    with pytest.raises(ValueError, match=f"'{key}' is {value!r}.*Accepted: .*Fix:"):
        make_embedding_listener_v1(**{"upstream": "bert", key: value})


def test_another_batch_is_not_mistaken_for_the_one_received(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    nlp.get_pipe("bert_embeddings").update(batch)
    turned = [nlp.make_doc(text) for text in reversed(TEXTS)]
    with pytest.raises(ValueError, match="CE061"):
        listener_of(nlp, "tagger")(turned, is_train=True)


def test_rows_of_other_widths_on_a_doc_are_refused(tiny_bert, tiny_static):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp, 1)
    other = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
    other.add_pipe("static_embeddings", name="bert_embeddings", config={"model": model})
    with pytest.raises(ValueError, match="CE063.*8 columns"):
        listener_of(nlp, "tagger").predict([other("the bank")])


def test_replaced_listeners_predict_the_same(tiny_bert, tmp_path):
    nlp = pipeline(str(tiny_bert), "tagger", "other")
    train(nlp, 5)
    before = [nlp.get_pipe("tagger").model.predict([nlp(text)])[0] for text in TEXTS]
    nlp.replace_listeners("bert_embeddings", "tagger", ["model.tok2vec"])
    assert nlp.get_pipe("bert_embeddings").listening_components == ["other"]
    assert nlp.config["components"]["tagger"]["model"]["tok2vec"]["@architectures"] == "spacy_ctx_embed.Bert.v1"
    after = [nlp.get_pipe("tagger").model.predict([nlp.make_doc(text)])[0] for text in TEXTS]
    for one, two in zip(before, after):
        np.testing.assert_allclose(one, two, atol=1e-5)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert [t.tag_ for t in again(TEXTS[0])] == [t.tag_ for t in nlp(TEXTS[0])]


def test_sourced_components_are_linked_again(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp)
    other = spacy.blank("xx")
    other.add_pipe("bert_embeddings", source=nlp)
    other.add_pipe("tagger", source=nlp)
    assert [t.tag_ for t in other(TEXTS[0])] == [t.tag_ for t in nlp(TEXTS[0])]
    assert other.get_pipe("bert_embeddings").listening_components == ["tagger"]


def test_training_goes_on_and_rehearses_after_resume(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp)
    optimizer = nlp.resume_training()
    step: Dict[str, float] = {}
    nlp.update(examples(nlp), sgd=optimizer, losses=step)
    assert step["tagger"] < 1
    batch = examples(nlp)
    for example in batch:
        nlp.get_pipe("bert_embeddings")(example.predicted)
    losses = nlp.rehearse(batch, sgd=optimizer)
    assert losses["tagger"] >= 0


def test_a_deep_copy_and_a_pickle_keep_no_batch(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    nlp.get_pipe("bert_embeddings").update(batch)
    link = find_link(listener_of(nlp, "tagger"))
    twin, sent = copy.deepcopy(link), pickle.loads(pickle.dumps(link))
    assert link.batch is not None and twin.batch is None and sent.batch is None
    assert twin.upstream is nlp.get_pipe("bert_embeddings") and sent.upstream is None
    assert sent.upstream_name == "bert_embeddings"


def test_a_listener_that_gives_no_gradient_may_come_last(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    nlp.add_pipe("tagger", name="silent", config=tagger(grad_factor=0.0))
    losses = train(nlp)
    assert losses[-1] < losses[0] / 5


def test_without_a_listener_that_gives_a_gradient_nothing_is_learnt_and_nothing_dropped(tiny_bert):
    nlp = pipeline(str(tiny_bert), trainable=True, transformer_config={"hidden_dropout_prob": 0.5})
    nlp.add_pipe("tagger", config=tagger(grad_factor=0.0))
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    docs = [example.predicted for example in batch]
    nlp.get_pipe("bert_embeddings").update(batch)
    rows, _ = listener_of(nlp, "tagger")(docs, is_train=True)
    for one, two in zip(rows, nlp.get_pipe("bert_embeddings").model.predict(docs)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("layer_mix", ["last", "mean", "scalar_mix"])
def test_a_pickled_pipeline_predicts_the_same_and_trains_on(layer_mix, tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger", layer_mix=layer_mix)
    train(nlp)
    nlp.update(examples(nlp), sgd=False, exclude=["tagger"])  # a batch is under way
    again = pickle.loads(pickle.dumps(nlp))
    assert [t.tag_ for t in again(TEXTS[0])] == [t.tag_ for t in nlp(TEXTS[0])]
    losses = train(again)
    assert losses[-1] < losses[0]


def test_an_encoder_that_learns_in_a_slot_rehearses(tiny_bert):
    nlp = spacy.blank("xx")
    bert = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(tiny_bert), "overlap": 8, "trainable": True}
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": bert}})
    batch = examples(nlp)
    nlp.initialize(lambda: batch)
    optimizer = nlp.resume_training()
    nlp.update(batch, sgd=optimizer)
    assert nlp.rehearse(batch, sgd=optimizer)["tagger"] >= 0


def test_pipelines_with_listeners_run_in_worker_processes(tiny_bert):
    nlp = pipeline(str(tiny_bert), "tagger")
    train(nlp)
    alone = [[token.tag_ for token in doc] for doc in nlp.pipe(TEXTS)]
    assert [[token.tag_ for token in doc] for doc in nlp.pipe(TEXTS, n_process=2)] == alone


def test_accumulated_gradients_are_learnt_in_one_step(tiny_bert):
    def after(parts: int) -> Dict[str, np.ndarray]:
        spacy.util.fix_random_seed(0)
        nlp = pipeline(str(tiny_bert), "tagger", trainable=True, layer_mix="last")
        batch = examples(nlp)
        nlp.initialize(lambda: batch)
        for part in (batch,) if parts == 1 else (batch[:2], batch[2:]):
            nlp.update(part, sgd=False)
        nlp.get_pipe("bert_embeddings").finish_update(Adam(0.01, beta1=0.0, beta2=0.0))  # plain gradient descent
        return weights_of(nlp)

    one, two = after(1), after(2)
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name], atol=1e-4, err_msg=name)
