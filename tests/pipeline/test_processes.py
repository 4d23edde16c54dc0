"""``nlp.pipe(n_process=2)`` with each start method: the rows of every encoder, whether it has run before or not."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.pipeline import every_encoder
from tests.writers.elmo import write_random_elmo


@pytest.mark.slow
def test_workers_give_the_rows_of_their_parent(tiny_static: Path, tiny_bert: Path, tmp_path: Path) -> None:
    models = (tiny_static, write_random_elmo(tmp_path / "elmo"), tiny_bert)
    # A process of its own: start methods are of a whole process, and workers that do not start may make it hang. One
    # for all of them: most of the time goes into imports.
    done = subprocess.run(
        [sys.executable, "-m", every_encoder.__name__, *map(str, models), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "W109" not in done.stderr  # spaCy's, of hooks that can't travel
    answers = json.loads(done.stdout)
    config = answers.pop("config")
    assert list(answers) == every_encoder.START_METHODS
    for answer in answers.values():
        assert answer.pop("texts") and answer.pop("user data") and answer.pop("hooks")
    far = {
        (how, name): found
        for how, answer in answers.items()
        for name, found in answer["differences"].items()
        if not found <= 1e-6
    }
    assert far == {}
    ours = {entry.name for entry in entry_points(group="spacy_architectures") if entry.name.startswith("spacy_ctx_")}
    absent = {"spacy_ctx_embed.AllenNLPElmo.v1"}  # in tests/reference/test_allennlp_live.py
    if not every_encoder.HAS_CURATED:
        absent.add("spacy_ctx_embed.TransformerOutput.v1")
    assert {name for name in ours if name not in config} == absent
