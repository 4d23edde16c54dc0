"""An interpreter with AllenNLP, and a process of it that answers questions.

AllenNLP asks for older versions of torch and spaCy than this package, so it has an environment of its own:
``$SPACY_CTX_EMBED_ALLENNLP_PYTHON`` where that is set, else one that is built once, in minutes, in pytest's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from filelock import FileLock

import spacy_ctx_embed
from spacy_ctx_embed.encoders.allennlp.module import NO_DEPS, REQUIREMENTS

VARIABLE = "SPACY_CTX_EMBED_ALLENNLP_PYTHON"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
SIDE = Path(__file__).with_name("allennlp_side.py")

# First torch alone, at the version of constraints.txt; then what the parts of this package need that run beside
# AllenNLP; then what the message about a missing AllenNLP says.
COMMANDS = [
    ["torch"],
    ["h5py", "numpy", "safetensors", "spacy>=3.7"],
    REQUIREMENTS,
    ["--no-deps", "--no-build-isolation", *NO_DEPS],
]


def find_interpreter(cache: Path) -> Path:
    """Give an interpreter with AllenNLP, building its environment where there is none yet."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    recipe = json.dumps([sys.version, COMMANDS, CONSTRAINTS.read_text()])
    folder = cache / hashlib.sha256(recipe.encode()).hexdigest()[:12]
    python, complete = folder / "bin" / "python", folder / "complete"
    with FileLock(f"{folder}.lock"):  # of several pytest workers one builds it
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            for command in COMMANDS:
                pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
                subprocess.run([*pip, "-c", str(CONSTRAINTS), *command], check=True)
            complete.touch()
    return python


class AllenNLP:
    """The process: one JSON line for each question and each answer, arrays through files."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log.txt"
        self._n_asked = 0
        # Only the package itself, not what is installed beside it, may be seen from there.
        packages = folder / "packages"
        packages.mkdir()
        (packages / "spacy_ctx_embed").symlink_to(Path(spacy_ctx_embed.__file__).parent, target_is_directory=True)
        environment = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(python), str(SIDE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    def ask(self, question: str, **arguments: Any) -> Dict[str, np.ndarray]:
        """Call a function of ``allennlp_side.py``; arrays among the arguments are passed as files."""
        self._n_asked += 1
        inputs, outputs = (self._folder / f"{self._n_asked}.{kind}.npz" for kind in ("in", "out"))
        np.savez(inputs, **arguments.pop("arrays", {}))
        assert self._process.stdin is not None and self._process.stdout is not None
        message = {"do": question, "arrays": str(inputs), "out": str(outputs), "arguments": arguments}
        self._process.stdin.write(json.dumps(message, default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        error = json.loads(answer).get("error") if answer else self._log.read_text()  # no answer: it ended
        if error is not None:
            raise RuntimeError(f"AllenNLP's side failed:\n{error}")
        with np.load(outputs) as found:
            return dict(found)

    def close(self) -> None:
        self._process.communicate()


def per_batch(found: Dict[str, np.ndarray], batches: List[List[List[str]]]) -> List[List[np.ndarray]]:
    """Sort arrays named ``batch.row`` as the sentences are."""
    return [[found[f"{b}.{i}"] for i in range(len(batch))] for b, batch in enumerate(batches)]
