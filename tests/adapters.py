"""Adapters made on the spot with peft, with weights large enough to show, and peft's own model to compare with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Optional, Tuple

import numpy as np

REASON = "needs peft: pip install 'spacy-ctx-embed[peft]'"
ATTENTION = ["query", "value"]


def write_adapter(
    folder: Path,
    base: Path,
    config: Optional[Any] = None,
    *,
    head: str = "AutoModel",
    seed: int = 0,
    scale: float = 0.2,
) -> Tuple[Path, Any]:
    """Write an adapter of a model; also give peft's own model."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    from transformers.utils import logging

    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, head).from_pretrained(base, local_files_only=True).float()
        adapted = get_peft_model(model, config or LoraConfig(target_modules=ATTENTION, r=4))
        generator = torch.Generator().manual_seed(seed)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=scale)
        adapted.save_pretrained(folder)
    return folder, adapted.eval()


def states(adapted: Any, base: Path, text: str, part: str = "") -> np.ndarray:
    """Give the last states of peft's own model for the pieces of a text, special ones left out."""
    import torch
    from transformers import AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(base)(text, return_tensors="pt")
    model = getattr(adapted.base_model.model, part) if part else adapted
    with torch.no_grad():
        found: np.ndarray = model(**inputs).last_hidden_state[0, 1:-1].numpy()
    return found
