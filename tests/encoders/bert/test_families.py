"""Architectures that read their padding, keep state, draw at random or give fewer states: same text, same rows.

Here too: encoders/bert/text_part.py, encoders/bert/widths.py, networks/transformer/examine.py,
networks/transformer/layers.py, networks/transformer/runs.py, networks/transformer/text_part.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import CLIPTextConfig, CLIPVisionConfig, FunnelBaseModel, FunnelConfig, FunnelModel

from spacy_ctx_embed.errors import EncoderError
from tests.small_transformers import SPECIAL, WORDS, write, write_model

LONG = " ".join(WORDS)
NAME = "bert_embeddings"
VOCABULARY = len(SPECIAL) + len(WORDS)

# What each reads or keeps besides the text: padding, the way of attention after a short text, chance.
ODD = {
    "fnet": {},
    "convbert": {"embedding_size": 32},
    "mobilebert": {"embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8},
    "big_bird": {
        "attention_type": "block_sparse",
        "block_size": 4,
        "num_random_blocks": 1,
        "max_position_embeddings": 256,
        "limit": 256,
    },
    "reformer": {
        "bare": True,
        "hidden_size": 32,
        "attention_head_size": 8,
        "num_attention_heads": 4,
        "feed_forward_size": 48,
        "attn_layers": ["lsh", "local"],
        "axial_pos_embds": False,
        "max_position_embeddings": 256,
        "lsh_attn_chunk_length": 8,
        "local_attn_chunk_length": 8,
        "num_hashes": 2,
        "num_buckets": 4,
        "limit": 256,
    },
    "bert": {},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: write_model(tmp_path_factory.mktemp(kind), kind, **dict(ODD[kind])) for kind in ODD}


def _pipeline(folder, **model):
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"model": {"name": str(folder), **model}})
    return nlp


def _rows(docs):
    return [np.array(doc._.embeddings[NAME]) for doc in docs]


@pytest.mark.parametrize("kind", list(ODD))
def test_rows_are_those_of_the_text_alone_in_a_fresh_pipeline(kind, folders):
    texts = ["rain fell", LONG, "the tin roof", f"{LONG} {LONG}", "a kettle", LONG + " rain", "nine boats left"]
    alone = [_rows([_pipeline(folders[kind])(text)])[0] for text in texts]
    nlp = _pipeline(folders[kind])
    for docs in (nlp.pipe(texts), nlp.pipe(texts[::-1]), [nlp(text) for text in texts]):
        found = _rows(docs)
        found = found if np.shape(found[0]) == np.shape(alone[0]) else found[::-1]
        for a, b in zip(alone, found):
            np.testing.assert_allclose(b, a, atol=2e-4, rtol=1e-3)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(lengths=st.lists(st.integers(1, 60), min_size=2, max_size=6), kind=st.sampled_from(["fnet", "big_bird", "bert"]))
def test_any_lengths_together(lengths, kind, folders):
    texts = [" ".join((WORDS * 5)[:length]) for length in lengths]
    nlp = _pipeline(folders[kind])
    for a, b in zip(_rows(nlp(text) for text in texts), _rows(nlp.pipe(texts))):
        np.testing.assert_allclose(b, a, atol=2e-4, rtol=1e-3)


def test_what_a_model_draws_leaves_the_users_generators_alone(folders):
    nlp = _pipeline(folders["reformer"])
    nlp(LONG)
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    nlp(f"{LONG} {LONG}")
    assert (torch.rand(1), np.random.rand()) == expected


def _funnel(folder, model_class):
    config = FunnelConfig(
        vocab_size=VOCABULARY, d_model=32, n_head=4, d_head=8, d_inner=48, block_sizes=[1, 1], num_decoder_layers=1
    )
    return write(folder, model_class(config))


def test_fewer_states_than_pieces_are_refused(tmp_path):
    nlp = _pipeline(_funnel(tmp_path, FunnelBaseModel))
    for use in (lambda: nlp(LONG), lambda: nlp("rain fell"), lambda: list(nlp.pipe([LONG, "rain"])), lambda: nlp("")):
        with pytest.raises(EncoderError, match=r"CE091.*FunnelBaseModel.*not one state per piece.*layers"):
            use()
    doc = _pipeline(tmp_path, layers=[0])("rain fell")
    assert doc._.embeddings[NAME].shape == (2, 32)


def test_layers_of_another_length_are_refused_only_where_they_are_mixed(tmp_path):
    folder = _funnel(tmp_path, FunnelModel)
    with pytest.raises(EncoderError, match=r"CE091.*Fix: set layers = \[-1\]"):
        _pipeline(folder, layer_mix="mean")(LONG)
    assert _pipeline(folder)(LONG)._.embeddings[NAME].shape == (len(WORDS), 32)


def test_the_width_is_that_of_the_layer_not_of_the_config(tmp_path):
    folder = write_model(
        tmp_path,
        "opt",
        bare=True,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=64,
        word_embed_proj_dim=16,
    )
    nlp = _pipeline(folder)
    assert [nlp(text)._.embeddings[NAME].shape for text in ("", "rain fell")] == [(0, 16), (2, 16)]
    assert nlp.get_pipe(NAME).model.get_dim("nO") == 16
    with pytest.raises(EncoderError, match="CE091"):
        _pipeline(folder, layer_mix="mean")("rain")


# A pass of three short windows, as the model is opened with, has more pieces than 24 and fewer than 60.
@pytest.mark.parametrize("positions", [24, 60])
def test_the_text_half_of_a_model_of_pictures_and_text(tmp_path, positions):
    from transformers import CLIPConfig, CLIPModel

    text = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=positions,
        eos_token_id=3,
    )
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, image_size=8, patch_size=4
    )
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    nlp = _pipeline(write(tmp_path, CLIPModel(config)))
    doc = nlp(" ".join(WORDS * 12))  # beyond its positions, which are not those of the picture
    assert all(token._.has_vector for token in doc)
    assert nlp.get_pipe(NAME).model.shims[0].network()._cutter.window == positions - 2
    lines = [" ".join(WORDS[: 1 + i % 5]) for i in range(40)]
    for doc in nlp.pipe(lines):  # it refuses a pass of more pieces than it has positions, padded or not
        np.testing.assert_allclose(doc._.embeddings[NAME], nlp(doc.text)._.embeddings[NAME], atol=1e-5)


def test_an_encoder_without_a_config_of_its_own(tmp_path):
    from transformers import FSMTConfig, FSMTModel

    config = FSMTConfig(
        langs=["en", "de"],
        src_vocab_size=VOCABULARY,
        tgt_vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
    )
    doc = _pipeline(write(tmp_path, FSMTModel(config)))(" ".join(WORDS * 12))
    assert all(token._.has_vector for token in doc)


@pytest.mark.parametrize("kind", ["vit", "whisper"])
def test_what_reads_no_text_is_one_clear_error(tmp_path, kind):
    from transformers import AutoConfig, AutoModel

    settings = {
        "vit": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48},
        "whisper": {"vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
        | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2},
    }
    folder = write(tmp_path, AutoModel.from_config(AutoConfig.for_model(kind, **settings[kind])))
    with pytest.raises(EncoderError, match=r"CE090.*no text encoder"):
        _pipeline(folder)("rain")


def test_a_failing_pass_names_the_model_and_the_window(tmp_path):
    folder = write_model(tmp_path, "bert", limit=10_000)
    nlp = _pipeline(folder)
    network = nlp.get_pipe(NAME).model.shims[0].network()
    network._cutter.window = 100  # as of a model whose limit is not found
    with pytest.raises(EncoderError, match=r"CE093.*BertModel.*102 pieces.*RuntimeError.*'window'"):
        nlp(" ".join(WORDS * 10))


def test_a_token_longer_than_a_window_goes_through_bounded_passes(tmp_path):
    # A tokenizer of whole words makes one piece of a word: this token has many words in it.
    from spacy.tokens import Doc

    nlp = _pipeline(write_model(tmp_path, "bert"), max_batch_tokens=64, window=16, overlap=4)
    component = nlp.get_pipe(NAME)
    text = " ".join(WORDS * 20)
    doc = Doc(nlp.vocab, words=[text], spaces=[False])
    network = component.model.shims[0].network()
    sizes = []
    run = network._runs.run

    def watched(windows, *args, **kwargs):
        sizes.append(len(windows) * max(map(len, windows)))
        return run(windows, *args, **kwargs)

    network._runs.run = watched
    (item,) = component.predict([doc])
    assert len(sizes) > 5 and max(sizes) <= 64
    whole = _pipeline(tmp_path, max_batch_tokens=100_000, window=16, overlap=4).get_pipe(NAME).predict([doc])[0]
    np.testing.assert_allclose(item.rows, whole.rows, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "sum", "max", "first", "last"])
def test_gradients_of_bounded_passes_are_those_of_one(tmp_path, pooling):
    from spacy.tokens import Doc

    folder = write_model(tmp_path, "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    gradients = []
    for budget in (32, 100_000):
        nlp = _pipeline(folder, max_batch_tokens=budget, window=16, overlap=4, trainable=True, subword_pooling=pooling)
        model = nlp.get_pipe(NAME).model
        doc = Doc(nlp.vocab, words=[" ".join(WORDS * 4), "rain"])
        rows, backprop = model.begin_update([doc])
        backprop([np.ones_like(rows[0])])
        network = model.shims[0].network()
        gradients.append({name: p.grad for name, p in network.module.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][name], atol=1e-4, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["fnet", "bert"])
def test_passes_computed_again_drop_out_the_same(tmp_path, kind):
    from spacy.tokens import Doc

    nlp = _pipeline(write_model(tmp_path, kind), max_batch_tokens=32, window=16, overlap=4, trainable=True)
    model = nlp.get_pipe(NAME).model
    docs = [Doc(nlp.vocab, words=[" ".join(WORDS * 4)]), Doc(nlp.vocab, words=["rain", "fell"])]
    rows, backprop = model.begin_update(docs)
    backprop([np.ones_like(part) for part in rows])
    module = model.shims[0].network().module
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert not any(part.training for part in module.modules())


def test_a_model_that_is_opened_again_is_not_examined_again_unless_its_files_changed(tmp_path, monkeypatch):
    from spacy_ctx_embed.networks.transformer import examine as module

    runs, examine = [], module.examine
    monkeypatch.setattr(module, "examine", lambda *args: runs.append(1) or examine(*args))
    folder = write_model(tmp_path, "convbert", embedding_size=32)
    expected = [doc._.embeddings[NAME] for doc in _pipeline(folder).pipe(["rain", LONG])]
    again = [doc._.embeddings[NAME] for doc in _pipeline(folder).pipe(["rain", LONG])]
    assert runs == [1]
    for one, other in zip(again, expected):
        np.testing.assert_array_equal(one, other)
    write_model(tmp_path, "bert")
    _pipeline(folder)("rain")
    _pipeline(folder, transformer_config={"attn_implementation": "eager"})("rain")
    assert runs == [1, 1, 1]
