"""The configs for ``spacy train``: each learns the sample, leaves a frozen encoder alone, and comes back the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
import spacy
import srsly
from safetensors.numpy import load_file
from spacy.cli.init_config import fill_config
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from thinc.api import Config

from spacy_ctx_embed.encoders.bert.model import BertNetwork
from spacy_ctx_embed.models.static.tables.folder import read_table
from tests.training_data import CONFIGS, TASKS, TEXTS, listening, tiny_overrides

NER = [name for name in TASKS if TASKS[name] == "ner"]
FROZEN = [name for name in TASKS if name not in ("ner_hash.cfg", "ner_static.cfg", "ner_bert_finetune.cfg")]


@dataclass
class Run:
    """A finished training: the pipeline, its folder, and a row of the log for each evaluation."""

    nlp: Language
    folder: Path
    log: List[Dict[str, Any]]

    def losses(self, component: str) -> List[float]:
        return [row["losses"][component] for row in self.log]


def run_training(name: str, folder: Path, overrides: Dict[str, Any]) -> Run:
    log = folder / "log.jsonl"
    overrides = {
        **overrides,
        "training.logger.@loggers": "spacy.ConsoleLogger.v2",
        "training.logger.output_file": str(log),
        "training.logger.console_output": False,
    }
    nlp = init_nlp(load_config(CONFIGS / name, overrides=overrides, interpolate=False))
    nlp.to_disk(folder / "before")
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        train(nlp, folder, stdout=out, stderr=err)
    return Run(nlp, folder, list(srsly.read_jsonl(log)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_static: Path) -> Callable[[str], Run]:
    """Train a config with tiny models, once."""
    runs: Dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in runs:
            folder = tmp_path_factory.mktemp(Path(name).stem)
            runs[name] = run_training(name, folder, tiny_overrides(name, folder, tiny_bert, tiny_static))
        return runs[name]

    return get


def encoder_files(pipeline: Path, component: str) -> Dict[str, Any]:
    """What is in the files of a saved encoder's network; what a mixture of layers has learnt is in others."""
    found: Dict[str, Any] = {}
    for path in (pipeline / component / "model").glob("encoder*/*"):
        if path.suffix == ".safetensors":  # the order of its metadata is another one each time
            found[path.name] = {name: array.tobytes() for name, array in load_file(path).items()}
        else:
            found[path.name] = path.read_bytes()
    return found


def mixture(nlp: Language, component: str) -> List[np.ndarray]:
    model = nlp.get_pipe(component).model
    return [model.get_param(name).copy() for name in ("mix_weights", "mix_gamma")]


def annotations(nlp: Language) -> List[Dict[str, Any]]:
    found = []
    for doc in nlp.pipe(TEXTS):
        embeddings = {name: rows.tolist() for name, rows in doc._.embeddings.items()} if listening(nlp.config) else {}
        found.append({**doc.to_json(), "embeddings": embeddings})
    return found


def test_all_training_configs_are_known():
    found = {path.name for path in CONFIGS.glob("*.cfg") if "[training]" in path.read_text(encoding="utf8")}
    assert {name for name in found if not name.startswith("pretrain_")} == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_nothing_is_left_to_fill_in(name, tmp_path):
    before, filled = fill_config(tmp_path / "filled.cfg", CONFIGS / name, silent=True)
    assert filled == before


@pytest.mark.parametrize("name", TASKS)
def test_a_config_names_no_path_and_takes_those_of_the_command_line(name):
    config = load_config(CONFIGS / name)
    assert set(config["paths"].values()) == {None}
    given = load_config(CONFIGS / name, overrides={"paths.train": "a.spacy", "paths.dev": "b.spacy"}).interpolate()
    assert [given["corpora"][part]["path"] for part in ("train", "dev")] == ["a.spacy", "b.spacy"]


def test_the_ner_configs_differ_in_their_embeddings_alone():
    compared = [name for name in NER if name != "ner_bert_finetune.cfg"]
    assert len(compared) == 5
    reduced = []
    for name in compared:
        config = Config(load_config(CONFIGS / name))
        config["nlp"]["pipeline"] = []
        del config["nlp"]["vectors"]
        del config["components"]["ner"]["model"]["tok2vec"]["embeddings"]
        reduced.append({**config, "components": config["components"]["ner"]})
    assert all(config == reduced[0] for config in reduced)


@pytest.mark.parametrize("name", TASKS)
def test_the_loss_falls_and_the_sample_is_learnt(name, trained):
    run = trained(name)
    losses = run.losses(TASKS[name])
    assert losses[-1] < losses[1] / 2  # both of 20 steps; the first row has one
    assert run.log[-1]["score"] > 0.8


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_encoder_is_bit_for_bit_as_before(name, trained):
    run = trained(name)
    for component in listening(run.nlp.config):
        before = encoder_files(run.folder / "before", component)
        assert before
        assert encoder_files(run.folder / "model-last", component) == before


@pytest.mark.parametrize("name", FROZEN)
def test_the_mixture_of_a_frozen_encoders_layers_is_learnt(name, trained):
    run = trained(name)
    start = spacy.load(run.folder / "before")
    components = run.nlp.config["components"]
    learnt = [c for c in listening(run.nlp.config) if components[c]["model"].get("layer_mix") == "scalar_mix"]
    assert learnt
    for component in learnt:
        for before, after in zip(mixture(start, component), mixture(run.nlp, component)):
            assert not np.allclose(before, after)


@pytest.mark.parametrize("name", TASKS)
def test_the_saved_pipeline_predicts_the_same(name, trained):
    run = trained(name)
    assert annotations(spacy.load(run.folder / "model-last")) == annotations(run.nlp)


def test_a_table_in_the_vocab_is_as_before(trained):
    run = trained("ner_static.cfg")
    before, after = (read_table(run.folder / part / "vocab" / "table") for part in ("before", "model-last"))
    assert before.digest() == after.digest() and len(before.words) > 10


def test_fine_tuned_weights_are_saved_with_the_pipeline(trained, tmp_path):
    run = trained("ner_bert_finetune.cfg")
    before = encoder_files(run.folder / "before", "bert_embeddings")
    after = encoder_files(run.folder / "model-last", "bert_embeddings")
    assert before.keys() == after.keys()
    assert {name for name in after if before[name] != after[name]} == {"model.safetensors"}
    again = spacy.load(run.folder / "model-last")
    again.to_disk(tmp_path / "again")
    assert encoder_files(tmp_path / "again", "bert_embeddings") == after


@pytest.mark.parametrize("unfreeze_steps", [0, 3])
def test_lower_blocks_learn_less_and_later(unfreeze_steps, tiny_bert, tiny_static, tmp_path):
    name = "ner_bert_finetune.cfg"
    more = {"components__bert_embeddings__model__unfreeze_steps": unfreeze_steps, "training__max_steps": 2}  # 3 steps
    run = run_training(name, tmp_path, tiny_overrides(name, tmp_path, tiny_bert, tiny_static, **more))
    start = spacy.load(tmp_path / "before")
    moved: Dict[str, float] = Counter()
    for (parameter, before), after in zip(*(weights(nlp).items() for nlp in (start, run.nlp)), strict=True):
        part = next((part for part in ("embeddings", "layer.0", "layer.1") if part in parameter), "top")
        moved[part] = max(moved[part], float(np.abs(after[1] - before).max()))
    assert moved["layer.1"] > 0
    if unfreeze_steps:
        assert moved["layer.0"] == moved["embeddings"] == 0
    else:
        assert moved["layer.1"] > moved["layer.0"] > moved["embeddings"] > 0


def weights(nlp: Language) -> Dict[str, np.ndarray]:
    module = nlp.get_pipe("bert_embeddings").model.shims[0].network().module
    return {name: tensor.numpy(force=True).copy() for name, tensor in module.named_parameters()}


@pytest.mark.parametrize("name", ["ner_bert.cfg", "ner_elmo.cfg", "ner_stacked.cfg"])
def test_losses_are_the_same_with_and_without_the_cache(name, tiny_bert, tiny_static, tmp_path):
    found = {}
    for cache_mb in (0, 10):
        folder = tmp_path / str(cache_mb)
        folder.mkdir()
        overrides = tiny_overrides(name, folder, tiny_bert, tiny_static, training__max_steps=8)
        overrides.update({"training.optimizer.learn_rate": 0.001, "training.dropout": 0.2})
        overrides["training.eval_frequency"] = 1
        for component in listening(load_config(CONFIGS / name)):
            if component != "static_embeddings":
                overrides[f"components.{component}.cache_mb"] = cache_mb
        found[cache_mb] = run_training(name, folder, overrides).losses("ner")
    assert len(found[0]) == 9
    assert found[0][0] == found[10][0]
    np.testing.assert_allclose(found[0], found[10], rtol=1e-4)


def test_a_cached_network_runs_once_for_each_text_whatever_the_epochs(tiny_bert, tiny_static, tmp_path, monkeypatch):
    seen: Counter[str] = Counter()
    segment = BertNetwork.segment

    def count(self: BertNetwork, docs: Any) -> Any:
        seen.update(doc.text for doc in docs)
        return segment(self, docs)

    monkeypatch.setattr(BertNetwork, "segment", count)
    overrides = tiny_overrides("ner_bert.cfg", tmp_path, tiny_bert, tiny_static)
    overrides.update({"training.max_epochs": 4, "training.max_steps": 0, "training.eval_frequency": 1})
    run = run_training("ner_bert.cfg", tmp_path, overrides)
    assert run.log[-1]["epoch"] == 3
    assert {text: seen[text + " "] + seen[text] for text in TEXTS} == dict.fromkeys(TEXTS, 1)


def test_a_trained_pipeline_can_be_loaded_without_its_cache(trained):
    run = trained("ner_bert.cfg")
    config = {"components": {"bert_embeddings": {"cache_mb": 0}}}
    nlp = spacy.load(run.folder / "model-last", config=config)
    assert nlp.config["components"]["bert_embeddings"]["cache_mb"] == 0
    assert [doc.to_json() for doc in nlp.pipe(TEXTS)] == [doc.to_json() for doc in run.nlp.pipe(TEXTS)]
