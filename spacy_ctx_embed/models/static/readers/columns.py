"""Parquet, Arrow IPC and Feather: a column of words, and their numbers as lists or one column per dimension.

Enters: a file. Leaves: a :class:`VectorTable`. Read in batches, so that little more than the matrix is in memory.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.data import Floats2d
from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.static.tables.table import VectorTable, make_table

if TYPE_CHECKING:
    import pyarrow

_ACCEPTED = (
    "a Parquet, Arrow or Feather table with one column of strings, and one column of lists of numbers or one column of "
    "numbers per dimension"
)
_FIX = "write it again with these columns alone"
_BATCH = 16384  # rows read at a time
_PANDAS_INDEX = "__index_level_0__"


def read_columns(path: Path, plain: Path, *, limit: Optional[int]) -> VectorTable:
    """Read a table.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if it is damaged, or its columns are not words and numbers.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            Errors.E005.format(owner=path, key="name", package="pyarrow", reason=error, install="pyarrow")
        ) from error
    try:
        with _opened(plain) as (schema, batches):
            word, numbers = _columns(path, schema)
            words, matrix = _Reading(path, word, numbers, limit).read(batches([word, *numbers]))
    except ModelFormatError:
        raise
    except (OSError, ValueError, MemoryError, OverflowError, SystemError, pyarrow.ArrowException) as error:
        raise unreadable(path, error, accepted=_ACCEPTED, fix="fetch or save it again") from error
    return make_table(path, words, matrix)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Tuple[pyarrow.Schema, Callable[[List[str]], Iterator[pyarrow.RecordBatch]]]]:
    # The schema, and what gives the rows in batches with at least the columns that are asked for.
    from pyarrow import feather, ipc, memory_map
    from pyarrow.parquet import ParquetFile

    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PAR1":
        with ParquetFile(path) as parquet:
            yield parquet.schema_arrow, lambda columns: parquet.iter_batches(_BATCH, columns=columns)
        return
    if head == b"FEA1":
        table = feather.read_table(path)
        yield table.schema, lambda columns: iter(table.to_batches(_BATCH))
        return
    with memory_map(str(path)) as source:
        if head == b"ARRO":
            whole = ipc.open_file(source)
            yield whole.schema, lambda columns: map(whole.get_batch, range(whole.num_record_batches))
        else:
            stream = ipc.open_stream(source)
            yield stream.schema, lambda columns: iter(stream)


def _columns(path: Path, schema: pyarrow.Schema) -> Tuple[str, List[str]]:
    # Names of the column of words, and of that of lists or those of numbers.
    from pyarrow import types

    fields = [field for field in schema if field.name != _PANDAS_INDEX or _is_string(field.type)]
    words = [field.name for field in fields if _is_string(field.type)]
    lists = [field.name for field in fields if _is_list(field.type)]
    floats = [field.name for field in fields if types.is_floating(field.type)]
    integers = [field.name for field in fields if types.is_integer(field.type)]
    numbers = lists or floats or integers
    if len(words) != 1:
        reason = f"it has {len(words)} columns of strings: {', '.join(words[:5]) or 'none'}"
    elif len(lists) > 1:
        reason = f"it has {len(lists)} columns of lists of numbers: {', '.join(lists[:5])}"
    elif not numbers:
        reason = "it has no columns of numbers beside its words (a word list goes with an .npy matrix: name that one)"
    elif not lists and floats and integers:
        reason = f"it has columns of whole numbers ({', '.join(integers[:5])}) among those of fractions"
    elif len({*words, *numbers}) <= len(numbers):
        reason = "two of its columns have one name"
    else:
        return words[0], numbers
    raise unreadable(path, reason, accepted=_ACCEPTED, fix=_FIX)


def _is_string(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_string(kind.value_type)
    is_view = getattr(types, "is_string_view", None)  # since pyarrow 16
    return bool(types.is_string(kind) or types.is_large_string(kind) or (is_view is not None and is_view(kind)))


def _is_list(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


class _Reading:
    # One file on its way into memory.

    def __init__(self, path: Path, word: str, numbers: List[str], limit: Optional[int]) -> None:
        self._path, self._word, self._numbers, self._limit = path, word, numbers, limit
        self._words: List[str] = []
        self._matrix = np.empty((0, 0), np.float32)

    def read(self, batches: Iterator[pyarrow.RecordBatch]) -> Tuple[List[str], Floats2d]:
        for batch in batches:
            if self._limit is not None:
                batch = batch.slice(0, self._limit - len(self._words))
            if batch.num_rows:
                self._add(batch)
            if len(self._words) == self._limit:
                break
        self._matrix.resize((len(self._words), self._matrix.shape[1]), refcheck=False)
        return self._words, self._matrix

    def _add(self, batch: pyarrow.RecordBatch) -> None:
        start, words = len(self._words), batch.column(self._word)
        if words.null_count:
            raise self._null(start, words, self._word)
        if _is_list(batch.schema.field(self._numbers[0]).type):
            rows = self._from_lists(start, batch.column(self._numbers[0]))
        else:
            columns = list(map(batch.column, self._numbers))
            for name, column in zip(self._numbers, columns):
                if column.null_count:
                    raise self._null(start, column, name)
            rows = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
        if not start:
            self._matrix = np.empty((0, rows.shape[1]), np.float32)
        end = start + len(rows)
        if end > len(self._matrix):
            self._matrix.resize((max(end, start + start // 2), rows.shape[1]), refcheck=False)
        with np.errstate(over="ignore"):  # inf is found and named later
            self._matrix[start:end] = rows
        self._words += words.to_pylist()

    def _from_lists(self, start: int, column: pyarrow.Array) -> NDArray[Any]:
        import pyarrow.compute

        if column.null_count:
            raise self._null(start, column, self._numbers[0])
        sizes = pyarrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
        width = self._matrix.shape[1] if start else int(sizes[0])
        if (sizes != width).any():
            row = int(np.flatnonzero(sizes != width)[0])
            found = f"a list of {sizes[row]} numbers in row {start + row + 1}"
            raise self._error(f"column {self._numbers[0]!r}", found, f"lists of {width} numbers, as in the first row")
        values = column.flatten()
        if values.null_count:
            row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) // width
            raise self._error(f"column {self._numbers[0]!r}", f"without a number in row {start + row + 1}", "numbers")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(column), width)

    def _null(self, start: int, column: pyarrow.Array, name: str) -> ModelFormatError:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        return self._error(f"column {name!r}", f"empty (null) in row {start + row + 1}", "a value in every row")

    def _error(self, item: str, found: str, expected: str) -> ModelFormatError:
        fix = "repair the table or leave such rows out"
        return ModelFormatError(Errors.E013.format(file=self._path, item=item, found=found, expected=expected, fix=fix))
