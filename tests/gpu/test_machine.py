"""tests/gpu/machine.py, which runs anywhere: what it says of machines without a GPU, and its exit status."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.gpu import machine


def _driver(status: int, n_devices: int) -> SimpleNamespace:
    def count(pointer: object) -> int:
        pointer._obj.value = n_devices
        return 0

    return SimpleNamespace(cuInit=lambda flags: status, cuDeviceGetCount=count)


@pytest.mark.parametrize(
    ("status", "n_devices", "said"),
    [(0, 1, ""), (0, 0, "sees no GPU"), (100, 0, "status is 100"), (999, 2, "status is 999")],
)
def test_the_driver_is_asked_how_many_gpus_there_are(status, n_devices, said, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _driver(status, n_devices))
    assert said in machine.driver_problem()
    assert bool(machine.driver_problem()) == bool(said)


def test_without_a_driver_nothing_else_is_looked_at(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert "no NVIDIA driver" in machine.problem()


def test_a_pytorch_for_the_cpu_is_named(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(machine, "driver_problem", lambda: "")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA: pip install" in machine.problem()


@pytest.mark.parametrize(("cuda", "package"), [("12.8", "cupy-cuda12x"), ("13.0", "cupy-cuda13x")])
def test_cupy_is_of_the_cuda_of_pytorch(cuda, package, monkeypatch):
    import torch

    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert machine.cupy_package() == package


def test_the_script_says_what_is_missing_and_fails():
    done = subprocess.run([sys.executable, Path(machine.__file__), "driver"], capture_output=True, text=True)
    expected = machine.driver_problem()
    assert done.returncode == bool(expected)
    assert expected in done.stderr
