"""pipeline/component.py and saving.py: the life of a component in a spaCy pipeline.

Here too: pipeline/caching.py, pipeline/foreign.py, pipeline/saving.py.
"""

from __future__ import annotations

import copy
import pickle
import shutil
import warnings
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from spacy_ctx_embed import restore_hooks
from spacy_ctx_embed.attach import attributes
from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.errors import ModelFormatError

TEXTS = ["The river bank.", "", "We sat on the bank 😀", "\n", "I gave money \n\n to the dog"] * 4


def _rows(docs):
    return [dict(doc._.embeddings) for doc in docs]


def _assert_same(left, right, atol=1e-5):
    assert len(left) == len(right)
    for one, other in zip(left, right):
        assert list(one) == list(other)
        for name, rows in one.items():
            np.testing.assert_allclose(rows, other[name], atol=atol)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_pipe_gives_the_rows_of_single_calls(batch_size, make_nlp):
    nlp = make_nlp("static", "bert")
    _assert_same(_rows(nlp.pipe(TEXTS, batch_size=batch_size)), _rows(map(nlp, TEXTS)))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.sampled_from(TEXTS) | st.text("the bankriv \n.", max_size=60), max_size=8),
    batch_size=st.integers(1, 9),
)
def test_batching_moves_no_row(make_nlp, texts, batch_size):
    nlp = make_nlp("static", "bert")
    _assert_same(_rows(nlp.pipe(texts, batch_size=batch_size)), _rows(map(nlp, texts)))


def test_as_tuples_keeps_the_context(make_nlp):
    nlp = make_nlp("static")
    pairs = list(nlp.pipe([("the bank", 1), ("the river", 2)], as_tuples=True))
    assert [context for _, context in pairs] == [1, 2]
    assert all(doc[1]._.has_vector for doc, _ in pairs)


def test_worker_processes_give_the_same_rows_and_log_nothing(make_nlp):
    nlp = make_nlp("static", "bert")
    alone = list(nlp.pipe(TEXTS))  # torch and the tokenizer have run before the fork, the hard case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=4))
    assert not [str(w.message) for w in caught if "W109" in str(w.message) or "hooks" in str(w.message)]
    _assert_same(_rows(docs), _rows(alone))
    assert not docs[0].user_hooks
    assert np.array_equal(restore_hooks(docs[0])[1].vector, docs[0][1]._.vector)


@pytest.mark.skipif(version("tokenizers") < "0.20", reason="older tokenizers print a notice in a forked process")
def test_worker_processes_write_nothing_to_the_terminal(make_nlp, capfd):
    nlp = make_nlp("static", "bert")
    list(nlp.pipe(TEXTS))
    list(nlp.pipe(TEXTS, n_process=2, batch_size=4))
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_disabled_components_leave_no_rows(make_nlp):
    nlp = make_nlp("static", "bert")
    with nlp.select_pipes(disable="bert_embeddings"):
        doc = nlp("the bank")
    assert list(doc._.embeddings) == ["static_embeddings"]
    assert list(nlp("the bank")._.embeddings) == ["static_embeddings", "bert_embeddings"]


def test_error_handlers_are_called_and_the_stream_goes_on(make_nlp):
    nlp = make_nlp("static")
    pipe = nlp.get_pipe("static_embeddings")
    encoder = encoder_of(pipe.model)

    def fail(model, docs):
        if any("money" in doc.text for doc in docs):
            raise ValueError("bad doc")
        return encoder.encode(model, docs)

    pipe.model.attrs.update(replace(encoder, encode=fail).attrs)
    failed = []
    nlp.set_error_handler(lambda name, proc, docs, error: failed.append((name, [d.text for d in docs], str(error))))
    docs = list(nlp.pipe(["the bank", "money", "the river"], batch_size=1))
    assert [doc.text for doc in docs] == ["the bank", "the river"]
    assert failed == [("static_embeddings", ["money"], "bad doc")]


def test_two_components_of_one_factory_have_two_names(make_nlp, tiny_static):
    nlp = make_nlp("static")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static), "lowercase": "never"}
    nlp.add_pipe("static_embeddings", name="cased", config={"model": model})
    doc = nlp("The bank")
    assert [doc[0]._.vectors[name].any() for name in ("static_embeddings", "cased")] == [True, False]


def test_config_round_trip(make_nlp):
    nlp = make_nlp("static", "bert", doc_pooling="max", serialize="reference")
    again = spacy.util.load_model_from_config(nlp.config, auto_fill=False)
    assert again.config.to_str() == nlp.config.to_str()
    _assert_same(_rows([nlp("the bank")]), _rows([again("the bank")]))


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("source", ["static", "bert"])
def test_a_saved_pipeline_is_self_contained(source, used, make_nlp, tmp_path):
    nlp = make_nlp(source)
    if used:
        nlp("warm")
    nlp.to_disk(tmp_path / "nlp")
    folder = tmp_path / "nlp" / f"{source}_embeddings" / "model" / "encoder0"
    assert any(file.suffix in (".safetensors", ".npy") for file in folder.iterdir())
    _assert_same(_rows([_load_without_sources(tmp_path / "nlp")("the bank")]), _rows([nlp("the bank")]), atol=0)


def _load_without_sources(path):
    # The config still names the original files; a self-contained pipeline does not need them.
    config = (path / "config.cfg").read_text(encoding="utf8")
    (path / "config.cfg").write_text(config.replace("/tiny_", "/gone_"), encoding="utf8")
    return spacy.load(path)


@pytest.mark.parametrize("sources", [("static",), ("bert",), ("static", "bert", "stacked")])
def test_bytes_round_trip(sources, make_nlp):
    nlp = make_nlp(*sources)
    data = nlp.to_bytes()
    again = spacy.util.load_model_from_config(nlp.config).from_bytes(data)
    _assert_same(_rows([again("the bank")]), _rows([nlp("the bank")]), atol=0)


def test_a_reference_holds_no_weights_and_knows_its_files(make_nlp, tiny_static, tmp_path):
    copy_of_table = tmp_path / "vectors.txt"
    shutil.copy(tiny_static, copy_of_table)
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(copy_of_table)}
    nlp.add_pipe("static_embeddings", config={"model": model, "serialize": "reference"})
    nlp.to_disk(tmp_path / "nlp")
    assert not list((tmp_path / "nlp").rglob("encoder*"))
    assert srsly.read_json(tmp_path / "nlp" / "static_embeddings" / "cfg")["encoders"][0]["name"] == str(copy_of_table)
    _assert_same(_rows([spacy.load(tmp_path / "nlp")("the bank")]), _rows([nlp("the bank")]), atol=0)
    copy_of_table.write_text("the 1 2\n" + "bank 1 3\n", encoding="utf8")
    with pytest.raises(ModelFormatError, match=r"checksum.*Fix:"):
        spacy.load(tmp_path / "nlp")("the bank")


def test_reference_bytes_are_small(make_nlp):
    sizes = [
        len(make_nlp("bert", serialize=how).get_pipe("bert_embeddings").to_bytes(exclude=["vocab"]))
        for how in ("reference", "weights")
    ]
    assert sizes[0] < 1000 < sizes[1]


def test_a_trained_mix_is_saved(make_nlp, tiny_bert, tmp_path):
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "spacy_ctx_embed.Bert.v1",
        "name": str(tiny_bert),
        "overlap": 8,
        "layer_mix": "scalar_mix",
    }
    pipe = nlp.add_pipe("bert_embeddings", config={"model": model})
    nlp.initialize()
    pipe.model.set_param("mix_weights", np.array([3, 0, -3], dtype=np.float32))
    nlp.to_disk(tmp_path / "nlp")
    _assert_same(_rows([spacy.load(tmp_path / "nlp")("the bank")]), _rows([nlp("the bank")]), atol=0)


@pytest.mark.parametrize("twice", [pickle.dumps, None])
def test_pickle_and_deepcopy(twice, make_nlp):
    nlp = make_nlp("static", "bert", "stacked")
    nlp("warm")
    again = pickle.loads(pickle.dumps(nlp)) if twice else copy.deepcopy(nlp)
    _assert_same(_rows([again("the bank")]), _rows([nlp("the bank")]), atol=0)


def test_a_pickle_brings_the_attributes_to_a_process_in_which_no_component_was_built(make_nlp):
    data = pickle.dumps(make_nlp("static"))
    for owner in (Doc, Span, Token):
        for key in ("vectors", "vector", "has_vector", "vector_norm", "similarity"):
            owner.remove_extension(key)
    try:
        assert pickle.loads(data)("the bank")[1]._.has_vector
    finally:
        attributes.install()


def test_initialize_and_update_leave_the_pipeline_trainable(make_nlp):
    nlp = make_nlp("static", "bert")
    ner = nlp.add_pipe("ner")
    ner.add_label("PLACE")
    examples = [Example.from_dict(nlp.make_doc("the river bank"), {"entities": [(4, 14, "PLACE")]})]
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["static_embeddings"] == losses["bert_embeddings"] == 0.0
    assert losses["ner"] > 0


class _Watcher:
    # A trainable component that only looks at what the ones before it left.
    def __init__(self):
        self.seen = []

    def __call__(self, doc):
        return doc

    def update(self, examples, **settings):
        self.seen += [list(example.predicted._.embeddings) for example in examples]


@Language.factory("test_watcher")
def _make_watcher(nlp, name):
    return _Watcher()


def test_annotating_components_annotate_during_update(make_nlp):
    nlp = make_nlp("static")
    watcher = nlp.add_pipe("test_watcher")
    nlp.initialize()
    nlp.update([Example.from_dict(nlp.make_doc("the bank"), {})], annotates=["static_embeddings"])
    assert watcher.seen == [["static_embeddings"]]


def test_any_spacy_tok2vec_fits_as_the_model():
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy.HashEmbedCNN.v2", "width": 8, "depth": 1, "embed_size": 100}
    defaults = {"window_size": 1, "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}
    nlp.add_pipe("bert_embeddings", name="hashes", config={"model": {**model, **defaults}})
    nlp.initialize()
    doc = nlp("the  bank")
    assert doc._.embeddings["hashes"].shape == (3, 8)
    assert [token._.vector_status for token in doc] == ["ok", "space", "ok"]
    assert not doc[1]._.vector.any()
    again = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    _assert_same(_rows([again("the  bank")]), _rows([doc]), atol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("doc_pooling", "median"),
        ("dtype", "int8"),
        ("gpu", "maybe"),
        ("gpu_id", -1),
        ("serialize", "zip"),
        ("cache_mb", 100),
        ("cache_mb", -1),
        ("cache_dir", "cache"),
    ],
)
def test_a_bad_setting_names_key_value_and_choices(key, value, make_nlp):
    with pytest.raises(ValueError, match=rf"static_embeddings.*'{key}' is {value!r}.*Accepted: .*Fix: "):
        make_nlp("static", **{key: value})


def test_a_failing_component_leaves_the_pipeline_usable(make_nlp):
    nlp = make_nlp("static")
    with pytest.raises(ValueError, match="doc_pooling"):
        nlp.add_pipe("bert_embeddings", config={"doc_pooling": "x"})
    assert nlp("the bank")[1]._.has_vector


def test_the_same_doc_can_be_processed_twice(make_nlp):
    nlp = make_nlp("static", "bert", "stacked")
    doc = nlp("the bank")
    before = _rows([doc])
    for _, pipe in nlp.pipeline:
        doc = pipe(doc)
    _assert_same(_rows([doc]), before, atol=0)


def test_chinese_works(make_nlp):
    nlp = make_nlp("static", "bert", lang="zh")
    with pytest.warns(UserWarning, match="CW005"):
        doc = nlp("你好世界 a")
    assert doc._.embeddings["bert_embeddings"].shape == (len(doc), 16)
    assert doc[len(doc) - 1]._.vectors["static_embeddings"].any()


def test_custom_docs_are_accepted(make_nlp):
    nlp = make_nlp("static", "bert")
    doc = nlp(Doc(nlp.vocab, words=["ri", "ver", "bank"], spaces=[False, True, False]))
    assert [t._.vectors["bert_embeddings"].any() for t in doc] == [True] * 3


@pytest.mark.parametrize("stream_bytes", [1, 4 * 50 * 7, 1 << 30])
def test_long_docs_make_smaller_batches_with_the_same_rows(make_nlp, stream_bytes, monkeypatch):
    nlp = make_nlp("bert")
    texts = ["a cat", "", "the dog sat on the mat and slept", "one two three", "end"] * 2
    expected = list(nlp.pipe(texts))
    monkeypatch.setattr("spacy_ctx_embed.pipeline.component._STREAM_BYTES", stream_bytes)
    docs = list(nlp.pipe(texts, batch_size=3))
    assert [doc.text for doc in docs] == texts
    _assert_same(_rows(docs), _rows(expected))
