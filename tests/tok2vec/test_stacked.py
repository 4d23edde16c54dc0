"""tok2vec/stacked.py: several kinds of features side by side, projected and encoded."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np
import pytest
import spacy
from spacy.ml.models.tok2vec import MaxoutWindowEncoder, MultiHashEmbed
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Linear, Model, with_array

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.static.model import make_static_vectors_v1
from spacy_ctx_embed.tok2vec.stacked import make_stacked_tok2vec_v1

TEXTS = ["the bank of the river", "", "we sat on the bank \n", "dog"]


@pytest.fixture
def docs() -> List[Doc]:
    nlp = spacy.blank("xx")
    return [nlp.make_doc(text) for text in TEXTS]


@pytest.fixture
def make_parts(tiny_bert, tiny_static):
    def make() -> Dict[str, Model]:
        return {
            "static": make_static_vectors_v1(name=str(tiny_static)),
            "bert": make_bert_v1(name=str(tiny_bert), overlap=8, layer_mix="scalar_mix"),
            "hash": MultiHashEmbed(12, ["NORM", "SHAPE"], [50, 50], False),
        }

    return make


def hash_embed() -> Model:
    return MultiHashEmbed(12, ["NORM", "SHAPE"], [50, 50], False)


@pytest.mark.parametrize("order", [["static", "bert", "hash"], ["hash", "static", "bert"]])
def test_without_projection_the_rows_stand_side_by_side_in_the_order_of_their_names(order, make_parts, docs):
    # Whatever the order of the sections: confection 0.1 writes them sorted, so that a pipeline loads another config.
    parts = make_parts()
    model = make_stacked_tok2vec_v1(embeddings={name: parts[name] for name in order})
    model.initialize(X=docs)
    assert model.get_dim("nO") == 8 + 16 + 12
    expected = [
        np.concatenate(rows, axis=1)
        for rows in zip(*(parts[name].predict(docs) for name in ("bert", "hash", "static")))
    ]
    for rows, other in zip(model.predict(docs), expected):
        np.testing.assert_array_equal(rows, other)


@pytest.mark.parametrize("n_parts", [1, 2, 3])
@pytest.mark.parametrize(("width", "depth"), [(None, None), (20, None), (20, 2)])
def test_rows_have_the_width_of_the_last_step(n_parts, width, depth, make_parts, docs):
    parts = dict(list(make_parts().items())[:n_parts])
    encode = MaxoutWindowEncoder(width, 1, 2, depth) if depth else None
    model = make_stacked_tok2vec_v1(embeddings=parts, width=width, encode=encode)
    if width:
        assert model.get_dim("nO") == width  # known before anything is opened
    model.initialize(X=docs)
    total = width or [8, 24, 36][n_parts - 1]
    assert [part.shape for part in model.predict(docs)] == [(len(doc), total) for doc in docs]
    assert model.get_dim("nO") == total


def _slope(rows: List[Any], seed: int = 0) -> List[Any]:
    random = np.random.default_rng(seed)
    return [random.normal(size=part.shape).astype("f") for part in rows]


def _numeric(model: Model, docs: List[Doc], node: Model, name: str, place: Any, slope: List[Any]) -> float:
    sides = []
    for sign in (1, -1):
        former = node.get_param(name).copy()
        moved = former.copy()
        moved[place] += sign * 5e-3
        node.set_param(name, moved)
        rows = model.predict(docs)
        sides.append(sum(float((part.astype("d") * s).sum()) for part, s in zip(rows, slope)))
        node.set_param(name, former)
    return (sides[0] - sides[1]) / 1e-2


def test_gradients_of_all_parts_are_those_of_finite_differences(make_parts, docs):
    # Without maxout, at whose corners a difference is no gradient.
    encode = with_array(Linear(6, 36))
    model = make_stacked_tok2vec_v1(embeddings=make_parts(), width=None)
    whole = Model("whole", _chained, layers=[model, encode])
    model.initialize(X=docs)
    encode.initialize(X=model.predict(docs))
    encode.layers[0].set_param("W", np.random.default_rng(3).normal(size=(6, 36)).astype("f"))
    rows, backprop = whole.begin_update(docs)
    slope = _slope(rows)
    backprop(slope)
    checked = 0
    for node in whole.walk():
        for name in ("mix_weights", "mix_gamma", "W"):
            if name in node.param_names and node.has_param(name) and node.has_grad(name):
                gradient = node.get_grad(name)
                place = np.unravel_index(int(np.abs(gradient).argmax()), gradient.shape)
                numeric = _numeric(whole, docs, node, name, place, slope)
                assert gradient[place] == pytest.approx(numeric, rel=0.03, abs=0.02)
                checked += 1
    assert checked >= 4


def _chained(model: Model, docs: List[Doc], is_train: bool) -> Any:
    first, second = model.layers
    middle, back_first = first(docs, is_train)
    rows, back_second = second(middle, is_train)
    return rows, lambda gradient: back_first(back_second(gradient))


def test_dropout_is_for_training_only_and_keeps_the_expectation(make_parts, docs):
    model = make_stacked_tok2vec_v1(embeddings={"static": make_parts()["static"]}, dropout=0.5)
    model.initialize(X=docs)
    whole = model.predict(docs)[0]
    rows, backprop = model.begin_update(docs)
    kept = rows[0] != 0
    assert 0.2 < kept.mean() < 0.8
    np.testing.assert_allclose(rows[0][kept], 2 * whole[kept], rtol=1e-6)
    np.testing.assert_array_equal(model.predict(docs)[0], whole)


def test_spacys_dropout_setting_does_not_change_ours(make_parts, docs):
    from thinc.api import set_dropout_rate

    model = make_stacked_tok2vec_v1(embeddings={"static": make_parts()["static"]}, dropout=0.9)
    model.initialize(X=docs)
    set_dropout_rate(model, 0.0)
    assert (model.begin_update(docs)[0][0] == 0).mean() > 0.5


@pytest.mark.parametrize("width", [None, 20])
def test_an_encode_of_another_width_is_an_error_when_built(width):
    with pytest.raises(ValueError, match="CE065.*width is .*Accepted: .*Fix:"):
        make_stacked_tok2vec_v1(embeddings={"hash": hash_embed()}, width=width, encode=MaxoutWindowEncoder(24, 1, 2, 1))


@pytest.mark.parametrize("embeddings", [{}, {"bert": "a name"}, None])
def test_embeddings_must_be_models(embeddings):
    with pytest.raises(ValueError, match="CE065.*embeddings is .*Accepted: .*Fix:"):
        make_stacked_tok2vec_v1(embeddings=embeddings)


@pytest.mark.parametrize(("key", "value"), [("width", 0), ("dropout", 1.0), ("dropout", -0.1)])
def test_a_bad_setting_is_refused_when_built(key, value):
    with pytest.raises(ValueError, match=f"'{key}' is {value!r}.*Fix:"):
        make_stacked_tok2vec_v1(**{"embeddings": {"hash": hash_embed()}, key: value})


@pytest.mark.parametrize("encoder", [None, "spacy.TorchBiLSTMEncoder.v1", "spacy.MishWindowEncoder.v2"])
def test_it_stands_in_a_config_and_learns(encoder, tiny_bert, tiny_static, tmp_path):
    encode: Optional[Dict[str, Any]] = None
    if encoder is not None:
        rest = {"dropout": 0.0} if "LSTM" in encoder else {"window_size": 1}
        encode = {"@architectures": encoder, "width": 24, "depth": 1, **rest}
    nlp = spacy.blank("xx")
    static = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
    bert = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(tiny_bert), "overlap": 8}
    nlp.add_pipe("bert_embeddings", config={"model": bert})
    embeddings = {
        "static": static,  # an encoder of its own
        "bert": {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": "bert_embeddings"},
        "hash": {
            "@architectures": "spacy.MultiHashEmbed.v2",
            "width": 12,
            "attrs": ["NORM"],
            "rows": [50],
            "include_static_vectors": False,
        },
    }
    stacked = {
        "@architectures": "spacy_ctx_embed.StackedTok2Vec.v1",
        "embeddings": embeddings,
        "width": 24,
        "encode": encode,
        "dropout": 0.1,
    }
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": stacked}})
    batch = []
    for text in ("the bank of the river", "the dog barks"):
        doc = nlp.make_doc(text)
        tags = ["D" if token.text == "the" else "X" for token in doc]
        batch.append(Example(doc, Doc(nlp.vocab, words=[token.text for token in doc], tags=tags)))
    nlp.initialize(lambda: batch)
    optimizer = Adam(0.01)
    for _ in range(40):
        nlp.update(batch, sgd=optimizer)
    nlp.to_disk(tmp_path / "saved")
    for pipeline in (nlp, spacy.load(tmp_path / "saved")):
        assert [token.tag_ for token in pipeline("the dog barks")] == ["D", "X", "X"]
