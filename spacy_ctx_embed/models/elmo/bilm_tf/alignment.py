"""The map of an aligned multilingual model into the space that its languages share: ``{lang}_best_mapping.pth``.

Source: Schuster et al. 2019, and AllenNLP 0.9 ``elmo_token_embedder_multilang``. The files hold a matrix M for rows v
as aligned = v · Mᵀ, most of them as a NumPy array in a pickle.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, BinaryIO, ContextManager, List, Tuple

import numpy as np
import torch

from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import wrong
from spacy_ctx_embed.models.elmo.source.torch_state import load_pickle, named_tensors

_FIX = "get the file again; with a torch before 2.6, which can't read NumPy arrays safely, install a newer one"
_NAME = "mapping"


def read_alignment(stream: BinaryIO, file: Path, width: int) -> torch.Tensor:
    """Read a map.

    :param stream: a seekable stream of the file.
    :param file: its name, for messages.
    :param width: width of a layer, two directions together.
    :return: ``(width, width)`` float32, the weight of a linear layer without bias.
    :raises ModelFormatError: if the file is cut off, a pickle that asks for anything but an array or tensor, or the
        matrix is of another shape or not finite.
    """
    with _numpy_allowed():
        matrix = load_pickle(stream, file, _FIX)
    if isinstance(matrix, np.ndarray):
        data = NamedArrays(file, {_NAME: matrix.shape}, lambda name: matrix, "matrix")
    elif isinstance(matrix, torch.Tensor):
        data = named_tensors({_NAME: matrix}, file)
    else:
        wrong(file, "its content", f"of type {type(matrix).__name__}", "a matrix", "get the file again")
    return data.read(_NAME, (width, width)).contiguous()


def _numpy_allowed() -> ContextManager[Any]:
    # What a pickled float array consists of, and no other part of NumPy.
    safe_globals = getattr(torch.serialization, "safe_globals", None)
    if safe_globals is None:  # torch < 2.5
        return contextlib.nullcontext()
    rebuild: Any = np.zeros(0).__reduce__()[0]
    allowed: List[Tuple[Any, str]] = [
        (rebuild, "numpy.core.multiarray._reconstruct"),  # as NumPy 1 calls it
        (rebuild, "numpy._core.multiarray._reconstruct"),  # as NumPy 2 does
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
    ]
    for kind in (np.float32, np.float64):
        dtype = type(np.dtype(kind))
        allowed.append((dtype, f"{dtype.__module__}.{dtype.__name__}"))
    manager: ContextManager[Any] = safe_globals(allowed)
    return manager
