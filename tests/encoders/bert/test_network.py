"""encoders/bert/network.py: what two copies of a model have in common, and where the parameters of one are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from tests.small_transformers import write_model

LONG = "the dog barks and we sat on the tree by the river " * 8


def with_tokenizer(folder: Path, model: Path, **settings: Any) -> Path:
    shutil.copytree(model, folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf8")), **settings}), encoding="utf8")
    return folder


@pytest.mark.parametrize("settings", [{"model_max_length": 32}, {"model_input_names": ["input_ids", "attention_mask"]}])
def test_one_cache_keeps_copies_apart_whose_tokenizers_are_set_otherwise(settings, tiny_bert, tmp_path):
    def rows(name: Path, **cache: Any) -> np.ndarray:
        nlp = spacy.blank("xx")
        model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(name)}
        nlp.add_pipe("bert_embeddings", config={"model": model, **cache})
        found: np.ndarray = nlp(LONG)._.embeddings["bert_embeddings"]
        return found

    other = with_tokenizer(tmp_path / "other", tiny_bert, **settings)
    cache = {"cache_dir": str(tmp_path / "cache")}
    rows(tiny_bert, **cache)
    np.testing.assert_allclose(rows(other, **cache), rows(other), atol=1e-6)


def test_blocks_that_are_used_again_are_one_block(tmp_path):
    sizes = {"num_hidden_layers": 5, "embedding_size": 16, "num_hidden_groups": 1}
    name = write_model(tmp_path / "albert", "albert", **sizes)
    docs = [Doc(Vocab(), words=["rain", "fell", "on", "the", "roof"])]
    model = make_bert_v1(name=str(name), trainable=True, unfreeze_steps=1, layer_decay=0.1)
    model.initialize(X=docs)
    module: Any = model.shims[0].network().module
    parts = [
        "model.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight",
        "model.embeddings.word_embeddings.weight",
    ]
    moved, optimizer = [], Adam(0.01, grad_clip=0.0, L2=0.0)
    for _ in range(2):
        before = [module.get_parameter(part).detach().clone() for part in parts]
        rows, backprop = model.begin_update(docs)
        backprop([np.random.default_rng(0).normal(size=part.shape).astype("f") for part in rows])
        model.finish_update(optimizer)
        moved.append(
            [float((module.get_parameter(part) - old).detach().abs().max()) for part, old in zip(parts, before)]
        )
    assert moved[0] == pytest.approx([0.01, 0.0], rel=0.05)
    assert moved[1][1] == pytest.approx(0.001, rel=0.1)
