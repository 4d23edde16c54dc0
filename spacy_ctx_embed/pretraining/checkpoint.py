"""Checkpoints that a process may be killed over at any moment: the old one stays until the new one is on the disk."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch

from spacy_ctx_embed.errors import Errors, TrainingError
from spacy_ctx_embed.pretraining.settings import SECTION, PretrainSettings
from spacy_ctx_embed.pretraining.step import States

_VERSION = 2
# What a checkpoint was made with and what must be the same when it is gone on from.
FIXED = (
    "seed",
    "batch_size",
    "unroll_steps",
    "vocab_size",
    "mix",
    "init_from",
    "widen",
    "freeze_steps",
    "held_out",
    "eval_tokens",
    "char_cnn",
    "lstm",
    "softmax",
)


@dataclass
class Progress:
    """How far training has come.

    :param step: batches that were learnt from.
    :param best_step: after how many of them the best evaluation was, 0 for none yet.
    :param best_loss: its loss in nats, mean of both directions.
    :param n_worse: evaluations since.
    :param seconds: time spent training.
    :param history: perplexities of the evaluations: step, forward, backward, words and sentence ends.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    n_worse: int = 0
    seconds: float = 0.0
    history: List[List[float]] = field(default_factory=list)


@dataclass
class Checkpoint:
    """Everything that the next step depends on.

    :param progress: how far training has come.
    :param model: state of the language model.
    :param optimizer: state of the optimiser.
    :param states: where both directions go on.
    :param unlogged: of the steps since the last line of the log: sums of the losses of both directions, and how many.
    :param text: what identifies the text, ``""`` where that is not known.
    """

    progress: Progress
    model: Dict[str, torch.Tensor]
    optimizer: Dict[str, Any]
    states: Optional[States]
    unlogged: List[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    text: str = ""


def save_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the one before.

    :param file: where to.
    :param checkpoint: what.
    :raises OSError: if the disk is full; the old file is still there.
    """
    content = {
        "version": _VERSION,
        "progress": asdict(checkpoint.progress),
        "model": checkpoint.model,
        "optimizer": checkpoint.optimizer,
        "states": checkpoint.states,
        "unlogged": checkpoint.unlogged,
        "text": checkpoint.text,
    }
    temporary = file.with_name(file.name + ".tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException as error:  # also a second Ctrl-C
        temporary.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)):  # torch's writer turns some of the first into the second
            raise OSError(Errors.E041.format(file=file, reason=error)) from error
        raise


def load_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint.

    :param file: what :func:`save_checkpoint` wrote.
    :return: its content, on the CPU.
    :raises TrainingError: if the file is none.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
        progress = Progress(**content["progress"])
        states = content["states"]
        if states is not None:
            states = [[(h, c) for h, c in direction] for direction in states]
        model, optimizer = content["model"], content["optimizer"]
        return Checkpoint(progress, model, optimizer, states, content["unlogged"], content["text"])
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises many kinds over a damaged file
        raise TrainingError(Errors.E042.format(file=file, reason=error)) from error


def first_difference(old: PretrainSettings, new: PretrainSettings) -> Optional[str]:
    """Find a setting that must not change when training goes on, and did.

    :param old: what the checkpoint was made with.
    :param new: what is asked for.
    :return: its key, ``None`` if there is none.
    """
    before, after = _flat(asdict(old)), _flat(asdict(new))
    same = (key for key in before if key.split(".")[0] in FIXED)
    return next((f"{SECTION}.{key}" for key in same if before[key] != after[key]), None)


def _flat(values: Mapping[str, Any], start: str = "") -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for key, value in values.items():
        found.update(_flat(value, f"{start}{key}.") if isinstance(value, dict) else {start + key: value})
    return found
