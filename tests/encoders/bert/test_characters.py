"""CANINE and ByT5 as ``bert_embeddings``: models of characters and of bytes, whose tokenizers give no offsets."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from transformers import AutoModel, AutoTokenizer, ByT5Tokenizer, CanineTokenizer

from tests.small_transformers import SIZES, write

pytestmark = pytest.mark.usefixtures("unicode_once")
NAME = "bert_embeddings"
TEXTS = [
    "a",
    "No",
    "rain fell",
    "Über e\u0301 naïve cafés",
    "👩‍👩‍👧 and 😀, \U0010fffd",
    "銀行在河边。",
    "w" * 1000 + " end",
    "</s> <pad> <extra_id_0> x",
    "[CLS] [SEP] \ue000 \ue001 \ue003 x",
    "two  spaces\n\tand a tab",
    "rain fell on the tin roof while a kettle whistled and nine grey boats left",
]


def _canine(folder):
    from transformers import CanineConfig, CanineModel

    sizes = {**SIZES, "max_position_embeddings": 256, "num_hash_buckets": 512}
    config = CanineConfig(**sizes, local_transformer_stride=32, bos_token_id=0xE000, eos_token_id=0xE001)
    write(folder, CanineModel(config))
    for file in folder.glob("*token*"):
        file.unlink()
    CanineTokenizer(model_max_length=128).save_pretrained(folder)
    return folder


def _byt5(folder):
    from transformers import T5Config, T5Model

    config = T5Config(vocab_size=384, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, tie_word_embeddings=False)
    write(folder, T5Model(config))
    for file in folder.glob("*token*"):
        file.unlink()
    ByT5Tokenizer(model_max_length=128).save_pretrained(folder)
    return folder


MAKERS = {"canine": _canine, "byt5": _byt5}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in MAKERS.items()}


@pytest.fixture(scope="module")
def pipelines(folders):
    return {kind: _pipeline(folder) for kind, folder in folders.items()}


def _pipeline(folder, **model):
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"model": {"name": str(folder), **model}})
    return nlp


def _rows(doc):
    return np.array(doc._.embeddings[NAME])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("text", ["rain fell", "Über e\u0301 naïve 😀", "銀行在河边。", "</s> [CLS] <extra_id_0>"])
def test_rows_are_means_over_the_characters_of_each_token(kind, text, folders, pipelines):
    doc = pipelines[kind](text)
    tokenizer = AutoTokenizer.from_pretrained(folders[kind])
    model = AutoModel.from_pretrained(folders[kind]).eval()
    model = model.get_encoder() if kind == "byt5" else model
    inputs = tokenizer(text, return_tensors="pt", split_special_tokens=True)
    with torch.no_grad():
        states = model(**inputs).last_hidden_state[0].numpy()
    n_before = int(kind == "canine")
    for token in doc:
        before, mine = text[: token.idx], token.text
        count = len if kind == "canine" else (lambda part: len(part.encode()))
        first = n_before + count(before)
        np.testing.assert_allclose(_rows(doc)[token.i], states[first : first + count(mine)].mean(0), atol=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_every_token_has_a_row_and_the_same_one_in_a_batch(kind, pipelines):
    nlp = pipelines[kind]
    alone = [nlp(text) for text in TEXTS]
    for doc in alone:
        assert all(token._.has_vector != token.is_space for token in doc), doc.text
        assert np.isfinite(_rows(doc)).all()
    for docs in (list(nlp.pipe(TEXTS)), list(nlp.pipe(TEXTS[::-1]))[::-1], list(nlp.pipe(TEXTS, batch_size=3))):
        for one, other in zip(alone, docs):
            np.testing.assert_allclose(_rows(other), _rows(one), atol=2e-4, rtol=1e-3)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40), kind=st.sampled_from(sorted(MAKERS)))
def test_any_text(text, kind, pipelines):
    doc = pipelines[kind](text)
    assert _rows(doc).shape == (len(doc), 32)
    assert all(token._.has_vector != token.is_space for token in doc)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_document_beyond_the_limit_is_read_in_windows(kind, pipelines):
    nlp = pipelines[kind]
    text = " ".join(TEXTS[-1:] * 20)
    network = nlp.get_pipe(NAME).model.shims[0].network()
    assert network._cutter.window == 128 - (2 if kind == "canine" else 1)
    doc = nlp(text)
    assert all(token._.has_vector for token in doc)
    assert len(network.segment([doc])) > 10
    np.testing.assert_allclose(_rows(doc)[:5], _rows(nlp(text[: network._cutter.window]))[:5], atol=1e-4)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_spelling_does_not_move_the_other_rows_as_a_special_piece_would(kind, pipelines):
    special = {"canine": "\ue001", "byt5": "</s>"}[kind]
    nlp = pipelines[kind]
    network = nlp.get_pipe(NAME).model.shims[0].network()
    doc = Doc(nlp.vocab, words=["rain", special, "fell"])
    ids = np.concatenate([pieces for segment in network.segment([doc]) for pieces in segment.inputs.pieces])
    assert not set(ids.tolist()) & {*network._frame.prefix.tolist(), *network._frame.suffix.tolist(), 0}
    assert all(token._.has_vector for token in nlp.get_pipe(NAME)(doc))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_saved_pipeline_gives_the_same_rows_and_the_same_identity(kind, folders, pipelines, tmp_path):
    nlp = pipelines[kind]
    expected = [nlp(text) for text in TEXTS]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for one, text in zip(expected, TEXTS):
        np.testing.assert_array_equal(_rows(again(text)), _rows(one))
    identities = [pipeline.get_pipe(NAME).model.shims[0].network().identity() for pipeline in (nlp, again)]
    assert [bytes(part) for part in identities[0]] == [bytes(part) for part in identities[1]]


@pytest.mark.parametrize("kind", MAKERS)
def test_the_cache_gives_the_rows_back(kind, folders):
    nlp = _pipeline(folders[kind])
    cached = spacy.blank("xx")
    cached.add_pipe(NAME, config={"cache_mb": 8, "model": {"name": str(folders[kind])}})
    for text in (*TEXTS, *TEXTS):
        np.testing.assert_allclose(_rows(cached(text)), _rows(nlp(text)), atol=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_gradients_reach_the_model(kind, folders):
    nlp = _pipeline(folders[kind], trainable=True)
    model = nlp.get_pipe(NAME).model
    rows, backprop = model.begin_update([Doc(nlp.vocab, words=["a"]), Doc(nlp.vocab, words=["rain", "fell"])])
    backprop([np.ones_like(part) for part in rows])
    network = model.shims[0].network()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in network.module.parameters())


@pytest.mark.parametrize("kind", MAKERS)
def test_no_token_is_unknown(kind, pipelines):
    assert {token._.vector_status for token in pipelines[kind]("齉 😀 <unk> x")} == {"ok"}


@pytest.mark.parametrize("kind", MAKERS)
def test_spellings_can_not_be_asked_to_be_special_pieces(kind, folders):
    nlp = _pipeline(folders[kind], tokenizer_config={"split_special_tokens": False})
    with pytest.raises(ValueError, match=r"CE001.*tokenizer_config.split_special_tokens.*characters or bytes"):
        nlp("rain")
