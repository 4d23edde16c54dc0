"""An index of a dataset's vectors (USearch), for datasets of many millions of rows: near, and not always exact.

Enters: a matrix. Leaves: rows that are likely the nearest. It is built once, kept beside the dataset, and built again
where the dataset has changed.
"""

from __future__ import annotations

import os

import numpy as np

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.neighbours.dataset import OWNER, Dataset
from spacy_ctx_embed.neighbours.matrix import Matrix

_BLOCK = 1 << 14
_NUMBERS = {"float32": "f32", "float16": "f16", "int8": "i8"}


class Index:
    """A graph over the rows of one component (HNSW; Malkov & Yashunin 2018, arXiv:1603.09320).

    :param dataset: the dataset.
    :param matrix: its vectors.
    :raises ImportError: if usearch is not installed.
    """

    def __init__(self, dataset: Dataset, matrix: Matrix) -> None:
        try:
            from usearch.index import Index as Graph
        except ImportError as error:
            values = {"package": "usearch", "install": "spacy-ctx-embed[usearch]", "reason": error}
            raise ImportError(Errors.E005.format(owner=OWNER, key="--index", **values)) from error
        self._graph = Graph(ndim=dataset.width, metric="cos", dtype=_NUMBERS[str(matrix.vectors.dtype)])
        file, note = map(dataset.search_file, (".usearch", ".usearch.json"))
        if file.is_file() and dataset.is_current(note):
            self._graph.view(str(file))
            return
        for start in range(0, len(matrix.vectors), _BLOCK):
            rows = np.flatnonzero(matrix.norms[start : start + _BLOCK] > 0) + start
            if len(rows):
                self._graph.add(rows, np.ascontiguousarray(matrix.vectors[rows]))
        written = file.with_name(f"{file.name}.{os.getpid()}")
        self._graph.save(str(written))
        written.replace(file)
        dataset.note_state(note)

    def near(self, vector: np.ndarray, k: int) -> np.ndarray:
        """Find rows that are near.

        :param vector: ``(width,)``.
        :param k: rows at most.
        :return: ``(n_rows,)`` their numbers.
        """
        query = np.asarray(vector, dtype=np.float32)
        if self._graph.dtype.name == "I8":
            query = np.rint(query / max(float(np.abs(query).max()), 1e-30) * 127).astype(np.int8)
        return np.asarray(self._graph.search(query, k).keys, dtype=np.int64)
