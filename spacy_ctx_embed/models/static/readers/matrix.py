"""A NumPy matrix with a word list beside it, as packages ship GloVe: read without gensim.

Enters: an ``.npy`` file and the files that may be its word list (text, one word per line, or Parquet with one
string column). Leaves: a :class:`VectorTable`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence

from spacy_ctx_embed.errors import Errors, ModelFormatError, unreadable
from spacy_ctx_embed.models.static.readers.word_bytes import BOM, WordDecoder, is_utf16
from spacy_ctx_embed.models.static.tables.table import VectorTable, check_lengths, make_table, open_matrix

_WORD_LIST = "a text file in UTF-8 with one word per line, or a Parquet file with one string column"
_FIX = "write the word list again"

_PARQUET_MAGIC = b"PAR1"
_HEAD = 64  # bytes that tell what a file is


def read_matrix(path: Path, words: List[str], *, limit: Optional[int]) -> VectorTable:
    """Read a matrix and put it together with its words.

    :param path: the ``.npy`` file, ``(n_words, width)``.
    :param words: its words, one per row.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    """
    return make_table(path, words, open_matrix(path), limit=limit)


def find_words(path: Path, candidates: Sequence[Path]) -> List[str]:
    """Find the word list of a matrix: the one file that has as many words as the matrix has rows.

    :param path: the ``.npy`` file.
    :param candidates: files that may be the list.
    :return: ``n_words`` words.
    :raises ModelFormatError: if none of them fits, or more than one does.
    """
    matrix = open_matrix(path)
    check_lengths(path, len(matrix) if matrix.ndim else 0, matrix)
    lists: Dict[Path, WordDecoder] = {}
    unreadable: List[str] = []
    for file in candidates:
        try:
            lists[file] = _without_blank_ends(read_words(file), len(matrix))
        except ModelFormatError as error:
            unreadable.append(str(error))
    fitting = [file for file, found in lists.items() if len(found.words) == len(matrix)]
    if len(fitting) > 1:  # a file that is no text may have as many lines
        fitting = [file for file in fitting if not lists[file].n_odd] or fitting
    if len(fitting) == 1:
        lists[fitting[0]].warn()
        return lists[fitting[0]].words
    if len(candidates) == 1 and unreadable:
        raise ModelFormatError(unreadable[0])
    lengths = ", ".join(f"{file.name} ({len(found.words)} words)" for file, found in lists.items())
    raise ModelFormatError(
        Errors.E013.format(
            file=path,
            item="the word list beside the matrix",
            found=f"{'not the only one that fits' if fitting else 'missing or of another length'}: {lengths or 'none'}",
            expected=f"one text file with a word per line, or Parquet file with one string column, of {len(matrix)} "
            "words",
            fix=f"put the list beside the matrix, as {path.stem}.txt or {path.stem}.parquet",
        )
    )


def read_words(file: Path) -> WordDecoder:
    """Read a word list.

    :param file: text in UTF-8 with one word per line, or Parquet with one string column.
    :return: the words, decoded.
    :raises ModelFormatError: if it is neither.
    """
    decoder = WordDecoder(file)
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(_PARQUET_MAGIC):
        decoder.words += _read_parquet(file)
        return decoder
    content = file.read_bytes()
    if is_utf16(head) or b"\0" in content:
        raise unreadable(
            file, "it is text in UTF-16" if is_utf16(head) else "it is no text", accepted=_WORD_LIST, fix=_FIX
        )
    lines = content.removeprefix(BOM).split(b"\n")  # not splitlines: a word may hold any other line separator
    if not lines[-1]:
        lines.pop()
    # A word may be a space or a tab alone; after or before others, they are none of the word.
    decoder.add([line.strip(b" \t\r") or line.removesuffix(b"\r") for line in lines])
    return decoder


def _without_blank_ends(found: WordDecoder, n_words: int) -> WordDecoder:
    # Blank lines after the last word, or else before the first, go where there are more lines than words.
    while len(found.words) > n_words and not found.words[-1].strip():
        found.words.pop()
    while len(found.words) > n_words and not found.words[0].strip():
        found.words.pop(0)
    return found


def _read_parquet(file: Path) -> List[str]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(
            Errors.E005.format(owner=file, key="name", package="pyarrow", reason=error, install="pyarrow")
        ) from error
    try:
        with ParquetFile(file) as parquet:
            kinds = (pyarrow.string(), pyarrow.large_string())
            columns = [field.name for field in parquet.schema_arrow if field.type in kinds]
            words = parquet.read(columns=columns[:1]).column(0).to_pylist() if len(columns) == 1 else []
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(file, f"the Parquet file is damaged ({error})", accepted=_WORD_LIST, fix=_FIX) from error
    if len(columns) != 1:
        found = f"{len(columns)} columns of strings: {', '.join(columns) or 'none'}"
        raise unreadable(file, f"a word list is one column of strings, it has {found}", accepted=_WORD_LIST, fix=_FIX)
    if None in words:
        raise unreadable(file, f"row {words.index(None) + 1} of its word column is null", accepted=_WORD_LIST, fix=_FIX)
    return words
