"""fastText's product quantiser (``.ftz``): a row is a code per stretch of columns, and a code one of 256 centroids.

Enters: a file, and where its matrix begins. Leaves: rows. Layout after fastText's ``QuantMatrix::load`` and
``ProductQuantizer::load``; Jégou et al. (2011) for the method, Joulin et al. (2016) for the norms that are apart.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError

_HEAD = struct.Struct("<?qqi")  # whether norms are apart, rows, columns, codes
_QUANTISER = struct.Struct("<4i")  # columns, stretches, columns of a stretch, and of the last one
_CENTROIDS = 256
_BLOCK = 1 << 16  # rows made at a time


class Quantised:
    """A quantised matrix.

    :param path: the file to name in messages.
    :param file: the file, not compressed.
    :param offset: where the matrix begins, in bytes.
    :param width: numbers per row.
    :raises ModelFormatError: if the matrix is not complete.
    """

    def __init__(self, path: Path, file: IO[bytes], offset: int, width: int) -> None:
        self._path = path
        self._n_bytes = file.seek(0, 2)
        file.seek(offset)
        has_norms, self.n_rows, n_columns, n_codes = _HEAD.unpack(self._read(file, _HEAD.size))
        n_stretches = n_codes // self.n_rows if self.n_rows > 0 else 0
        if n_columns != width or n_stretches < 1 or n_codes != n_stretches * self.n_rows:
            raise self._error(f"damaged: a matrix of {self.n_rows} rows, {n_columns} columns and {n_codes} codes")
        codes = np.frombuffer(self._read(file, n_codes), np.uint8)
        self._codes = codes.reshape(self.n_rows, n_stretches)
        self._centroids, self._size = self._quantiser(file, width, n_stretches)
        self._norms: Optional[NDArray[np.float32]] = None
        if has_norms:
            places = np.frombuffer(self._read(file, self.n_rows), np.uint8)
            self._norms = self._quantiser(file, 1, 1)[0][places]

    def rows(self, start: int, n: int) -> Floats2d:
        """Make rows.

        :param start: the first row.
        :param n: how many.
        :return: ``(n, width)`` float32.
        """
        made = np.empty((n, len(self._centroids) // _CENTROIDS), np.float32)
        for first in range(0, n, _BLOCK):
            self._fill(made[first : first + _BLOCK], start + first)
        return made

    def _fill(self, made: Floats2d, start: int) -> None:
        codes = self._codes[start : start + len(made)]
        for stretch in range(codes.shape[1]):
            begin = stretch * self._size
            columns = made[:, begin : begin + self._size]  # of the last stretch there may be fewer
            centroids = self._centroids[begin * _CENTROIDS :][: columns.shape[1] * _CENTROIDS]
            columns[:] = centroids.reshape(_CENTROIDS, -1)[codes[:, stretch]]
        if self._norms is not None:
            made *= self._norms[start : start + len(made), None]

    def _quantiser(self, file: IO[bytes], width: int, n_stretches: int) -> Tuple[NDArray[np.float32], int]:
        # (width * 256,) centroids, those of a stretch together, and the columns of a stretch.
        columns, stretches, size, last = _QUANTISER.unpack(self._read(file, _QUANTISER.size))
        fits = columns == width and stretches == n_stretches and 0 < last <= size
        if not fits or size * (stretches - 1) + last != width:
            raise self._error(f"damaged: a quantiser of {stretches} times {size} columns, and {last} in the last")
        return np.frombuffer(self._read(file, 4 * width * _CENTROIDS), np.dtype("<f4")).astype(np.float32), size

    def _read(self, file: IO[bytes], n: int) -> bytes:
        if n < 0 or file.tell() + n > self._n_bytes:
            raise self._error(f"truncated: {self._n_bytes} bytes")
        return file.read(n)

    def _error(self, found: str) -> ModelFormatError:
        expected = "a complete file, whose numbers of rows and columns fit together"
        fix = "fetch or save it again"
        return ModelFormatError(
            Errors.E013.format(file=self._path, item="the fastText model", found=found, expected=expected, fix=fix)
        )
