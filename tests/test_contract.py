"""One suite over all encoders. A new one joins by a line in ``CASES``."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest
from spacy.language import Language
from spacy.vectors import Vectors

from spacy_ctx_embed.encoders.static.fallbacks import FALLBACKS
from tests.adapters import REASON, write_adapter
from tests.conftest import WORDS
from tests.contract import CONTRACT, Case
from tests.writers.elmo import write_random_elmo
from tests.writers.sentence import dense, write_sentence_model


def _model(architecture: str, **settings: object) -> Dict[str, object]:
    return {"@architectures": f"spacy_ctx_embed.{architecture}.v1", **settings}


def _give_vectors(nlp: Language) -> None:
    data = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype("f")
    nlp.vocab.vectors = Vectors(data=data, keys=WORDS)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_static: Path, tiny_bert: Path) -> Dict[str, str]:
    """A model on disk for each family."""
    elmo = write_random_elmo(tmp_path_factory.mktemp("elmo"), n_highway=1)
    modules = [{"type": "Pooling", "pooling_mode": ["cls", "max"]}, dense(32, 12), {"type": "Normalize"}]
    sentence = write_sentence_model(tmp_path_factory.mktemp("sentence") / "model", tiny_bert, modules)
    names = {"static": tiny_static, "elmo": elmo, "bert": tiny_bert, "sentence": sentence, "gone": "no/such/folder"}
    if find_spec("peft") is not None:
        names["adapter"] = write_adapter(tmp_path_factory.mktemp("adapter"), tiny_bert)[0]
    return {key: str(name) for key, name in names.items()}


def _static(models: Dict[str, str], name: str = "static", **settings: object) -> Dict[str, object]:
    return {"model": _model("StaticVectors", name=models[name], **settings)}


def _elmo(models: Dict[str, str], name: str = "elmo", **settings: object) -> Dict[str, object]:
    return {"model": _model("Elmo", name=models[name], window=40, **settings)}


def _bert(models: Dict[str, str], name: str = "bert", **settings: object) -> Dict[str, object]:
    return {"model": _model("Bert", name=models[name], overlap=8, **settings)}


def _stacked(models: Dict[str, str]) -> Case:
    def add_sources(nlp: Language) -> None:
        nlp.add_pipe("static_embeddings", config=_static(models))
        nlp.add_pipe("bert_embeddings", config=_bert(models))

    return Case("stacked_embeddings", {"sources": ["static_embeddings", "bert_embeddings"]}, before=add_sources)


CASES: Dict[str, Callable[[Dict[str, str]], Case]] = {
    "static": lambda m: Case("static_embeddings", _static(m), missing=_static(m, "gone")),
    "static-fallbacks": lambda m: Case("static_embeddings", _static(m, fallbacks=list(FALLBACKS), cache=False)),
    "static-vocab": lambda m: Case(
        "static_embeddings", {"model": _model("StaticVectors", name="vocab")}, before=_give_vectors
    ),
    "elmo": lambda m: Case("elmo_embeddings", _elmo(m), contextual=True, missing=_elmo(m, "gone")),
    "elmo-half": lambda m: Case("elmo_embeddings", _elmo(m, precision="bfloat16", layers=[-1]), contextual=True),
    "bert": lambda m: Case("bert_embeddings", _bert(m), contextual=True, missing=_bert(m, "gone")),
    "bert-mix": lambda m: Case(
        "bert_embeddings", _bert(m, layer_mix="scalar_mix", subword_pooling="first"), contextual=True
    ),
    "bert-cls": lambda m: Case(
        "bert_embeddings", {**_bert(m, layer_mix="mean"), "doc_pooling": "cls"}, contextual=True
    ),
    "bert-model": lambda m: Case("bert_embeddings", {**_bert(m, "sentence"), "doc_pooling": "model"}, contextual=True),
    "bert-adapter": lambda m: Case("bert_embeddings", _bert(m, adapter=m.get("adapter")), contextual=True),
    "stacked": _stacked,
}
ELSEWHERE = {  # need another package, whose tests are beside the encoder's own
    "spacy_ctx_embed.AllenNLPElmo.v1": "tests/reference",
    "spacy_ctx_embed.TransformerOutput.v1": "tests/tok2vec/transformer_output/test_model.py",
    "spacy_ctx_embed.EmbeddingListener.v1": "no encoder: hands on what one gave",
    "spacy_ctx_embed.StackedTok2Vec.v1": "no rows of its own on a Doc: for a tok2vec slot",
}


@pytest.mark.filterwarnings("ignore:.CW005")  # the tiny models know no emoji, and little of any language
@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("encoder", CASES)
def test_contract(encoder, promise, models, tmp_path):
    if encoder == "bert-adapter" and "adapter" not in models:
        pytest.skip(REASON)
    promise(CASES[encoder](models), tmp_path)


def test_every_registered_encoder_is_under_contract(models):
    ours = {e.name for e in entry_points(group="spacy_architectures") if e.name.startswith("spacy_ctx_embed.")}
    configs = [make(models).config for make in CASES.values()]
    covered = {config["model"]["@architectures"] for config in configs if "model" in config}
    assert ours == covered | set(ELSEWHERE)
