"""A text of short sentences that a tiny network learns in seconds, and what runs and compares trainings of it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from safetensors import safe_open

from spacy_ctx_embed.pretraining.pretrain import pretrain_elmo
from spacy_ctx_embed.pretraining.run import Result

FILES = ["README.md", "options.json", "softmax.safetensors", "vocab.txt", "weights.hdf5", "weights.safetensors"]
TIMES = ("seconds", "seconds_left", "tokens_per_second")  # the keys of a log that differ from run to run
DOES = {"dog": "barks", "cat": "sleeps", "bird": "sings", "cow": "eats", "fish": "swims", "bee": "flies"}
WHERE = {"barks": "house", "sleeps": "sofa", "sings": "tree", "eats": "grass", "swims": "river", "flies": "garden"}


def make_sentences(n: int = 200, seed: int = 0) -> List[str]:
    """Of seven words: the third and the sixth follow from the second, the first and fifth are a matter of chance."""
    draw = random.Random(seed)
    animals = [draw.choice(list(DOES)) for _ in range(n)]
    return [
        f"{draw.choice(['The', 'A'])} {animal} {DOES[animal]} in {draw.choice(['the', 'a'])} {WHERE[DOES[animal]]} ."
        for animal in animals
    ]


def write_text(file: Path, n: int = 200, seed: int = 0) -> Path:
    file.write_text("".join(f"{sentence}\n" for sentence in make_sentences(n, seed)), encoding="utf8")
    return file


def tiny_config(train: Any, **settings: Any) -> Dict[str, Any]:
    """A config without a file; ``settings`` are those of ``[pretraining]``."""
    section: Dict[str, Any] = {
        "max_epochs": 0,
        "max_steps": 40,
        "batch_size": 8,
        "unroll_steps": 8,
        "dropout": 0.1,
        "reset_state": 0.5,
        "held_out": 0.1,
        "log_every": 7,
        "eval_every": 16,
        "save_every": 9,
        "char_cnn": {"embedding_dim": 4, "filters": [[1, 4], [2, 8]], "n_highway": 1},
        "lstm": {"dim": 16, "projection_dim": 8},
        "softmax": {"kind": "full"},
        "optimizer": {"kind": "adamw", "learn_rate": 0.02},
        **settings,
    }
    paths = {"train": train if isinstance(train, list) else str(train)}
    return {"paths": paths, "nlp": {"lang": "xx", "pipeline": []}, "components": {}, "pretraining": section}


class Quiet:
    """A reporter that keeps what it is told, and raises KeyboardInterrupt at a step if asked to."""

    def __init__(self, stop_at: Optional[int] = None) -> None:
        self.stop_at = stop_at
        self.lines: List[Dict[str, Any]] = []
        self.said: List[str] = []

    def reading(self, n_files: int) -> None:
        self.said.append("reading")

    def read(self, n_texts: int, n_tokens: int) -> None:
        self.said.append("read")

    def starting(self, run: Any) -> None:
        self.said.append("starting")

    def train(self, line: Dict[str, Any]) -> None:
        self._take("train", line)

    def evaluated(self, line: Dict[str, Any]) -> None:
        self._take("eval", line)

    def close(self) -> None:
        self.said.append("close")

    def _take(self, kind: str, line: Dict[str, Any]) -> None:
        self.lines.append({"kind": kind, **line})
        if line["step"] == self.stop_at:
            raise KeyboardInterrupt


def train(config: Dict[str, Any], out: Path, *, reporter: Any = None, n_threads: int = 1, **more: Any) -> Result:
    return pretrain_elmo(config, out, reporter=reporter or Quiet(), n_threads=n_threads, **more)


def read_lines(out: Path) -> List[Dict[str, Any]]:
    """The log, without times."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf8").splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def read_checkpoint(out: Path) -> Dict[str, Any]:
    """The content of a checkpoint, without times."""
    content = torch.load(out / "checkpoint.pt", map_location="cpu", weights_only=True)
    del content["progress"]["seconds"]
    return content


def is_same(one: Any, other: Any) -> bool:
    """Whether nested values are equal, tensors to the last bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def assert_same_training(out: Path, other: Path) -> None:
    """Checkpoint, log and best model of two trainings are the same, times aside."""
    assert is_same(read_checkpoint(out), read_checkpoint(other))
    assert read_lines(out) == read_lines(other)
    for name in FILES:
        assert is_same(*(_content(folder / "model-best" / name) for folder in (out, other))), name


def _content(file: Path) -> Any:
    if file.suffix == ".safetensors":  # the order of its metadata is a matter of chance
        with safe_open(file, framework="pt") as stream:
            return stream.metadata(), {name: stream.get_tensor(name) for name in stream.keys()}
    lines = file.read_bytes().split(b"\n")
    return [line for line in lines if not line.startswith(b"| Time")]  # of the card
