"""probing/variants.py: what is compared."""

from __future__ import annotations

from pathlib import Path

from spacy_ctx_embed.probing.variants import make_variants, vary
from tests.probing.tiny import make_config


def test_each_layer_alone_their_mean_and_a_mix():
    found = [(variant.name, variant.settings) for variant in make_variants(2)]
    assert found == [
        ("layer 0", {"layers": [0], "layer_mix": "last"}),
        ("layer 1", {"layers": [1], "layer_mix": "last"}),
        ("mean", {"layers": "all", "layer_mix": "mean"}),
        ("learned mix", {"layers": "all", "layer_mix": "scalar_mix"}),
    ]


def test_a_variant_changes_only_what_it_must():
    config = make_config(Path("bert"), encoder={"subword_pooling": "first"}, frozen_components=["bert_embeddings"])
    config["system"] = {"seed": 1}
    listener = config["components"]["ner"]["model"]["tok2vec"]
    listener["width"] = 48
    before = config.to_str()
    changed = vary(config, "bert_embeddings", config["components"]["bert_embeddings"], make_variants(3)[1], 9)
    assert config.to_str() == before
    model = changed["components"]["bert_embeddings"]["model"]
    assert model == {**config["components"]["bert_embeddings"]["model"], "layers": [1], "layer_mix": "last"}
    assert changed["components"]["ner"]["model"]["tok2vec"] == {**listener, "width": None}
    assert changed["training"] == {**config["training"], "seed": 9, "frozen_components": []}
    assert changed["system"]["seed"] == 9
    assert changed["components"]["bert_embeddings"]["cache_mb"] == 0
