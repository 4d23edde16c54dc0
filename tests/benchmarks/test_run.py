"""``benchmarks/run.py``: that every benchmark is run by it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks"
if not (PATH / "run.py").exists():
    pytest.skip("benchmarks/ is not in this tree", allow_module_level=True)
ELSEWHERE = {"gpu"}  # needs a CUDA GPU: make bench-gpu


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(PATH))
    yield importlib.import_module("run")
    del sys.modules["run"]


def test_every_benchmark_is_run(run):
    found = {file.stem[len("bench_") :] for file in PATH.glob("bench_*.py")}
    assert found - ELSEWHERE == set(run.NEEDS)


def test_a_name_that_is_none_is_skipped_with_those_that_are(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "nothing"])
    assert run.main() == 0
    assert "there is none of that name; there are static, export" in capsys.readouterr().out
