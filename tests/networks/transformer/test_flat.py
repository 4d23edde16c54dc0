"""networks/transformer/flat.py: windows one behind the other have the states that they have alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.networks.transformer.flat import FlatWindows
from tests.small_transformers import WORDS, write_model

NAME = "bert_embeddings"
# Small models by kind, and whether they can go without padding: not those whose attention knows of distances.
KINDS = {
    "bert": ({}, True),
    "roberta": ({"max_position_embeddings": 70, "pad_token_id": 0}, True),
    "distilbert": ({"bare": True, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, True),
    "electra": ({"embedding_size": 16}, True),
    "albert": ({"embedding_size": 16}, True),
    "qwen3": ({"num_key_value_heads": 2, "head_dim": 8}, True),
    "mpnet": ({}, False),
    "deberta-v2": ({"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, False),
}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    found = {}
    for kind, (sizes, _) in KINDS.items():
        folder = write_model(tmp_path_factory.mktemp(kind), kind, **sizes)
        for budget in (2048, 1):
            found[kind, budget] = _pipeline(folder, max_batch_tokens=budget)
    return found


def _pipeline(folder, **settings):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), **settings}
    nlp.add_pipe(NAME, config={"model": model})
    return nlp


def _network(nlp):
    return encoder_shims(nlp.get_pipe(NAME).model)[0].network()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_windows_stand_one_behind_the_other(lengths):
    places = FlatWindows.of(lengths)
    windows = [np.full(length, i) for i, length in enumerate(lengths)]
    joined = places.join(windows)[0].numpy()
    assert len(joined) == sum(lengths) == len(places.positions)
    for i, (start, length) in enumerate(zip(places.starts, lengths)):
        assert (joined[start : start + length] == i).all()
        assert places.positions[start : start + length].tolist() == list(range(length))
    spans = [(start, start + n * length) for start, n, length in places.runs]
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert len({length for _, _, length in places.runs}) == len(places.runs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_goes_without_padding_where_its_attention_allows(kind, pipelines):
    pipelines[kind, 2048](WORDS[0])
    assert _network(pipelines[kind, 2048]).pads is not KINDS[kind][1]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_are_those_of_each_text_alone(kind, pipelines, data):
    text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=55).map(" ".join)
    texts = data.draw(st.lists(text, min_size=1, max_size=9))
    together = [doc._.embeddings[NAME] for doc in pipelines[kind, 2048].pipe(texts)]
    alone = [doc._.embeddings[NAME] for doc in pipelines[kind, 1].pipe(texts, batch_size=1)]
    for rows, other in zip(together, alone):
        np.testing.assert_allclose(rows, other, atol=2e-4, rtol=1e-3)


def test_states_equal_those_of_a_padded_pass_of_the_model_itself(pipelines):
    nlp = pipelines["bert", 2048]
    nlp(WORDS[0])
    model, tokenizer = _network(nlp).module.model, _network(nlp).tokenizer
    texts = [" ".join(WORDS[:5]), " ".join(WORDS), WORDS[3]]
    rows = [doc._.embeddings[NAME] for doc in nlp.pipe(texts)]
    with torch.inference_mode():
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        states = model(**inputs).last_hidden_state.numpy()
    for found, state in zip(rows, states):
        np.testing.assert_allclose(found, state[1 : 1 + len(found)], atol=1e-4)


SLIDING = {
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16, "use_sliding_window": True}
    | {"max_window_layers": 0},
    "modernbert": {"local_attention": 16, "global_attn_every_n_layers": 2}
    | dict.fromkeys([f"{name}_token_id" for name in ("pad", "bos", "eos", "cls", "sep")], 0),
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16, "use_bidirectional_attention": True},
}


@pytest.mark.parametrize("kind", SLIDING)
def test_attention_that_ends_at_some_distance_needs_no_padding_either(kind, tmp_path):
    folder = write_model(tmp_path, kind, **SLIDING[kind])
    nlp, alone = _pipeline(folder), _pipeline(folder, max_batch_tokens=1)
    texts = [" ".join(WORDS * n)[:200] for n in (1, 2, 3)] + WORDS[:3]
    for doc, other in zip(nlp.pipe(texts), alone.pipe(texts, batch_size=1)):
        np.testing.assert_allclose(doc._.embeddings[NAME], other._.embeddings[NAME], atol=2e-4, rtol=1e-3)
    assert max(len(text) for text in texts) > 64
    assert not nlp.get_pipe(NAME).model.shims[0].network().pads


def test_the_name_of_the_attention_is_not_saved(pipelines, tmp_path):
    nlp = pipelines["bert", 2048]
    nlp(WORDS[0])
    nlp.to_disk(tmp_path)
    config = next(tmp_path.rglob("config.json")).read_text(encoding="utf8")
    assert "spacy_ctx_embed" not in config


def test_threads_may_run_one_model_while_lengths_are_new(tmp_path):
    nlp = _pipeline(write_model(tmp_path, "bert"))
    texts = [" ".join(WORDS * 4)[: 20 * n] for n in range(1, 16)]
    expected = [doc._.embeddings[NAME] for doc in _pipeline(tmp_path, max_batch_tokens=1).pipe(texts, batch_size=1)]
    nlp(WORDS[0])

    def read(_):
        return [nlp(text)._.embeddings[NAME] for text in texts]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(read, range(8)):
            for rows, other in zip(found, expected):
                np.testing.assert_allclose(rows, other, atol=2e-4, rtol=1e-3)
