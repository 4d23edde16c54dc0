"""spaCy's own commands on a pipeline with listeners, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
import spacy
import srsly
from click.testing import Result
from spacy.cli import app
from typer.testing import CliRunner

from tests.training_data import CONFIGS, TEXTS, tiny_overrides, write_corpus

CONFIG = "ner_bert.cfg"


def flags(overrides: Dict[str, Any]) -> List[str]:
    found = []
    for key, value in overrides.items():
        found += [f"--{key}", value if isinstance(value, str) else srsly.json_dumps(value)]
    return found


def command(*words: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def run(*words: Any) -> str:
    result = command(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.output)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_static: Path) -> List[str]:
    folder = tmp_path_factory.mktemp("command")
    return flags(tiny_overrides(CONFIG, folder, tiny_bert, tiny_static))


@pytest.fixture(scope="module")
def corpus(overrides: List[str]) -> str:
    return overrides[overrides.index("--paths.train") + 1]


@pytest.fixture(scope="module")
def pipeline(overrides: List[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that ``spacy train`` made, in a process that has imported nothing of ours."""
    folder = tmp_path_factory.mktemp("trained")
    words = [sys.executable, "-m", "spacy", "train", str(CONFIGS / CONFIG), "--output", str(folder), *overrides]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Pipeline: ['bert_embeddings', 'ner']" in done.stdout
    return folder / "model-best"


def test_train(pipeline):
    assert spacy.load(pipeline).meta["performance"]["ents_f"] > 0.8


def test_init_fill_config_changes_nothing(tmp_path):
    run("init", "fill-config", CONFIGS / CONFIG, tmp_path / "filled.cfg")
    filled = (tmp_path / "filled.cfg").read_text(encoding="utf8").splitlines()
    lines = (CONFIGS / CONFIG).read_text(encoding="utf8").splitlines()
    values = sorted(line.replace(" ", "") for line in lines if line and not line.startswith("#"))
    written = sorted(line.replace(" ", "") for line in filled if line)
    assert [line for line in written if "eps=" not in line] == [line for line in values if "eps=" not in line]


def test_debug_config(overrides):
    assert "Config is valid" in run("debug", "config", CONFIGS / CONFIG, *overrides)


def test_debug_data(overrides, tmp_path):
    train = write_corpus(tmp_path / "train.spacy", TEXTS * 12)  # fewer than 100 are an error
    dev = write_corpus(tmp_path / "dev.spacy", ["the city was on the apple river ."])  # and so is an overlap
    output = run("debug", "data", CONFIGS / CONFIG, *overrides, "--paths.train", train, "--paths.dev", dev)
    assert "Pipeline can be initialized with data" in output
    assert "1 label(s)" in output


def test_debug_model_of_what_listens_on_its_own_sentences(overrides):
    models = overrides[overrides.index("--paths.dev") + 2 :]  # no corpus
    output = run("debug", "model", CONFIGS / CONFIG, "ner", *models)
    assert "Initialized the model with dummy data" in output
    assert "model looks good" in output


def test_debug_model_of_an_encoder_on_the_corpus(overrides):
    output = run("debug", "model", CONFIGS / CONFIG, "bert_embeddings", *overrides)
    assert "Initialized the model with the training corpus" in output
    assert "model looks good" in output


def test_assemble_and_evaluate_a_pipeline_made_of_a_trained_one(pipeline, corpus, tmp_path):
    config = ['[nlp]\nlang = "en"\npipeline = ["bert_embeddings","ner"]', "[components]"]
    config += [
        f"[components.{name}]\nsource = {str(pipeline)!r}".replace("'", '"') for name in ("bert_embeddings", "ner")
    ]
    (tmp_path / "assembled.cfg").write_text("\n\n".join(config), encoding="utf8")
    run("assemble", tmp_path / "assembled.cfg", tmp_path / "assembled")
    run("evaluate", tmp_path / "assembled", corpus, "--output", tmp_path / "scores.json")
    run("evaluate", pipeline, corpus, "--output", tmp_path / "expected.json")
    scores, expected = (srsly.read_json(tmp_path / name) for name in ("scores.json", "expected.json"))
    assert scores["ents_f"] == expected["ents_f"] > 0.8


def test_assemble_an_untrained_pipeline(overrides, tmp_path):
    run("assemble", CONFIGS / CONFIG, tmp_path / "assembled", *overrides)
    assert spacy.load(tmp_path / "assembled").pipe_names == ["bert_embeddings", "ner"]


def test_benchmark_accuracy_and_speed(pipeline, corpus, tmp_path):
    run("benchmark", "accuracy", pipeline, corpus, "--output", tmp_path / "scores.json")
    assert srsly.read_json(tmp_path / "scores.json")["ents_f"] > 0.8
    output = run("benchmark", "speed", pipeline, corpus, "--batches", 30, "--batch-size", 3, "--warmup", 1)
    assert "words/s" in output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # spaCy leaves closing files to Python
def test_package(pipeline, tmp_path):
    run("package", pipeline, tmp_path, "--name", "places", "--version", "1.2.3", "--build", "none")
    (package,) = tmp_path.iterdir()
    meta = srsly.read_json(package / "meta.json")
    assert meta["version"] == "1.2.3"
    assert any(line.startswith("spacy-ctx-embed") for line in meta["requirements"])
    nlp = spacy.load(package / "en_places" / "en_places-1.2.3")
    assert [doc.to_json() for doc in nlp.pipe(TEXTS)] == [doc.to_json() for doc in spacy.load(pipeline).pipe(TEXTS)]
