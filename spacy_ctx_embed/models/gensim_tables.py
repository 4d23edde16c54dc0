"""The formats that gensim reads, through gensim: word2vec and GloVe text, word2vec binary, fastText, gensim's own.

Enters: a file of a known format. Leaves: a :class:`~spacy_ctx_embed.models.tables.VectorTable`. What gensim
answers with a bare ValueError, or accepts in silence, is looked up here in the file and named.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Optional, Tuple

import numpy as np

from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.fasttext_layout import check_fasttext
from spacy_ctx_embed.models.tables import SubWords, VectorTable, make_table

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

_AGAIN = "fetch or save it again"


def read_text(path: Path, plain: Path, *, header: bool, limit: Optional[int]) -> VectorTable:
    """Read word2vec text (``.vec``), or the same without its first line, as GloVe ships it.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param header: whether the first line holds the number of words and the width.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if a line is not a word and as many numbers as the others have.
    """
    if header:
        n_words, width = _check_header(path, plain)
        # a word, and per number a space and a digit at least, and the line's end
        _check_size(path, plain, min(n_words, limit or n_words) * (2 * width + 2) - 1, n_words, width)
    try:
        table = _from_gensim(path, _load_word2vec(plain, binary=False, header=header, limit=limit))
    except (ValueError, EOFError, IndexError, OverflowError) as error:
        if isinstance(error, ModelFormatError):
            raise
        _check_lines(path, plain, header, limit)
        raise ModelFormatError(_unreadable(path, error)) from error
    # A line with one number is spread over the row by NumPy, and lines beyond the header's count are not read.
    spread = table.width > 1 and bool((table.vectors == table.vectors[:, :1]).all(axis=1).any())
    if spread or (header and limit is None and _n_lines(plain) > n_words + 1):
        _check_lines(path, plain, header, limit)
    return table


def read_binary(path: Path, plain: Path, *, limit: Optional[int]) -> VectorTable:
    """Read word2vec's binary format.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to read, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if it is truncated or otherwise damaged.
    """
    n_words, width = _check_header(path, plain)
    _check_size(path, plain, min(n_words, limit or n_words) * (4 * width + 1), n_words, width)  # a space, and float32
    try:
        return _from_gensim(path, _load_word2vec(plain, binary=True, header=True, limit=limit))
    except (ValueError, EOFError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(_unreadable(path, error)) from error


def read_fasttext(path: Path, plain: Path, *, limit: Optional[int], subwords: bool) -> VectorTable:
    """Read fastText's own ``.bin``.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :param limit: how many words to keep, from the first on; null for all.
    :param subwords: whether to keep the n-grams.
    :return: the table.
    :raises ModelFormatError: if it is truncated, or a classifier.
    """
    from gensim.models.fasttext import load_facebook_vectors

    check_fasttext(path, plain)
    try:
        with plain.open("rb") as file:
            vectors = load_facebook_vectors(file.fileno())
    except Exception as error:  # a damaged header leads gensim into struct, assertion, memory and index errors
        raise ModelFormatError(_unreadable(path, error)) from error
    return _from_gensim(path, vectors, limit, subwords)


def read_pickle(path: Path, *, limit: Optional[int], subwords: bool) -> VectorTable:
    """Load gensim's own format, which runs whatever code is in the file: only where the config allows it.

    :param path: the file, compressed or not; the arrays that gensim keeps beside it are found by its name.
    :param limit: how many words to keep, from the first on; null for all.
    :param subwords: whether to keep fastText's n-grams.
    :return: the table.
    :raises ModelFormatError: if it is damaged, or holds something else.
    """
    from gensim.models import KeyedVectors
    from gensim.utils import SaveLoad

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of older versions: deprecated NumPy names, renamed attributes
            loaded: Any = SaveLoad.load(str(path))
    except Exception as error:  # unpickling raises anything
        if isinstance(error, AttributeError) and error.name == "_load_specials":  # what gensim calls on its objects
            raise ModelFormatError(_foreign(path, error.obj)) from error
        raise ModelFormatError(_unreadable(path, error)) from error
    vectors = getattr(loaded, "wv", loaded)
    if not isinstance(vectors, KeyedVectors):
        raise ModelFormatError(_foreign(path, loaded))
    return _from_gensim(path, vectors, limit, subwords)


def _load_word2vec(plain: Path, *, binary: bool, header: bool, limit: Optional[int]) -> KeyedVectors:
    from gensim.models import KeyedVectors

    with contextlib.ExitStack() as stack:
        if not header:  # gensim would read such a file twice, and leave it open
            plain = stack.enter_context(_with_header(plain))
        file = stack.enter_context(plain.open("rb"))
        stack.enter_context(np.errstate(over="ignore"))  # inf is found and named later
        # A descriptor, because gensim unpacks what is *named* .gz, whatever is in it.
        return KeyedVectors.load_word2vec_format(file.fileno(), binary=binary, limit=limit)


@contextlib.contextmanager
def _with_header(plain: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, plain.open("rb") as source:
        width = source.readline().rstrip().count(b" ")
        source.seek(0)
        other = Path(folder, "table")
        with other.open("wb") as target:
            target.write(f"{_n_lines(plain)} {width}\n".encode())
            shutil.copyfileobj(source, target, 1 << 20)
        yield other


def _from_gensim(path: Path, vectors: KeyedVectors, limit: Optional[int] = None, subwords: bool = False) -> VectorTable:
    from gensim.models.fasttext import FastTextKeyedVectors

    parts = None
    if subwords and isinstance(vectors, FastTextKeyedVectors) and vectors.bucket > 0 and vectors.max_n > 0:
        ngrams = np.ascontiguousarray(vectors.vectors_ngrams, dtype=np.float32)
        parts = SubWords(ngrams, int(vectors.min_n), int(vectors.max_n))
    words = list(vectors.index_to_key)
    while words and words[-1] is None:  # gensim 4 leaves room where it dropped a repeated word
        words.pop()
    return make_table(path, words, vectors.vectors[: len(words)], parts, limit)


def _check_header(path: Path, plain: Path) -> Tuple[int, int]:
    with plain.open("rb") as file:
        n_words, width = (int(field) for field in file.readline().split())
    if not n_words or not width:
        raise ModelFormatError(
            Errors.E013.format(
                file=path,
                item="the header line",
                found=f"that of an empty table, {n_words} words of width {width}",
                expected="a table with words and numbers",
                fix=_AGAIN,
            )
        )
    return n_words, width


def _check_size(path: Path, plain: Path, n_least: int, n_words: int, width: int) -> None:
    n_bytes = plain.stat().st_size
    if n_bytes < n_least:
        raise ModelFormatError(
            Errors.E013.format(
                file=path,
                item="the file",
                found=f"truncated, or its header wrong: {n_bytes} bytes",
                expected=f"at least {n_least} bytes for the {n_words} words of width {width} in the header",
                fix=_AGAIN,
            )
        )


def _check_lines(path: Path, plain: Path, header: bool, limit: Optional[int]) -> None:
    # Names the first line that is not a word and its numbers; returns where all are.
    n_words, width = _check_header(path, plain) if header else (None, None)
    wanted = n_words if limit is None else min(limit, n_words or limit)
    n_read = 0
    with plain.open("rb") as file:
        for number, line in enumerate(file, 1):
            if header and number == 1:
                continue
            if limit is not None and n_read == limit:
                return
            if width is None:
                width = line.rstrip().count(b" ")
            found, expected = _line_fault(line, width), f"a word and {width} numbers, with single spaces between"
            if n_read == wanted:
                if not line.strip():
                    continue
                found, expected = "more than the header counts", f"{n_words} lines after the header"
            if found is not None:
                item = f"line {number} ({line[:40].decode('utf8', errors='replace').rstrip()!r}…)"
                fix = "repair that line, or write the table again in UTF-8"
                raise ModelFormatError(
                    Errors.E013.format(file=path, item=item, found=found, expected=expected, fix=fix)
                )
            n_read += 1
    if header and wanted is not None and n_read < wanted:
        raise ModelFormatError(
            Errors.E013.format(
                file=path,
                item="the file",
                found=f"truncated: {n_read} lines after the header",
                expected=f"the {n_words} that the header counts",
                fix=_AGAIN,
            )
        )


def _line_fault(line: bytes, width: Optional[int]) -> Optional[str]:
    try:
        fields = line.rstrip().decode("utf8").split(" ")
    except UnicodeDecodeError as error:
        return f"not UTF-8 ({error})"
    if width is not None and len(fields) != width + 1:
        return f"one of {len(fields) - 1} numbers"
    for field in fields[1:]:
        try:
            np.float32(field)
        except ValueError:
            return f"one with {field!r} where a number should be"
    return None


def _n_lines(plain: Path) -> int:
    # Blank lines at the end do not count: n_lines is that of the last byte that is no line end.
    n_lines = n_newlines = 0
    with plain.open("rb") as file:
        while block := file.read(1 << 20):
            body = block.rstrip(b"\r\n")
            if body:
                n_lines = n_newlines + body.count(b"\n") + 1
            n_newlines += block.count(b"\n")
    return n_lines


def _foreign(path: Path, loaded: object) -> str:
    return _unreadable(path, f"it holds a {type(loaded).__name__}, not word vectors")


def _unreadable(path: Path, reason: object) -> str:
    return Errors.E012.format(
        file=path,
        reason=f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else reason,
        accepted="a complete file of word vectors, in UTF-8",
        fix=_AGAIN,
    )
