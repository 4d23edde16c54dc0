"""What kind of table a file is, told by its first bytes, never by its name.

Enters: a file. Leaves: the name of a format, for ``formats`` to choose a reader by.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed import errors
from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.static.readers.fasttext_layout import is_fasttext
from spacy_ctx_embed.models.static.readers.pieces import is_pieces
from spacy_ctx_embed.models.static.readers.spacy_vectors import is_floret, vectors_folder
from spacy_ctx_embed.models.static.readers.text_lines import is_number, n_numbers
from spacy_ctx_embed.models.static.readers.word_bytes import BOM, is_utf8, is_utf16

ACCEPTED = (
    "GloVe text, word2vec text or binary (also as .gz, .bz2 or .zip), fastText .bin, .ftz or .vec, floret's text, an "
    ".npy matrix with a word list beside it, an .npz file or a Parquet, Arrow or Feather table with words and numbers, "
    "a .magnitude file, a folder with one of these, a spaCy pipeline with vectors, a folder of model2vec or of "
    "sentence-transformers' StaticEmbedding, or a gensim file"
)
COMPRESSED = ("gzip", "bzip2", "zip")
_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x93NUMPY": "npy",
    b"SQLite format 3\x00": "magnitude",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "arrow",
    b"\xff\xff\xff\xff": "arrow",  # a stream
}
_HEAD = 1 << 16  # bytes looked at
_SAMPLE = 100  # lines looked at
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1b]")
_PICKLE = re.compile(rb"\x80[\x02-\x05]|c[\w.]+\n[\w.]+\n|\(i[\w.]+\n[\w.]+\n")
_HEADER = re.compile(rb"\s*\d+[ \t]+(\d+)[ \t\r]*(?:\n|$)")


def sniff(path: Path, named: Optional[Path] = None) -> str:
    """Tell a file's format.

    :param path: the file.
    :param named: the file to name in messages, where ``path`` is an unpacked copy of it.
    :return: "gzip", "bzip2", "zip", "npy", "npz", "parquet", "arrow" (Feather too), "pickle", "fasttext", "binary"
        (word2vec), "text" (word2vec, with a header), "glove" (text without one), "floret", "magnitude", "utf-16" or
        "unknown".
    :raises ModelFormatError: if it can't be read or is empty.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise unreadable(named or path, error.strerror or str(error)) from error
    text = head.removeprefix(BOM)
    if not text.strip():
        raise ModelFormatError(
            Errors.E013.format(
                file=named or path, item="the file", found="empty", expected=ACCEPTED, fix="fetch or save it again"
            )
        )
    for magic, kind in _MAGICS.items():
        if head.startswith(magic):
            return "npz" if kind == "zip" and _begins_with_array(head) else kind
    if _PICKLE.match(head):
        return "pickle"
    if is_fasttext(head):
        return "fasttext"
    if is_utf16(head):
        return "utf-16"
    if is_floret(text):
        return "floret"
    return _sniff_text(text, is_whole=len(head) < _HEAD)


def sniff_folder(path: Path) -> Optional[str]:
    """Tell the format of a folder that is a table as a whole.

    :param path: the folder.
    :return: "spacy" (a pipeline, vocab or vectors of spaCy's), "pieces" (model2vec, StaticEmbedding); ``None`` where a
        table may be a file in it.
    """
    if vectors_folder(path) is not None:
        return "spacy"
    return "pieces" if is_pieces(path) else None


def unreadable(
    file: Path, reason: str, fix: str = "name a file of that kind, or fetch or save it again"
) -> ModelFormatError:
    """Make the error for a file that can't be read as a table.

    :param file: the file.
    :param reason: why.
    :param fix: what to do.
    :return: the error.
    """
    return errors.unreadable(file, reason, accepted=ACCEPTED, fix=fix)


def _begins_with_array(head: bytes) -> bool:
    # The first member of a zip file, whose name has its length before it, is an array of NumPy's.
    return head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


def _sniff_text(head: bytes, is_whole: bool) -> str:
    header = _HEADER.match(head)
    if header is None:
        return "glove" if _looks_like_rows(head, is_whole) else "unknown"
    width, body = int(header[1]), head[header.end() :].removeprefix(BOM)
    line = body.lstrip().split(b"\n", 1)[0]
    fields = line.split()
    if len(fields) == 2 and width != 1 and is_number(fields[1]) and _is_text(body):
        return "glove"  # words that are numbers, with one number each: no header
    if len(fields) > width and all(map(is_number, fields[len(fields) - width :])):
        return "text"
    return "text" if _is_text(body) and is_utf8(line.partition(b" ")[2]) else "binary"


def _looks_like_rows(head: bytes, is_whole: bool) -> bool:
    # Few control characters, as words may hold one, and numbers at the end of the first line and most of the others.
    lines = [line.split() for line in head.split(b"\n", _SAMPLE)[:_SAMPLE] if line.strip()]
    if not is_whole:
        lines = _without_cut(lines)
    n_rows = sum(map(bool, map(n_numbers, lines)))
    n_control = len(_CONTROL.findall(head))
    return n_numbers(lines[0]) > 0 and 2 * n_rows >= len(lines) and n_control <= len(head) // 16


def _without_cut(lines: List[List[bytes]]) -> List[List[bytes]]:
    # The last line of what was read may end within a number.
    return lines[:-1] if len(lines) > 1 else [lines[0][:-1]]


def _is_text(head: bytes) -> bool:
    # Bytes without control characters, also those of a text that is not UTF-8: its reader counts the odd words.
    if _CONTROL.search(head):
        return False
    return head.decode("utf8", errors="replace").count("\ufffd") <= len(head) // 8
