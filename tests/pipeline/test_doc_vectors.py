"""pipeline/doc_vectors.py, with attach/pooled.py and encoders/bert/texts.py: where Docs and Spans have vectors from.

Here too: attach/pooled.py, pipeline/files.py, encoders/texts.py, encoders/bert/texts.py, encoders/bert/windows.py.
"""

from __future__ import annotations

import gc
import pickle
import shutil

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import ignore_error

from spacy_ctx_embed.attach import heads
from spacy_ctx_embed.errors import ModelFormatError
from tests.small_transformers import write_model, write_tokenizer
from tests.writers.sentence import dense, write_sentence_model

NAME = "bert_embeddings"
TEXT = "We sat on the river bank. I gave money to the dog! the tree"
POOL = {"type": "Pooling", "pooling_mode": "mean"}
PROMPT = {"prompts": {"query": "run: "}, "default_prompt_name": "query"}


def _pipeline(name, doc_pooling="model", *, model=None, **settings):
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    model = {"name": str(name), "overlap": 8, **(model or {})}
    nlp.add_pipe(NAME, config={"doc_pooling": doc_pooling, "model": model, **settings})
    return nlp


@pytest.fixture(scope="module")
def folder(tiny_bert, tmp_path_factory):
    """A model that makes vectors of 5 columns of rows of 16, without a prompt."""
    modules = [POOL, dense(16, 5), {"type": "Normalize"}]
    return write_sentence_model(tmp_path_factory.mktemp("sentence") / "model", tiny_bert, modules)


@pytest.fixture(scope="module")
def prompted(tiny_bert, tmp_path_factory):
    """The same with a prompt."""
    return write_sentence_model(tmp_path_factory.mktemp("prompted") / "model", tiny_bert, [POOL], prompts=PROMPT)


def _count_windows(nlp):
    # Windows that the network runs from now on.
    network, windows = nlp.get_pipe(NAME).model.shims[0].network(), []
    run = network.run

    def counted(segments, layers):
        windows.extend(pieces for segment in segments for pieces in segment.inputs.pieces)
        return run(segments, layers)

    network.run = counted
    return windows


def test_docs_and_spans_have_the_width_of_the_models_vectors_and_tokens_that_of_rows(folder):
    doc = _pipeline(folder)(TEXT)
    assert doc.vector.shape == doc._.vector.shape == doc[2:5]._.vector.shape == doc[2:5].vector.shape == (5,)
    assert doc[2]._.vector.shape == doc[2].vector.shape == (16,)
    assert doc._.vector_norm == pytest.approx(1, abs=1e-5) and doc.vector_norm == pytest.approx(1, abs=1e-5)
    assert -1 <= doc[2:5]._.similarity(doc) <= 1


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_text_without_words_has_zeros_of_that_width(text, folder, prompted):
    for model, width in ((folder, 5), (prompted, 16)):
        doc = _pipeline(model)(text)
        assert doc._.vector.tolist() == [0] * width and not doc._.has_vector and not doc.has_vector


def test_one_pass_is_enough_without_a_prompt_and_a_prompt_needs_a_second(folder, prompted):
    for model, n in ((folder, 1), (prompted, 2)):
        nlp = _pipeline(model)
        windows = _count_windows(nlp)
        nlp(TEXT)
        assert len(windows) == n


def test_spans_are_read_in_context_and_alone_where_that_is_asked_for(folder):
    nlp = _pipeline(folder)
    doc = nlp(TEXT)
    sentences = list(doc.sents)
    late = np.stack([sentence._.vector for sentence in sentences])
    alone = nlp.get_pipe(NAME).vectors_alone(sentences)
    expected = np.stack([nlp(sentence.text)._.vector for sentence in sentences])
    np.testing.assert_allclose(alone, expected, atol=1e-6)
    assert alone.shape == late.shape == (3, 5) and np.abs(alone - late).max() > 1e-3
    np.testing.assert_allclose(nlp.get_pipe(NAME).vectors_alone([doc])[0], doc._.vector, atol=1e-6)
    assert nlp.get_pipe(NAME).vectors_alone([]).shape == (0, 5)


def test_any_pooling_and_encoder_gives_vectors_alone(make_nlp):
    nlp = make_nlp("static", doc_pooling="max")
    doc = nlp("the river bank")
    found = nlp.get_pipe("static_embeddings").vectors_alone([doc[1:3], doc])
    np.testing.assert_array_equal(found, [doc[1:3]._.vector, doc._.vector])


def test_vectors_alone_are_of_all_texts_or_an_error(make_nlp, monkeypatch):
    nlp = make_nlp("static")
    nlp.set_error_handler(ignore_error)
    pipe = nlp.get_pipe("static_embeddings")
    docs = [nlp("the bank"), nlp("broken"), nlp("a river")]
    predict = pipe.predict

    def fails(batch):
        if any("broken" in doc.text for doc in batch):
            raise ValueError("broken")
        return predict(batch)

    monkeypatch.setattr(pipe, "predict", fails)
    with pytest.raises(ValueError, match="broken"):
        pipe.vectors_alone(docs)
    assert len(pipe.vectors_alone(docs[::2])) == 2


def test_the_vector_goes_where_the_doc_goes(folder):
    nlp = _pipeline(folder, set_hooks=False)
    doc = nlp(TEXT)
    vector = np.array(doc._.vector)
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    vocab = spacy.blank("xx").vocab
    others = [
        doc.copy(),
        Doc(vocab).from_bytes(doc.to_bytes()),
        pickle.loads(pickle.dumps(doc)),
        *DocBin().from_bytes(data).get_docs(vocab),
        *nlp.pipe([TEXT, ""], n_process=2, batch_size=1),
    ]
    for other in others[:-1]:
        np.testing.assert_allclose(other._.vector, vector, atol=1e-6)
        np.testing.assert_allclose(other[2:5]._.vector, doc[2:5]._.vector, atol=1e-6)
        assert not other._.vector.flags.writeable
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[3:6])
    assert np.array_equal(doc._.vector, vector)  # it is of the text, and that is the same


def test_spans_of_docs_from_workers_need_the_model_and_it_is_opened_then(folder, monkeypatch):
    monkeypatch.setattr(heads, "_LOADED", {})
    nlp = _pipeline(folder)
    (doc,) = nlp.pipe([TEXT], n_process=2)
    shim = nlp.get_pipe(NAME).model.shims[0]
    assert not shim.loaded
    assert doc[2:5]._.vector.shape == (5,) and shim.loaded
    data = doc.to_bytes()
    del nlp, shim, doc
    gc.collect()
    monkeypatch.setattr(heads, "_LOADED", {})  # as in another process
    other = Doc(spacy.blank("xx").vocab).from_bytes(data)
    assert other._.vector.shape == (5,)
    with pytest.raises(ValueError, match=r"\[CE028\].*bert_embeddings.*Fix: load the pipeline"):
        other[2:5]._.vector  # noqa: B018


@pytest.mark.parametrize("serialize", ["weights", "reference"])
def test_a_saved_pipeline_gives_the_same_vectors(serialize, folder, tmp_path):
    own = shutil.copytree(folder, tmp_path / "own")
    nlp = _pipeline(own, serialize=serialize)
    vector, span = (np.array(part) for part in (nlp(TEXT)._.vector, nlp(TEXT)[2:5]._.vector))
    nlp.to_disk(tmp_path / "saved")
    if serialize == "weights":
        shutil.rmtree(own)
    for again in (
        spacy.load(tmp_path / "saved"),
        pickle.loads(pickle.dumps(nlp)),
        _pipeline(own).from_bytes(nlp.to_bytes()),
    ):
        np.testing.assert_allclose(again(TEXT)._.vector, vector, atol=1e-6)
        np.testing.assert_allclose(again(TEXT)[2:5]._.vector, span, atol=1e-6)


def test_a_pipeline_saved_with_another_pooling_keeps_what_the_models_own_needs(folder, tmp_path):
    _pipeline(folder, "max").to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved", config={f"components.{NAME}.doc_pooling": "model"})
    np.testing.assert_allclose(again(TEXT)._.vector, _pipeline(folder)(TEXT)._.vector, atol=1e-6)


@pytest.mark.parametrize("doc_pooling", ["model", "cls"])
@pytest.mark.parametrize("layer_mix", ["last", "scalar_mix"])
def test_a_hit_of_the_cache_needs_no_pass(doc_pooling, layer_mix, folder, prompted, tmp_path):
    texts = [TEXT, "", "\n", "the dog", TEXT + " one more" * 40]
    for i, model in enumerate((folder, prompted)):
        settings = {"cache_dir": str(tmp_path / str(i)), "model": {"layer_mix": layer_mix}}
        list(_pipeline(model, "mean", **settings).pipe(texts))  # has the rows and not the vectors
        expected = [
            np.array(doc._.vector) for doc in _pipeline(model, doc_pooling, model=settings["model"]).pipe(texts)
        ]
        for n_runs in (True, False, False):
            nlp = _pipeline(model, doc_pooling, **settings)
            windows = _count_windows(nlp)
            for doc, vector in zip(nlp.pipe(texts), expected):
                np.testing.assert_allclose(doc._.vector, vector, atol=1e-5)
            assert bool(windows) == n_runs


def test_another_prompt_is_another_entry_of_the_cache(prompted, tmp_path):
    own = shutil.copytree(prompted, tmp_path / "own")
    first = np.array(_pipeline(own, cache_dir=str(tmp_path / "cache"))(TEXT)._.vector)
    file = own / "config_sentence_transformers.json"
    file.write_text(file.read_text().replace("run: ", "spring apple: "))
    changed = _pipeline(own, cache_dir=str(tmp_path / "cache"))(TEXT)._.vector
    np.testing.assert_allclose(changed, _pipeline(own)(TEXT)._.vector, atol=1e-6)
    assert np.abs(changed - first).max() > 1e-3


@pytest.mark.parametrize("mode", ["mean", "max", "cls", "lasttoken", "weightedmean"])
def test_nothing_of_a_long_text_is_left_out(mode, tiny_bert, tmp_path):
    folder = write_sentence_model(tmp_path / "model", tiny_bert, [{"type": "Pooling", "pooling_mode": mode}])
    nlp = _pipeline(folder)
    words = "the river bank and the dog ".split() * 30
    vector = nlp(Doc(nlp.vocab, words=words))._.vector
    assert np.isfinite(vector).all()
    for i in (0, len(words) // 2, len(words) - 1):
        other = [*words[:i], "unbelievable", *words[i + 1 :]]
        assert np.abs(nlp(Doc(nlp.vocab, words=other))._.vector - vector).max() > 1e-5


def test_the_first_piece_is_mixed_as_rows_are(tiny_bert):
    import torch
    from transformers import AutoModel, AutoTokenizer

    with torch.inference_mode():
        inputs = AutoTokenizer.from_pretrained(tiny_bert)(TEXT, return_tensors="pt")
        states = AutoModel.from_pretrained(tiny_bert).eval()(**inputs, output_hidden_states=True).hidden_states
    first = np.stack([state[0, 0].numpy() for state in states])
    expected = {"last": first[-1], "mean": first.mean(axis=0), "concat": np.concatenate(first)}
    for layer_mix, vector in expected.items():
        doc = _pipeline(tiny_bert, "cls", model={"layer_mix": layer_mix})(TEXT)
        np.testing.assert_allclose(doc._.vector, vector, atol=1e-5)
        rows = doc._.embeddings[NAME][2:5]
        np.testing.assert_allclose(doc[2:5]._.vector, rows.mean(axis=0), atol=1e-6)  # a Span has no such piece


def test_halves_are_stored_as_halves(folder):
    half, full = _pipeline(folder, dtype="float16")(TEXT), _pipeline(folder)(TEXT)
    assert half._.vector.dtype == half[2:5]._.vector.dtype == np.float16
    np.testing.assert_allclose(half._.vector, full._.vector, atol=2e-3)


# smooth inverse frequency

DOCS = ["the river bank", "the dog barks and the tree", "I gave the dog money", "water flows", "\n", ""]


def _examples(nlp):
    return [Example.from_dict(nlp.make_doc(text), {}) for text in DOCS]


def _sif_by_hand(nlp, name, texts):
    # The formula, from rows that another pooling of the same component gives.
    docs = [nlp(text) for text in DOCS]
    words = [token.lower_ for doc in docs for token in doc if not token.is_space]
    share = {word: words.count(word) / len(words) for word in words}

    def average(doc):
        rows = [t._.vectors[name] * (1e-3 / (1e-3 + share.get(t.lower_, 0))) for t in doc if t._.has_vector]
        return np.mean(rows, axis=0) if rows else None

    matrix = np.stack([vector for vector in map(average, docs) if vector is not None])
    common = np.linalg.svd(matrix)[2][0]
    return [vector - common * (common @ vector) for vector in (average(nlp(text)) for text in texts)]


@pytest.mark.parametrize("source", ["static", "bert"])
def test_sif_is_the_formula_and_is_saved(source, make_nlp, tmp_path):
    name = f"{source}_embeddings"
    nlp = make_nlp(source, doc_pooling="sif")
    nlp.initialize(lambda: _examples(nlp))
    texts = ["The river and the dog", "unbelievable money"]
    expected = _sif_by_hand(make_nlp(source), name, texts)
    nlp.to_disk(tmp_path / "saved")
    fresh = make_nlp(source, doc_pooling="sif").from_bytes(nlp.to_bytes())
    for again in (nlp, spacy.load(tmp_path / "saved"), fresh, pickle.loads(pickle.dumps(nlp))):
        for doc, vector in zip(again.pipe(texts), expected):
            np.testing.assert_allclose(doc._.vector, vector, atol=1e-5)
            assert np.array_equal(doc[:]._.vector, doc._.vector)
    (doc,) = nlp.pipe(texts[:1], n_process=2)
    np.testing.assert_allclose(doc._.vector, expected[0], atol=1e-5)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert doc._.vector.shape == expected[0].shape and np.isfinite(doc._.vector).all()


def test_sif_of_a_stack_reads_the_components_before_it(make_nlp):
    nlp = make_nlp("static", "bert")
    nlp.add_pipe("stacked_embeddings", config={"doc_pooling": "sif"})
    nlp.initialize(lambda: _examples(nlp))
    other = make_nlp("static", "bert", "stacked")
    expected = _sif_by_hand(other, "stacked_embeddings", ["the river"])
    np.testing.assert_allclose(nlp("the river")._.vector, expected[0], atol=1e-5)


def test_sif_that_was_not_fitted_is_an_error_that_says_how(make_nlp, tmp_path):
    nlp = make_nlp("static", doc_pooling="sif")
    for prepare in (lambda: None, nlp.initialize, lambda: nlp.initialize(lambda: _examples(nlp)[:1])):
        prepare()  # without examples, and with a single text, of which all would be taken out
        with pytest.raises(ValueError, match=r"\[CE029\] static_embeddings.*'sif' has not been fitted.*Fix: nlp.init"):
            nlp("the river")
    nlp.to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match="CE029"):
        spacy.load(tmp_path / "saved")("the river")


def test_sif_that_was_fitted_on_other_rows_is_refused(make_nlp):
    nlp, other = make_nlp("static", doc_pooling="sif"), make_nlp("bert", doc_pooling="sif")
    nlp.initialize(lambda: _examples(nlp))
    other.get_pipe(NAME).sif = nlp.get_pipe("static_embeddings").sif
    with pytest.raises(ValueError, match=r"\[CE029\] bert_embeddings.*of 8 columns, and these have 16"):
        other("the river")


# bad input


@pytest.mark.parametrize("value", ["cls", "model"])
@pytest.mark.parametrize("factory", ["static_embeddings", "elmo_embeddings", "stacked_embeddings"])
def test_an_encoder_without_such_vectors_is_refused(factory, value):
    with pytest.raises(ValueError, match=rf"\[CE001\] {factory}.*'doc_pooling' is {value!r}.*'sif'.*Bert.v1.*Fix: "):
        spacy.blank("xx").add_pipe(factory, config={"doc_pooling": value})


def test_an_encoder_inside_another_is_refused_too(make_nlp):
    model = {
        "@architectures": "spacy_ctx_embed.StackedTok2Vec.v1",
        "embeddings": {"bert": {"@architectures": "spacy_ctx_embed.Bert.v1", "name": "x"}},
        "width": 8,
    }
    with pytest.raises(ValueError, match=r"\[CE001\].*doc_pooling"):
        spacy.blank("xx").add_pipe(NAME, config={"doc_pooling": "model", "model": model})


def test_rows_wider_than_the_models_layers_are_refused(folder):
    with pytest.raises(ValueError, match=r"\[CE001\].*doc_pooling.*layer_mix other than 'concat'"):
        _pipeline(folder, model={"layer_mix": "concat"})


def test_a_model_that_puts_nothing_before_a_text_has_no_first_piece(tmp_path):
    folder = write_model(tmp_path, "bert")
    write_tokenizer(folder, single="$A [SEP]")
    with pytest.raises(ValueError, match=r"\[CE001\].*'doc_pooling' is 'cls'.*no special piece"):
        _pipeline(folder, "cls")("rain fell")


def test_an_unknown_module_is_named_when_the_model_is_opened(tiny_bert, tmp_path):
    folder = write_sentence_model(tmp_path / "model", tiny_bert, [POOL, {"type": "LSTM", "hidden_dim": 4}])
    assert _pipeline(folder, "mean")(TEXT)._.has_vector  # nobody asked
    with pytest.raises(ModelFormatError, match=r"modules.json.*module 2.*LSTM.*Fix: "):
        _pipeline(folder).get_pipe(NAME).find_width()
