"""Speed and faithfulness of each precision of a frozen ELMo or BERT, on this machine and on the user's own text.

Enters: a pipeline and Docs. Leaves: tokens per second, and how near the layers are to those of float32. The precisions
take turns, so that what slows the machine down for a while slows all of them.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from spacy_ctx_embed.encoders.contextual.layers import chosen_layers
from spacy_ctx_embed.encoders.contextual.unmixed import unmixed_layers
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.shim import ContextualShim, EncoderShim, encoder_shims
from spacy_ctx_embed.errors import first_line
from spacy_ctx_embed.rows.unit import cosines

_EXACT = "float32"


@dataclass(frozen=True)
class Precision:
    """One precision of one encoder.

    :param component: the component that the encoder is in.
    :param precision: the value of ``precision``.
    :param chosen: whether the pipeline has it.
    :param tokens_per_second: median over the rounds; ``None`` where it can't be used here.
    :param times_float32: median over the rounds of how many times faster than float32 it is.
    :param mean_cosine: of each token's layers to those in float32, the mean; whitespace left out.
    :param worst_cosine: the smallest of these.
    :param reason: why it can't be used here.
    """

    component: str
    precision: str
    chosen: bool
    tokens_per_second: Optional[float] = None
    times_float32: Optional[float] = None
    mean_cosine: Optional[float] = None
    worst_cosine: Optional[float] = None
    reason: str = ""


def tune(nlp: Language, docs: Sequence[Doc], rounds: int = 3) -> List[Precision]:
    """Measure every precision of every frozen contextual encoder in the embedding components of a pipeline.

    Only the encoders are run, tokenizer of word pieces included; a cache is left out.

    :param nlp: the pipeline.
    :param docs: ``n_docs`` Docs that its tokenizer made; sentence starts are used where they are set.
    :param rounds: how often each is timed, after one pass to warm up.
    :return: a row per component and precision, float32 first.
    """
    found = []
    for name, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if not isinstance(model, Model):
            continue
        for shim in encoder_shims(model):
            settings = shim.settings
            if isinstance(settings, ContextualSettings) and not settings.trainable and not settings.stateful:
                node = next(node for node in model.walk() if shim in node.shims)
                found += _tune_encoder(name, node, shim, docs, rounds)
    return found


def _tune_encoder(component: str, model: Model, shim: EncoderShim, docs: Sequence[Doc], rounds: int) -> List[Precision]:
    shims: Dict[str, ContextualShim] = {}
    reasons: Dict[str, str] = {}
    order = sorted(shim.settings.precisions, key=lambda precision: precision != _EXACT)
    with tempfile.TemporaryDirectory() as folder:
        shim.save(Path(folder))
        for precision in order:
            twin = EncoderShim(replace(shim.settings, precision=precision), shim.opener)
            try:
                twin.read(Path(folder))
            except ValueError as error:  # this processor, this device or this model does not have it
                reasons[precision] = first_line(error)
            else:
                shims[precision] = twin
    layers = chosen_layers(model, shim.network())
    rows = {precision: _rows(twin, docs, layers)[0] for precision, twin in shims.items()}  # and warms up
    seconds: Dict[str, List[float]] = {precision: [] for precision in shims}
    for _ in range(rounds):
        for precision, twin in shims.items():
            seconds[precision].append(_rows(twin, docs, layers)[1])
    n_tokens = sum(len(doc) for doc in docs)
    results = []
    for precision in order:
        chosen = precision == shim.settings.precision
        if precision in reasons:
            results.append(Precision(component, precision, chosen, reason=reasons[precision]))
            continue
        alike = cosines(rows[precision], rows[_EXACT])
        results.append(
            Precision(
                component,
                precision,
                chosen,
                n_tokens / median(seconds[precision]),
                median(exact / own for exact, own in zip(seconds[_EXACT], seconds[precision])),
                float(alike.mean()),
                float(alike.min()),
            )
        )
    return results


def _rows(shim: ContextualShim, docs: Sequence[Doc], layers: Sequence[int]) -> Tuple[np.ndarray, float]:
    # (n_rows, n_layers * width) in the order of the text, and seconds.
    import torch

    start = time.perf_counter()
    with torch.inference_mode():
        parts = list(unmixed_layers(shim, shim.network(), docs, layers))
    seconds = time.perf_counter() - start
    numbers = np.concatenate([np.asarray(part.rows) for part in parts])
    flat = np.concatenate([part.layers.cpu().numpy().transpose(1, 0, 2) for part in parts])
    return flat[np.argsort(numbers, kind="stable")].reshape(len(flat), -1), seconds
