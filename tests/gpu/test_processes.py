"""``n_process`` on a GPU is refused where it would fail or share badly, and the pipeline goes on."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.encoders import NAME, TEXTS, farthest, pipeline, rows

pytestmark = pytest.mark.gpu

SCRIPT = """
import multiprocessing, sys
import spacy

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    spacy.require_gpu()
    nlp = spacy.blank("en")
    nlp.add_pipe("bert_embeddings", name="rows")
    nlp("the bank")
    try:
        list(nlp.pipe(["the bank"] * 8, n_process=2, batch_size=2))
    except ValueError as error:
        print(error)
    print(len(list(nlp.pipe(["the bank"] * 8))), "Docs")
"""


@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_workers_are_refused_and_the_pipeline_goes_on(family):
    nlp = pipeline(family)
    expected = rows(nlp.pipe(TEXTS))
    with pytest.raises(ValueError, match=rf"CE008\] {NAME}: .*Fix: nlp.pipe\(texts, n_process=1"):
        list(nlp.pipe(TEXTS, n_process=2, batch_size=2))
    assert farthest(rows(nlp.pipe(TEXTS)), expected) <= 1e-4


@pytest.mark.parametrize("how", multiprocessing.get_all_start_methods())
def test_however_workers_are_started(how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), how], capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert "[CE008] rows: nlp.pipe with n_process > 1" in done.stdout
    assert done.stdout.rstrip().endswith("8 Docs")
