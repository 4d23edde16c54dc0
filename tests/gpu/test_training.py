"""Training on the GPU: 100 steps of NER on a frozen and on a fine-tuned encoder, mixed precision, adapters, the CLI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from tests.adapters import REASON, write_adapter
from tests.gpu.encoders import NAME, farthest, model, rows
from tests.training_data import CONFIGS, PLACES, TEXTS, make_doc, tiny_overrides

pytestmark = pytest.mark.gpu

FROZEN: Dict[str, Dict[str, Any]] = {
    "bert": {"layer_mix": "scalar_mix"},
    "elmo": {"layer_mix": "scalar_mix"},
}
TUNED: Dict[str, Dict[str, Any]] = {
    "bert": {"trainable": True, "learn_rate_factor": 0.05},
    "bert mixed precision": {"trainable": True, "learn_rate_factor": 0.05, "precision": "bfloat16"},
    "bert by depth": {"trainable": True, "learn_rate_factor": 0.1, "layer_decay": 0.9, "unfreeze_steps": 10},
    "elmo": {"trainable": True, "learn_rate_factor": 0.05},
}


def _train(family: str, *, n_steps: int = 100, **settings: Any) -> "tuple[Language, List[float]]":
    # NER on the sample; the loss of each step.
    nlp = spacy.blank("en")
    nlp.add_pipe(f"{family}_embeddings", name=NAME, config={"model": model(family, **settings)})
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": NAME}
    nlp.add_pipe("ner", config={"model": {"tok2vec": listener}})
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in (make_doc(nlp.vocab, text) for text in TEXTS)]
    optimizer = nlp.initialize(lambda: examples)
    found = []
    for _ in range(n_steps):
        losses: Dict[str, float] = {}
        nlp.update(examples, sgd=optimizer, losses=losses, drop=0.1)
        found.append(float(losses["ner"]))
    return nlp, found


def _learnt(nlp: Language, losses: List[float]) -> None:
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 5
    doc = nlp(TEXTS[0])
    assert {ent.text for ent in doc.ents} == {place for place in PLACES if place in TEXTS[0]}
    assert type(doc._.embeddings[NAME]) is np.ndarray


@pytest.mark.parametrize("family", FROZEN)
def test_a_frozen_encoder_trains_ner_and_stays_as_it_is(family):
    nlp, losses = _train(family, **FROZEN[family])
    _learnt(nlp, losses)
    network = nlp.get_pipe(NAME).model.shims[0].network()
    assert network.device.type == "cuda"
    assert not any(parameter.requires_grad for parameter in network.module.parameters())


@pytest.mark.parametrize("case", TUNED)
def test_fine_tuning_trains_ner_and_the_saved_pipeline_has_what_was_learnt(case, tmp_path):
    family = case.split()[0]
    nlp, losses = _train(family, **TUNED[case])
    _learnt(nlp, losses)
    expected = rows(nlp.pipe(TEXTS))
    nlp.to_disk(tmp_path)
    assert farthest(rows(spacy.load(tmp_path).pipe(TEXTS)), expected) <= 1e-4
    spacy.require_cpu()
    on_cpu = rows(spacy.load(tmp_path).pipe(TEXTS))
    assert farthest(on_cpu, expected) <= (5e-2 if "mixed" in case else 1e-3)


@pytest.mark.parametrize("layer_mix", ["last", "scalar_mix"])
def test_the_first_losses_are_those_of_the_cpu(layer_mix):
    settings = {"layer_mix": layer_mix, "trainable": True, "learn_rate_factor": 0.05}
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    found = {}
    for device in ("gpu", "cpu"):
        (spacy.require_gpu if device == "gpu" else spacy.require_cpu)()
        spacy.util.fix_random_seed(0)
        _, losses = _train("bert", n_steps=1, transformer_config=without, **settings)
        found[device] = losses[0]
    assert found["gpu"] == pytest.approx(found["cpu"], rel=0.2)  # what is learnt from scratch starts at random


def test_an_adapter_learns_alone(minilm, tmp_path):
    pytest.importorskip("peft", reason=REASON)
    folder, _ = write_adapter(tmp_path / "lora", minilm, scale=0.01)
    nlp, losses = _train("bert", adapter=str(folder), trainable=True, n_steps=20)
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    module = nlp.get_pipe(NAME).model.shims[0].network().module
    learns = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert learns and all("lora_" in name for name in learns)


def test_memory_of_training_is_flat():
    import torch

    _train("bert", n_steps=2, **TUNED["bert"])
    held = []
    for n_steps in (10, 30):
        torch.cuda.reset_peak_memory_stats()
        _train("bert", n_steps=n_steps, **TUNED["bert"])
        held.append(torch.cuda.max_memory_allocated())
    assert held[1] <= held[0] + (16 << 20)


@pytest.mark.parametrize("name", ["ner_bert.cfg", "ner_bert_finetune.cfg", "ner_elmo.cfg", "ner_stacked.cfg"])
def test_spacy_train_with_gpu_id(name, tiny_bert, tiny_static, tmp_path):
    overrides = tiny_overrides(name, tmp_path, tiny_bert, tiny_static)
    options = [part for key, value in overrides.items() for part in (f"--{key}", _option(value))]
    command = [
        sys.executable,
        "-m",
        "spacy",
        "train",
        str(CONFIGS / name),
        "--gpu-id",
        "0",
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=900, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Using GPU: 0" in done.stdout
    doc = spacy.load(tmp_path / "out" / "model-best")(TEXTS[0])
    assert doc.ents and all(type(value) is np.ndarray for value in doc._.embeddings.values())


def _option(value: Any) -> str:
    import srsly

    return value if isinstance(value, str) else str(srsly.json_dumps(value))
