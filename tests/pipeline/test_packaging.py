"""A pipeline with our components goes through spaCy's own commands: assemble, package, install, load elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import spacy
from spacy.cli import app
from typer.testing import CliRunner

# spaCy's command leaves files unclosed.
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _spacy(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.fixture
def saved(make_nlp, tmp_path):
    nlp = make_nlp("static", "bert")
    nlp.meta["name"] = "ctx"
    nlp.meta["version"] = "1.2.3"
    nlp.to_disk(tmp_path / "saved")
    return nlp


@UNCLOSED
def test_a_package_installs_and_loads_by_name_in_another_interpreter(saved, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    _spacy("package", tmp_path / "saved", out, "--build", "none")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(out / "xx_ctx-1.2.3")], check=True, capture_output=True)
    code = (
        "import json, xx_ctx\n"
        "doc = xx_ctx.load()('the bank')\n"
        "print(json.dumps([doc[1]._.vectors[name].tolist() for name in doc._.vectors]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    expected = [vector.tolist() for vector in saved("the bank")[1]._.vectors.values()]
    for rows, wanted in zip(json.loads(done.stdout.strip().splitlines()[-1]), expected):
        np.testing.assert_allclose(rows, wanted, atol=1e-6)


@UNCLOSED
def test_a_package_requires_this_one(saved, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    _spacy("package", tmp_path / "saved", out, "--build", "none")
    metas = [json.loads(path.read_text(encoding="utf8")) for path in out.rglob("meta.json")]
    assert any("spacy-ctx-embed" in str(meta.get("requirements")).replace("_", "-") for meta in metas)


def test_assemble_makes_a_pipeline_from_a_config(make_nlp, tmp_path):
    nlp = make_nlp("static")
    nlp.config.to_disk(tmp_path / "config.cfg")
    _spacy("assemble", tmp_path / "config.cfg", tmp_path / "out")
    assert spacy.load(tmp_path / "out")("the bank")[1]._.has_vector
