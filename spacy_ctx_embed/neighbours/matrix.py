"""The vectors of a dataset as one memory-mapped matrix, and the rows of it that are nearest to a vector.

Enters: a dataset. Leaves: rows and cosines, exact, computed in blocks that stay in a processor's cache. The matrix is
read out of the Parquet files once, as their pages can't be mapped, and kept beside them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple

import numpy as np

from spacy_ctx_embed.neighbours.dataset import Dataset

if TYPE_CHECKING:
    import torch

_BLOCK = 4096  # rows at a time, which fit into a cache
_PART = 1 << 16  # rows of a thread at a time


class Matrix:
    """Vectors of one component of a dataset.

    :param dataset: the dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        file, norms, note = map(dataset.search_file, (".npy", ".norms.npy", ".json"))
        if not dataset.is_current(note):
            _write(dataset, file, norms)
            dataset.note_state(note)
        self.vectors = np.load(file, mmap_mode="r")
        self.norms = np.load(norms)

    def nearest(self, vector: np.ndarray, k: int) -> List[Tuple[int, float]]:
        """Find the nearest rows by comparing with all.

        :param vector: ``(width,)``.
        :param k: rows at most.
        :return: numbers and cosines, the nearest first; rows of zeros are never near.
        """
        import torch

        from spacy_ctx_embed.networks.threads import side_by_side

        query = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float32))

        def compare(start: int) -> torch.Tensor:
            part = self.vectors[start : start + _PART]
            floats, found = torch.empty(_BLOCK, len(query)), torch.empty(len(part))
            for first in range(0, len(part), _BLOCK):
                block = part[first : first + _BLOCK]
                floats[: len(block)].copy_(_tensor(block))
                torch.mv(floats[: len(block)], query, out=found[first : first + len(block)])
            return found

        found = list(side_by_side(compare, range(0, len(self.vectors), _PART)))
        products = torch.cat(found).numpy() if found else np.zeros(0, dtype=np.float32)
        return _best(products, self.norms, float(query.norm()), k)

    def cosines(self, vector: np.ndarray, rows: np.ndarray) -> List[Tuple[int, float]]:
        """Compare with some rows.

        :param vector: ``(width,)``.
        :param rows: ``(n_rows,)`` their numbers.
        :return: numbers and cosines, the nearest first.
        """
        products = self.vectors[rows].astype(np.float32) @ np.asarray(vector, dtype=np.float32)
        best = _best(products, self.norms[rows], float(np.linalg.norm(vector)), len(rows))
        return [(int(rows[i]), cosine) for i, cosine in best]


def _best(products: np.ndarray, norms: np.ndarray, norm: float, k: int) -> List[Tuple[int, float]]:
    cosines = np.where(norms > 0, products / np.maximum(norms * norm, np.finfo(np.float32).tiny), -np.inf)
    k = min(k, int((norms > 0).sum()))
    if not k or not norm:
        return []
    best = np.argpartition(-cosines, k - 1)[:k]
    best = best[np.lexsort((best, -cosines[best]))]
    return [(int(i), float(cosines[i])) for i in best]


def _write(dataset: Dataset, file: Path, norms: Path) -> None:
    import pyarrow.parquet as pq

    written = [path.with_name(f"{path.name}.{os.getpid()}") for path in (file, norms)]
    lengths = np.zeros(len(dataset), dtype=np.float32)
    matrix, at = None, 0
    for part in dataset.parts:
        for batch in pq.ParquetFile(part).iter_batches(1 << 14, columns=[dataset.component]):
            rows = batch.column(0).flatten().to_numpy().reshape(-1, dataset.width)
            if matrix is None:
                shape = (len(dataset), dataset.width)
                matrix = np.lib.format.open_memmap(written[0], "w+", rows.dtype, shape)
            matrix[at : at + len(rows)] = rows
            floats = rows.astype(np.float32)
            lengths[at : at + len(rows)] = np.sqrt(np.einsum("ij,ij->i", floats, floats))
            at += len(rows)
    if matrix is None:  # shards without rows
        with written[0].open("wb") as stream:
            np.save(stream, np.zeros((0, dataset.width), dtype=np.float32))
    else:
        matrix.flush()
    with written[1].open("wb") as stream:
        np.save(stream, lengths)
    for path, place in zip(written, (file, norms)):
        path.replace(place)


def _tensor(block: np.ndarray) -> torch.Tensor:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(block)
