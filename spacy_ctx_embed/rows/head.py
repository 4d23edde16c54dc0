"""What a model does behind its pooling: dense layers, scaling to length 1, fewer columns.

Enters: pooled vectors, or the rows of a Span's tokens. Leaves: vectors as ``SentenceTransformer.encode`` gives them.
"""

from __future__ import annotations

import hashlib

import numpy as np

from spacy_ctx_embed.data import Dense, Floats2d, TextHead

_SMALLEST = np.float32(1e-12)  # length of a vector that is not scaled up any more, torch's own choice


def finish(head: TextHead, vectors: Floats2d) -> Floats2d:
    """Do what comes after the pooling.

    :param head: the model's head.
    :param vectors: ``(n, n_modes * width)`` pooled vectors.
    :return: ``(n, text_width)`` float32.
    """
    found = np.asarray(vectors, dtype=np.float32)
    for step in head.steps:
        if isinstance(step, Dense):
            found = _dense(step, found)
        elif isinstance(step, int):
            found = found[:, :step]
        else:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _SMALLEST)
    return found


def pool_part(head: TextHead, rows: Floats2d) -> np.ndarray:
    """Pool the rows of the tokens of a Span, in the context in which they were read.

    A Span has no special pieces, so that "cls" is the mean of its rows here, and "lasttoken" its last row.

    :param head: the model's head.
    :param rows: ``(n_tokens, width)``; n_tokens may be 0.
    :return: ``(text_width,)`` float32; zeros if there are no rows.
    """
    n_tokens, width = rows.shape
    if n_tokens == 0:
        return np.zeros(text_width(head, width), dtype=np.float32)
    rows = rows.astype(np.float32)
    numbers = np.arange(1, n_tokens + 1, dtype=np.float32)
    poolings = {
        "cls": lambda: rows.mean(axis=0),
        "max": lambda: rows.max(axis=0),
        "mean": lambda: rows.mean(axis=0),
        "mean_sqrt_len_tokens": lambda: rows.sum(axis=0) / np.float32(np.sqrt(n_tokens)),
        "weightedmean": lambda: numbers @ rows / numbers.sum(),
        "lasttoken": lambda: rows[-1],
    }
    return finish(head, np.concatenate([poolings[mode]() for mode in head.modes])[None])[0]


def text_width(head: TextHead, width: int) -> int:
    """Tell how many columns the vector of a text has.

    :param head: the model's head.
    :param width: of one row.
    :return: columns.
    """
    columns = len(head.modes) * width
    for step in head.steps:
        if isinstance(step, Dense):
            columns = len(step.weight)
        elif isinstance(step, int):
            columns = min(columns, step)
    return columns


def dense_digest(dense: Dense) -> str:
    """Name a dense layer by its content.

    :param dense: the layer.
    :return: the same text for the same layer, in every process.
    """
    digest = hashlib.blake2b(dense.activation.encode("utf8"), digest_size=16)
    for part in (dense.weight, dense.bias, dense.residual):
        digest.update(b"none" if part is None else repr(part.shape).encode("utf8"))
        if part is not None:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _dense(dense: Dense, vectors: Floats2d) -> Floats2d:
    import torch

    found = vectors @ dense.weight.T
    if dense.bias is not None:
        found = found + dense.bias
    with torch.inference_mode():
        found = getattr(torch.nn, dense.activation)()(torch.from_numpy(np.ascontiguousarray(found))).numpy()
    return found if dense.residual is None else found + vectors @ dense.residual.T
