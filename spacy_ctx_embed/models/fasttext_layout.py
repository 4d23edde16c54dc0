"""How a fastText ``.bin`` is laid out: enough to recognise one, and to refuse a truncated one before gensim reads it.

gensim reads on for ever where a file ends within its vocabulary, and takes a quantised one for numbers. Layout
after fastText's ``FastText::saveModel``, ``Args::save`` and ``Dictionary::save``, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from spacy_ctx_embed.errors import Errors, ModelFormatError

_MAGIC = struct.pack("<i", 793712314)
_SETTINGS = struct.Struct("<12id")  # dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, …
_COUNTS = struct.Struct("<3iq")  # entries, words, labels, tokens
_AFTER_WORD = 9  # bytes: an int64 count and an int8 kind


def is_fasttext(head: bytes) -> bool:
    """Recognise a fastText model, also of the first format, which had no magic number.

    :param head: the first bytes of a file.
    :return: whether it looks like one.
    """
    if head.startswith(_MAGIC):
        return True
    if len(head) < _SETTINGS.size + _COUNTS.size:
        return False
    dim, ws, _, _, _, _, loss, model, bucket, min_n, max_n, _, _ = _SETTINGS.unpack_from(head)
    plausible = 0 < dim < 1 << 16 and 0 < ws < 1 << 16 and bucket >= 0 and 0 <= min_n <= max_n
    return plausible and loss in (1, 2, 3) and model in (1, 2, 3)


def check_fasttext(path: Path, plain: Path) -> None:
    """Walk through a model up to the end of its word matrix.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :raises ModelFormatError: if it ends before that, or is quantised (``.ftz``).
    """
    with plain.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            n_least = _end_of_matrix(path, data)
        except struct.error:
            n_least = len(data) + 1
        n_bytes = len(data)
    if n_bytes < n_least:
        raise ModelFormatError(
            Errors.E013.format(
                file=path,
                item="the fastText model",
                found=f"truncated: {n_bytes} bytes",
                expected="a complete file" if n_least == n_bytes + 1 else f"at least {n_least} bytes",
                fix="fetch or save it again",
            )
        )


def _end_of_matrix(path: Path, data: mmap.mmap) -> int:
    # Offset in bytes; raises struct.error where the file ends within what has to be read for it.
    is_new = data[:4] == _MAGIC
    offset = (8 if is_new else 0) + _SETTINGS.size
    n_entries = _COUNTS.unpack_from(data, offset)[0]
    offset += _COUNTS.size
    n_pruned = 0
    if is_new:
        n_pruned = max(0, struct.unpack_from("<q", data, offset)[0])
        offset += 8
    for _ in range(n_entries):
        end = data.find(b"\0", offset)
        if end < 0:
            raise struct.error("a word without an end")
        offset = end + 1 + _AFTER_WORD
    offset += 8 * n_pruned
    if is_new:
        if struct.unpack_from("<?", data, offset)[0]:
            raise ModelFormatError(
                Errors.E012.format(
                    file=path,
                    reason="the fastText model is quantised (.ftz)",
                    accepted="a .bin model that is not",
                    fix="take the .bin that it was made from",
                )
            )
        offset += 1
    n_rows, width = struct.unpack_from("<2q", data, offset)
    return offset + 16 + 4 * n_rows * width
