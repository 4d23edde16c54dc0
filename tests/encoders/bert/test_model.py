"""encoders/bert/model.py: rows against transformers itself, alignment of awkward text, windows, bad files.

Here too: encoders/bert/network.py, encoders/bert/cutter.py.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from transformers import AutoModel, AutoTokenizer

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from tests.strategies import tokenised

slow_data = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
POOL = {
    "mean": lambda x: x.mean(0),
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "max": lambda x: x.max(0),
    "sum": lambda x: x.sum(0),
}


def _reference(folder, doc, pooling="mean", layer=-1, **settings):
    # The same text through AutoModel, pieces pooled one token at a time in plain Python.
    tokenizer, model = AutoTokenizer.from_pretrained(folder, **settings), AutoModel.from_pretrained(folder).eval()
    encoded = tokenizer(doc.text, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        hidden = model(**encoded, output_hidden_states=True).hidden_states[layer][0].numpy()
    rows = np.zeros((len(doc), hidden.shape[1]), dtype=np.float32)
    for token in doc:
        mine = [i for i, (s, e) in enumerate(offsets) if s < e and s < token.idx + len(token) and token.idx < e]
        if mine and not token.text.isspace():
            rows[token.i] = POOL[pooling](hidden[mine])
    return rows


def _rows(docs, **config):
    model = make_bert_v1(**{"overlap": 8, **config})
    return encoder_of(model).encode(model, docs)


@pytest.mark.parametrize("pooling", list(POOL))
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_rows_equal_pooled_states_of_automodel(kind, pooling, tiny_bert, tiny_roberta):
    folder = tiny_bert if kind == "bert" else tiny_roberta
    doc = spacy.blank("xx")("Unbelievably, dogs running in NY can't  stop 😀!")
    (item,) = _rows([doc], name=str(folder), subword_pooling=pooling)
    np.testing.assert_allclose(item.rows, _reference(folder, doc, pooling), atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -3])
def test_each_layer_is_the_models(layer, tiny_bert):
    doc = spacy.blank("xx")("the bank of the river")
    (item,) = _rows([doc], name=str(tiny_bert), layers=[layer])
    np.testing.assert_allclose(item.rows, _reference(tiny_bert, doc, layer=layer), atol=1e-5)


def test_layers_are_mixed_as_asked(tiny_bert):
    doc = spacy.blank("xx")("the bank of the river")
    stack = np.stack([_reference(tiny_bert, doc, layer=k) for k in range(3)])
    expected = {
        "mean": stack.mean(0),
        "scalar_mix": stack.mean(0),
        "sum": stack.sum(0),
        "concat": np.concatenate(list(stack), axis=1),
    }
    for layer_mix, rows in expected.items():
        (item,) = _rows([doc], name=str(tiny_bert), layer_mix=layer_mix)
        np.testing.assert_allclose(item.rows, rows, atol=1e-5)


def test_the_real_minilm_equals_automodel(minilm):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings")
    doc = nlp("The bank raised its rates, so I walked along the river bank unbelievably slowly.")
    np.testing.assert_allclose(doc._.embeddings["bert_embeddings"], _reference(minilm, doc), atol=1e-4)


def test_the_context_changes_a_words_row(minilm):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings")
    river, money = nlp("He fished from the river bank."), nlp("She took a loan from the bank.")
    assert river[5]._.similarity(money[6]) < 0.8


@slow_data
@given(case=tokenised(), kind=st.sampled_from(["bert", "roberta"]))
def test_any_tokenisation_gives_exactly_one_right_row_per_token(tiny_bert, tiny_roberta, case, kind):
    folder = tiny_bert if kind == "bert" else tiny_roberta
    doc = Doc(Vocab(), words=case[0], spaces=case[1])
    (item,) = _rows([doc], name=str(folder), window=64)
    assert item.rows.shape == (len(doc), 16)
    for token, row, status in zip(doc, item.rows, item.status):
        if token.text.isspace():
            assert status == Status.SPACE
        assert (status in (Status.OK, Status.UNKNOWN)) == bool(np.abs(row).sum() > 0)
    if len(doc.text) < 60:  # surely one window of byte pieces as well
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if len(tokenizer(doc.text)["input_ids"]) <= 64:
            np.testing.assert_allclose(item.rows, _reference(folder, doc), atol=1e-4)


@slow_data
@given(texts=st.lists(st.text("ab nkriver,. ", max_size=120), min_size=1, max_size=4), data=st.data())
def test_rows_do_not_depend_on_batch_order_or_budget(tiny_bert, texts, data):
    nlp = spacy.blank("xx")
    docs = [nlp.make_doc(text) for text in texts]
    alone = [_encode(_cached(tiny_bert, 4096), [doc])[0] for doc in docs]
    order = data.draw(st.permutations(range(len(docs))))
    budget = data.draw(st.sampled_from([1, 70, 4096]))
    together = _encode(_cached(tiny_bert, budget), [docs[i] for i in order])
    for i, item in zip(order, together):
        np.testing.assert_allclose(item.rows, alone[i].rows, atol=1e-5)
        assert (item.status == alone[i].status).all()


MODELS = {}


def _cached(folder, budget):
    if budget not in MODELS:
        MODELS[budget] = make_bert_v1(name=str(folder), overlap=8, max_batch_tokens=budget)
    return MODELS[budget]


def _encode(model, docs):
    return encoder_of(model).encode(model, docs)


def test_a_long_doc_has_a_row_for_every_word(tiny_bert):
    doc = Doc(Vocab(), words=["river", "bank"] * 500)
    (item,) = _rows([doc], name=str(tiny_bert))
    assert (item.status == Status.OK).all()
    assert np.isfinite(item.rows).all()


def test_rows_of_a_long_doc_come_from_the_window_with_most_context(tiny_bert):
    doc = Doc(Vocab(), words=["river", "bank", "of", "the"] * 30)  # 120 pieces, 62 fit into a window
    (item,) = _rows([doc], name=str(tiny_bert), overlap=10)
    first = Doc(Vocab(), words=[t.text for t in doc[:62]])
    np.testing.assert_allclose(item.rows[:52], _reference(tiny_bert, first)[:52], atol=1e-5)
    assert np.abs(item.rows[53] - _reference(tiny_bert, first)[53]).max() > 1e-3


@pytest.mark.parametrize("length", [9, 25])
def test_sentence_windows_give_each_word_its_whole_sentence(length, tiny_bert):
    # Without room for a second sentence or for context, a window is one sentence.
    sentence = ["river", "bank", "of", "the"] * length
    sentence = sentence[:length]
    n = 6
    starts = [i % length == 0 for i in range(n * length)]
    doc = Doc(Vocab(), words=sentence * n, sent_starts=starts)
    window = length + 2
    (item,) = _rows([doc], name=str(tiny_bert), window=window, overlap=1, sentence_windows=True)
    alone = _reference(tiny_bert, Doc(Vocab(), words=sentence))
    np.testing.assert_allclose(item.rows, np.tile(alone, (n, 1)), atol=1e-5)
    (cut,) = _rows([doc], name=str(tiny_bert), window=window, overlap=1)
    assert np.abs(cut.rows - item.rows).max() > 1e-3


def test_sentence_windows_change_nothing_in_a_doc_without_sentences_or_within_one_window(tiny_bert):
    words = ["river", "bank", "of", "the"] * 5
    plain, short = Doc(Vocab(), words=words * 5), Doc(Vocab(), words=words, sent_starts=[i % 3 == 0 for i in range(20)])
    for doc in (plain, short):
        (a,), (b,) = (_rows([doc], name=str(tiny_bert), sentence_windows=value) for value in (False, True))
        np.testing.assert_array_equal(a.rows, b.rows)


def test_a_word_longer_than_the_window_is_pooled_over_all_its_pieces(tiny_roberta):
    doc = Doc(Vocab(), words=["x" * 1000, "b"])
    whole = _rows([doc], name=str(tiny_roberta), subword_pooling="max")[0]
    other_end = Doc(Vocab(), words=["x" * 999 + "y", "b"])
    changed = _rows([other_end], name=str(tiny_roberta), subword_pooling="sum")[0].rows
    same = _rows([doc], name=str(tiny_roberta), subword_pooling="sum")[0].rows
    assert (whole.status == Status.OK).all()
    assert np.abs(changed[0] - same[0]).max() > 1e-3  # its last byte counts


def test_a_100_000_token_doc_works(tiny_bert):
    doc = Doc(Vocab(), words=["bank"] * 100_000)
    (item,) = _rows([doc], name=str(tiny_bert), overlap=0)
    assert item.rows.shape == (100_000, 16)
    assert (item.status == Status.OK).all()


def test_empty_docs_have_no_rows(tiny_bert):
    full = Doc(Vocab(), words=["bank"])
    items = _rows([Doc(Vocab()), full, Doc(Vocab())], name=str(tiny_bert))
    assert [item.rows.shape for item in items] == [(0, 16), (1, 16), (0, 16)]
    assert _rows([Doc(Vocab())], name=str(tiny_bert))[0].rows.shape == (0, 16)
    assert _rows([], name=str(tiny_bert)) == []


def test_only_whitespace_has_no_vectors(tiny_bert):
    (item,) = _rows([Doc(Vocab(), words=["\n", "  ", "\u00a0"])], name=str(tiny_bert))
    assert item.rows.shape == (3, 16)
    assert (item.status == Status.SPACE).all()


def test_a_character_that_the_tokenizer_drops_is_uncovered(tiny_bert):
    doc = Doc(Vocab(), words=["the", "\x00", "bank"], spaces=[True, True, False])
    (item,) = _rows([doc], name=str(tiny_bert))
    assert item.status.tolist() == [Status.OK, Status.UNCOVERED, Status.OK]
    assert not item.rows[1].any()


def test_a_token_of_which_the_model_sees_only_unknown_pieces_is_unknown_and_keeps_its_row(tiny_bert):
    doc = Doc(Vocab(), words=["the", "\u9f49", "bank", "\U0001f600", "un\u9f49"])
    (item,) = _rows([doc], name=str(tiny_bert))
    assert item.status.tolist() == [Status.OK, Status.UNKNOWN, Status.OK, Status.UNKNOWN, Status.OK]
    np.testing.assert_allclose(item.rows, _reference(tiny_bert, doc), atol=1e-5)
    assert np.abs(item.rows[1] - item.rows[3]).max() > 1e-3  # each in its own place


def test_bytes_are_never_unknown(tiny_roberta):
    doc = Doc(Vocab(), words=["the", "\u9f49", "\U0001f600"])
    (item,) = _rows([doc], name=str(tiny_roberta))
    assert (item.status == Status.OK).all()


def test_unknown_words_of_a_long_doc_are_found_in_all_its_windows(tiny_bert):
    doc = Doc(Vocab(), words=["bank", "\U0001f600", "river"] * 100)
    (item,) = _rows([doc], name=str(tiny_bert))
    assert item.status.tolist() == [Status.OK, Status.UNKNOWN, Status.OK] * 100


SPECIAL = {"bert": ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"], "roberta": ["<s>", "</s>", "<mask>", "<unk>"]}


@slow_data
@given(data=st.data(), kind=st.sampled_from(["bert", "roberta"]))
def test_the_spelling_of_a_special_piece_is_text(tiny_bert, tiny_roberta, data, kind):
    folder = tiny_bert if kind == "bert" else tiny_roberta
    parts = data.draw(st.lists(st.sampled_from([*SPECIAL[kind], "the bank", " ", "river", "."]), max_size=6))
    doc = spacy.blank("xx")("".join(parts))
    (item,) = _rows([doc], name=str(folder))
    assert np.isfinite(item.rows).all() and (item.status != Status.UNCOVERED).all()
    if len(doc):
        np.testing.assert_allclose(item.rows, _reference(folder, doc, split_special_tokens=True), atol=1e-4)


def test_a_document_cant_end_its_own_sentence(minilm):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings")
    own = {"tokenizer_config": {"split_special_tokens": False}}
    nlp.add_pipe("bert_embeddings", name="own", config={"model": own})
    doc = nlp("We sat on the bank. [SEP] [CLS] The [MASK] was <s> muddy.")
    text = _reference(minilm, doc, split_special_tokens=True)
    np.testing.assert_allclose(doc._.embeddings["bert_embeddings"], text, atol=1e-4)
    np.testing.assert_allclose(doc._.embeddings["own"], _reference(minilm, doc), atol=1e-4)
    assert np.abs(doc._.embeddings["own"] - text).max() > 0.1


@pytest.mark.parametrize("value", ["no", 0, None])
def test_split_special_tokens_is_true_or_false(value):
    with pytest.raises(ValueError, match="tokenizer_config.split_special_tokens' is .*Accepted: true, false.*Fix:"):
        make_bert_v1(name="anything", tokenizer_config={"split_special_tokens": value})


def test_chinese_without_spaces_is_aligned(tiny_roberta):
    doc = spacy.blank("zh")("你好世界")
    (item,) = _rows([doc], name=str(tiny_roberta))
    np.testing.assert_allclose(item.rows, _reference(tiny_roberta, doc), atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_close_and_gives_float32(precision, tiny_bert):
    doc = spacy.blank("xx")("the bank of the river")
    (full,), (half,) = (_rows([doc], name=str(tiny_bert), precision=p) for p in ("float32", precision))
    assert half.rows.dtype == np.float32
    cosines = (full.rows * half.rows).sum(1) / np.linalg.norm(full.rows, axis=1) / np.linalg.norm(half.rows, axis=1)
    assert cosines.min() > 0.99
    assert np.abs(full.rows - half.rows).max() > 0


def test_it_fits_a_tok2vec_slot_and_learns_its_mix(tiny_bert):
    from thinc.api import Adam, Linear, chain, with_array

    docs = [Doc(Vocab(), words=["the", "bank"]), Doc(Vocab(), words=["river"])]
    encoder = make_bert_v1(name=str(tiny_bert), overlap=8, layer_mix="scalar_mix")
    model = chain(encoder, with_array(Linear(2)))
    model.initialize(X=docs)
    optimizer = Adam(0.1)
    losses = []
    for _ in range(20):
        rows, backprop = model.begin_update(docs)
        losses.append(sum(float((row**2).sum()) for row in rows))
        backprop([2 * row for row in rows])
        model.finish_update(optimizer)
    assert losses[-1] < losses[0] / 2
    assert np.abs(encoder.get_param("mix_weights")).max() > 0.01
    assert encoder.get_param("mix_gamma")[0] != 1


def test_training_reaches_the_transformer_only_where_asked(tiny_bert):
    from thinc.api import Adam

    docs = [Doc(Vocab(), words=["the", "bank"])]
    for trainable in (False, True):
        model = make_bert_v1(name=str(tiny_bert), overlap=8, trainable=trainable)
        model.initialize(X=docs)
        before = model.predict(docs)[0].copy()
        rows, backprop = model.begin_update(docs)
        backprop(rows)
        model.finish_update(Adam(0.01))
        assert bool(np.abs(model.predict(docs)[0] - before).max() > 1e-4) is trainable


def test_the_gradient_of_the_transformer_is_autograds(tiny_bert):
    docs = [Doc(Vocab(), words=["the", "bank", "unbelievable"])]
    model = make_bert_v1(
        name=str(tiny_bert),
        overlap=8,
        trainable=True,
        transformer_config={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    )
    model.initialize(X=docs)
    weight = model.shims[0].network().module.model.embeddings.word_embeddings.weight
    rows, backprop = model.begin_update(docs)
    slope = np.random.default_rng(0).normal(size=rows[0].shape).astype(np.float32)
    backprop([slope])
    i, j = np.unravel_index(int(weight.grad.abs().argmax()), weight.shape)
    step = 1e-2
    sums = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[i, j] += sign * step
        sums.append(float((model.predict(docs)[0].astype(np.float64) * slope).sum()))
        with torch.no_grad():
            weight[i, j] -= sign * step
    assert (sums[0] - sums[1]) / (2 * step) == pytest.approx(float(weight.grad[i, j]), rel=0.02)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", "some"),
        ("layers", []),
        ("layer_mix", "median"),
        ("precision", "int4"),
        ("subword_pooling", "middle"),
        ("max_batch_tokens", 0),
        ("window", 2),
        ("overlap", -1),
        ("sentence_windows", "yes"),
        ("prompt_name", 3),
    ],
)
def test_a_bad_setting_is_refused_when_built(key, value):
    with pytest.raises(ValueError, match=f"'{key}' is {value!r}.*Fix:".replace("[", r"\[")):
        make_bert_v1(**{"name": "anything", key: value})


def test_training_wants_float32_or_bfloat16(tiny_bert):
    with pytest.raises(ValueError, match="'precision' is 'float16'.*'float32' or 'bfloat16' where trainable = true"):
        make_bert_v1(name=str(tiny_bert), trainable=True, precision="float16")


@pytest.mark.parametrize(("key", "value"), [("window", 65), ("overlap", 40), ("layers", [3])])
def test_a_setting_beyond_the_model_is_refused_when_opened(key, value, tiny_bert):
    with pytest.raises(ValueError, match=f"'{key}' is .*Accepted: .*Fix:"):
        _rows([Doc(Vocab(), words=["a"])], **{"name": str(tiny_bert), key: value})


def _copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def _truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


def _wrong_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))


def _nan(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _missing_tensor(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _no_config(folder):
    (folder / "config.json").unlink()


def _broken_config(folder):
    (folder / "config.json").write_text("{")


def _no_weights(folder):
    (folder / "model.safetensors").unlink()


def _no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [_truncate, _wrong_shape, _nan, _missing_tensor, _no_config, _broken_config, _no_weights, _no_tokenizer],
)
def test_a_damaged_model_is_one_clear_error_and_the_pipeline_stays_usable(damage, tiny_bert, tmp_path):
    folder = _copy(tiny_bert, tmp_path)
    damage(folder)
    nlp = spacy.blank("xx")
    nlp.add_pipe(
        "bert_embeddings",
        config={"model": {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "overlap": 8}},
    )
    with pytest.raises(ModelFormatError, match=r"model.*Accepted: .*Fix: "):
        nlp("the bank")
    shutil.rmtree(folder)
    shutil.copytree(tiny_bert, folder)
    assert nlp("the bank")[0]._.has_vector


def test_an_unknown_name_lists_the_places(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="no-such/model") as caught:
        _rows([Doc(Vocab(), words=["a"])], name="no-such/model")
    assert "hub:no-such/model" in str(caught.value)
    assert "Fix:" in str(caught.value)
