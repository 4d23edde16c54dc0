"""Tiny upstreams of both packages, configs of what listens to them, and their rows from the network run alone."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from spacy.training import Example

from spacy_ctx_embed.tok2vec.transformer_output.model import make_transformer_output_v1
from tests.conftest import WORDS

NAME = "spacy_ctx_embed.TransformerOutput.v1"
HAS_TRANSFORMERS = importlib.util.find_spec("spacy_transformers") is not None
HAS_CURATED = importlib.util.find_spec("spacy_curated_transformers") is not None
needs_transformers = pytest.mark.skipif(
    not HAS_TRANSFORMERS, reason="spacy-transformers is not installed (make test-transformers)"
)
needs_curated = pytest.mark.skipif(not HAS_CURATED, reason="spacy-curated-transformers is not installed")
both_kinds = pytest.mark.parametrize(
    "kind", [pytest.param("curated", marks=needs_curated), pytest.param("transformers", marks=needs_transformers)]
)
TEXTS = ["the dog runs unbelievably", "we sat  \n over the bank", "", " \n ", "the river bank runs over the tree"]
POOLINGS = {
    "mean": lambda x: x.mean(0),
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "max": lambda x: x.max(0).values,
    "sum": lambda x: x.sum(0),
}
MIXES = {
    "last": lambda x: x[-1],
    "mean": lambda x: x.mean(0),
    "sum": lambda x: x.sum(0),
    "concat": lambda x: torch.cat(list(x), dim=1),
    "scalar_mix": lambda x: x.mean(0),  # before it has learnt
}


def add_curated(nlp, window, all_layers, frozen=False):
    from curated_tokenizers import WordPieceProcessor

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [*dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{c}" for c in letters)])]
    torch.manual_seed(0)
    model = {
        "@architectures": "spacy-curated-transformers.BertTransformer.v1",
        "vocab_size": len(pieces),
        "hidden_width": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_width": 32,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "piece_encoder": {"@architectures": "spacy-curated-transformers.BertWordpieceEncoder.v1"},
        "with_spans": {
            "@architectures": "spacy-curated-transformers.WithStridedSpans.v1",
            "stride": window - window // 4,
            "window": window,
        },
    }
    config = {"model": model, "all_layer_outputs": all_layers, "frozen": frozen}
    component = nlp.add_pipe("curated_transformer", name="trf", config=config)
    encoder = component.model.get_ref("piece_encoder")
    encoder.attrs.update(wordpiece_processor=WordPieceProcessor(pieces), lowercase=True)
    return component


def add_transformers(nlp, folder, window, all_layers):
    transformer_config = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if all_layers:
        transformer_config["output_hidden_states"] = True
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": str(folder),
        "tokenizer_config": {"use_fast": True},
        "transformer_config": transformer_config,
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": window,
            "stride": window - window // 4,
        },
    }
    return nlp.add_pipe("transformer", name="trf", config={"model": model})


def slot_config(kind, **settings):
    # spacy-transformers tells the listeners in a tok2vec slot their width.
    given = {"width": 16} if kind == "curated" else {}
    return {"@architectures": NAME, "upstream": "trf", **given, **settings}


def tagger_config(kind, **settings):
    return {"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": slot_config(kind, **settings)}}


def embedding_config(**settings):
    return {"model": {"@architectures": NAME, "upstream": "trf", "width": 16, **settings}}


def make_encoder(**settings):
    return make_transformer_output_v1(**{"upstream": "trf", **settings})


def make_examples(nlp, texts=TEXTS):
    docs = [nlp.make_doc(text) for text in texts]
    return [Example.from_dict(doc, {"tags": ["X" if len(t) > 3 else "Y" for t in doc]}) for doc in docs]


def network(nlp):
    model = nlp.get_pipe("trf").model
    return model.transformer if hasattr(model, "transformer") else model.get_ref("transformer").shims[0]._model


def initialize_upstream(nlp):
    nlp.get_pipe("trf").initialize(lambda: make_examples(nlp), nlp=nlp)
    return nlp


def _by_hand(nlp, doc):
    # The network run on its own: for each token its pieces, a (n_layers, n_pieces, width) tensor with a graph.
    component = nlp.get_pipe("trf")
    if hasattr(component.model, "transformer"):
        encoded = component.model.tokenizer(doc.text, return_offsets_mapping=True, return_tensors="pt")
        offsets = encoded.pop("offset_mapping")[0].tolist()
        layers = torch.stack(component.model.transformer(**encoded, output_hidden_states=True).hidden_states)[:, 0]
        overlaps = [[s < e and s < t.idx + len(t) and t.idx < e for s, e in offsets] for t in doc]
        return [layers[:, np.flatnonzero(row)] for row in overlaps]
    (ids,) = component.model.get_ref("piece_encoder").predict([doc])
    layers = torch.stack(network(nlp)(torch.from_numpy(ids.dataXd)[None].long()).all_outputs)[:, 0, 1:-1]
    return list(layers.split(ids.lengths[1:-1].tolist(), dim=1))


def rows_by_hand(nlp, doc, pooling="mean", layers=(-1,), layer_mix="last"):
    rows = []
    for token, pieces in zip(doc, _by_hand(nlp, doc)):
        chosen = pieces[list(layers)]
        width = 16 * (len(layers) if layer_mix == "concat" else 1)
        if token.is_space or pieces.shape[1] == 0:
            rows.append(torch.zeros(width))
        else:
            rows.append(MIXES[layer_mix](torch.stack([POOLINGS[pooling](layer) for layer in chosen])[:, None])[0])
    return torch.stack(rows) if rows else torch.zeros((0, 16))


def random_gradient(rows):
    random = np.random.default_rng(0)
    return [random.normal(size=part.shape).astype("f") for part in rows]
