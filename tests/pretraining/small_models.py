"""Tiny language models to train, and the equations of their LSTMs written down plainly for autograd."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import numpy as np
import torch

from spacy_ctx_embed.pretraining.build import make_language_model
from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
from spacy_ctx_embed.pretraining.settings import PretrainSettings, read_settings

WORDS = ["<S>", "</S>", "<UNK>", *"the a river bank of money naïve 🙂 flows unbelievable".split()]
N_VOCAB = len(WORDS) - 2  # the last two are <UNK> as targets
CLIPS = (0.15, 0.1)  # of cells and outputs: reached by these networks


def small_settings(**changes: Any) -> PretrainSettings:
    """Settings of a network of width 6 and 8 cells; ``changes`` are keys, with ``__`` for the dot of a section."""
    section: Any = {
        "dropout": 0.0,
        "vocab_size": N_VOCAB,
        "char_cnn": {"embedding_dim": 4, "filters": [[1, 4], [2, 5]], "n_highway": 1, "max_characters_per_token": 10},
        "lstm": {"dim": 8, "projection_dim": 6, "cell_clip": CLIPS[0], "proj_clip": CLIPS[1]},
        "softmax": {"kind": "full"},
        "optimizer": {},
    }
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (section[table] if table else section)[name] = value
    return read_settings(section)


def small_model(scale: float = 2.0, **changes: Any) -> LanguageModel:
    """A model of random weights; those of the LSTMs are ``scale`` times what training starts from."""
    model = make_language_model(small_settings(**changes), WORDS[:N_VOCAB])
    with torch.no_grad():
        for parameter in model.elmo.bilm.parameters():
            parameter.mul_(scale)
    return model


def text_of(*sentences: str) -> np.ndarray:
    """Ids of sentences of ``WORDS``, as in prepared text."""
    ids = [part for sentence in sentences for part in (0, *map(WORDS.index, sentence.split()))]
    return np.array([*ids, 0], dtype=np.uint32)


def random_text(n_tokens: int, seed: int = 0, n_words: int = len(WORDS), boundaries: float = 0.2) -> np.ndarray:
    """Ids of a text of so many words and boundaries, the last boundary not counted."""
    random = np.random.default_rng(seed)
    ids = random.integers(3, n_words, size=n_tokens)
    ids[random.random(n_tokens) < boundaries] = 0
    return np.array([0, *ids[1:], 0], dtype=np.uint32)


def plain_lstm(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    projection: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    fresh: Optional[torch.Tensor],
    clips: Tuple[Optional[float], Optional[float]],
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One direction of one layer: ``(n_steps, n_rows, width)`` outputs, last output and last cells."""
    outputs: List[torch.Tensor] = []
    for t in range(len(x)):
        if fresh is not None:
            h, c = h * fresh[t], c * fresh[t]
        i, f, o, j = (torch.cat([x[t], h], dim=1) @ weight + bias).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        if clips[0]:
            c = c.clamp(-clips[0], clips[0])
        h = (torch.sigmoid(o) * torch.tanh(c)) @ projection
        if clips[1]:
            h = h.clamp(-clips[1], clips[1])
        outputs.append(h)
    return torch.stack(outputs), h, c
