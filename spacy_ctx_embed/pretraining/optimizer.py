"""Optimisers of the language model, and the learning rate at each step.

Sources: Duchi et al. 2011 (Adagrad, with the initial accumulator of TensorFlow), Loshchilov & Hutter 2019,
arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (cosine decay). Muon has a module of its own.
"""

from __future__ import annotations

import inspect
import math
from typing import Iterable, Sequence, Tuple

import torch

from spacy_ctx_embed.pretraining.network.muon import Blocks, Muon
from spacy_ctx_embed.pretraining.settings import OptimizerSettings


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter],
    settings: OptimizerSettings,
    matrices: Sequence[Tuple[torch.Tensor, Blocks]] = (),
    dtype: torch.dtype = torch.float32,
) -> torch.optim.Optimizer:
    """Make an optimiser; its learning rate is set at each step.

    :param parameters: what it changes.
    :param settings: its kind and constants.
    :param matrices: which of them are weight matrices, for Muon.
    :param dtype: of Muon's matrix products.
    :return: the optimiser.
    """
    if settings.kind == "adagrad":
        return torch.optim.Adagrad(
            parameters, lr=settings.learn_rate, initial_accumulator_value=settings.initial_accumulator
        )
    parameters = list(parameters)
    kind = parameters[0].device.type
    fused = kind == "cuda" or (kind == "cpu" and _fuses_on_cpu())
    first, second = settings.betas
    rate, decay = settings.learn_rate, settings.weight_decay
    if settings.kind == "muon":
        cut = {id(part) for part, _ in matrices}
        others = [part for part in parameters if id(part) not in cut]
        betas = (first, second)
        return Muon(matrices, others, lr=rate, betas=betas, weight_decay=decay, fused=fused, dtype=dtype)
    return torch.optim.AdamW(parameters, lr=rate, betas=(first, second), weight_decay=decay, fused=fused)


def learn_rate(settings: OptimizerSettings, step: int, n_steps: int, n_frozen: int = 0) -> float:
    """Give the learning rate of a step.

    :param settings: the highest rate, warm-up and decay.
    :param step: from 0 on.
    :param n_steps: steps of the whole training.
    :param n_frozen: first steps, in which only the softmax learns: the rate rises in them and stays, and rises anew
        when the network begins to learn.
    :return: the rate.
    """
    is_frozen = step < n_frozen
    step, n_steps = (step, n_steps) if is_frozen else (step - n_frozen, n_steps - n_frozen)
    if step < settings.warmup_steps:
        return settings.learn_rate * (step + 1) / settings.warmup_steps
    if is_frozen:
        return settings.learn_rate
    done = (step - settings.warmup_steps) / max(n_steps - settings.warmup_steps, 1)
    share = {"none": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * min(done, 1)))}[settings.decay]
    return settings.learn_rate * max(share, 0.0)


def _fuses_on_cpu() -> bool:
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return version >= (2, 4) and "fused" in inspect.signature(torch.optim.AdamW).parameters
