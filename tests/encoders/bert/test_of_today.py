"""The architectures of docs/encoder_models.md, small and random: same rows in a batch, of long Docs, after saving."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from transformers import CONFIG_MAPPING

from tests.small_transformers import WORDS, write_model

NAME = "bert_embeddings"
LONG = " ".join(WORDS)
TEXTS = ["rain", "the tin roof", LONG, f"{LONG} {LONG}", "nine grey boats left"]
_PIECES = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
# model_type -> what its small config needs beyond the sizes.
KINDS = {
    "modernbert": {  # ModernBERT, mmBERT
        **_PIECES,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "local_attention": 16,
        "num_hidden_layers": 4,
        "global_attn_every_n_layers": 2,
    },
    "gemma3_text": {  # EmbeddingGemma
        **_PIECES,
        "head_dim": 8,
        "num_key_value_heads": 1,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "use_bidirectional_attention": True,
    },
    "qwen3": {**_PIECES, "head_dim": 8, "num_key_value_heads": 2},  # Qwen3-Embedding
    "xlm-roberta": {"pad_token_id": 0, "max_position_embeddings": 66},  # BGE-M3, multilingual-E5
    "bert": {},  # bert-base-chinese, chinese-roberta-wwm-ext
}
CAUSAL = ["qwen3"]


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    if request.param not in CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {request.param}")
    return request.param


@pytest.fixture(scope="module")
def nlp(kind, tmp_path_factory):
    pipeline = spacy.blank("xx")
    folder = write_model(tmp_path_factory.mktemp(kind), kind, **KINDS[kind])
    pipeline.add_pipe(NAME, config={"model": {"name": str(folder)}})
    return pipeline


def _rows(doc):
    return np.array(doc._.embeddings[NAME])


def test_rows_alone_are_those_in_a_batch(nlp):
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS)):
        np.testing.assert_allclose(_rows(doc), _rows(nlp(text)), atol=2e-4, rtol=1e-3)


def test_each_token_of_a_long_document_has_a_row(nlp):
    doc = nlp(" ".join(WORDS * 20))
    assert all(token._.has_vector for token in doc)
    assert np.isfinite(_rows(doc)).all()


def test_a_saved_pipeline_gives_the_same_rows(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for text in TEXTS:
        np.testing.assert_array_equal(_rows(again(text)), _rows(nlp(text)))


def test_what_follows_a_token_moves_its_row_unless_the_model_is_causal(nlp, kind):
    one, other = _rows(nlp("rain fell on the tin")), _rows(nlp("rain fell on the kettle"))
    same = np.allclose(one[:4], other[:4], atol=1e-5)
    assert same == (kind in CAUSAL)
    assert not np.allclose(_rows(nlp("rain fell"))[1], _rows(nlp("kettle fell"))[1], atol=1e-3)
