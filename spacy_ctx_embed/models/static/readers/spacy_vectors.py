"""spaCy's own vectors, in the folder of a pipeline or of its vocab, and floret's text files.

Enters: a folder or file. Leaves: a :class:`VectorTable`; in the mode floret one without words, whose rows are made of
n-grams.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import srsly
from numpy.typing import NDArray
from spacy.attrs import LOWER
from spacy.symbols import IDS  # type: ignore[import-not-found]

from spacy_ctx_embed.errors import Errors, ModelFormatError, Warnings, unreadable
from spacy_ctx_embed.models.static.tables.floret import HOW, Floret
from spacy_ctx_embed.models.static.tables.index import Rows1d, word_ids
from spacy_ctx_embed.models.static.tables.table import (
    VectorTable,
    open_matrix,
    table_of_parts,
    table_of_shared,
    to_float32,
)

VECTORS, KEYS, CONFIG, STRINGS = "vectors", "key2row", "vectors.cfg", "strings.json"
_ACCEPTED = "the folder of a pipeline or its vocab, with vectors, key2row and strings.json, as spaCy writes it"
_FIX = "save the pipeline again by nlp.to_disk"
_FLORET = "a file of floret: a line with rows, width, minn, maxn, hash count, seed, BOW and EOW, and a line per row"
_LONGEST = 1 << 10  # characters of an n-gram
_HEADER = re.compile(rb"\s*(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\S+) +(\S+)[ \t\r]*(?:\n|$)")


def vectors_folder(path: Path) -> Optional[Path]:
    """Find spaCy's vectors.

    :param path: a folder: of vectors, a vocab, a pipeline, or the package of a pipeline.
    :return: the folder with the vectors; ``None`` where there is not one.
    """
    for folder in (path, path / "vocab"):
        if (folder / VECTORS).is_file() and ((folder / KEYS).is_file() or (folder / CONFIG).is_file()):
            return folder
    if (path / "meta.json").is_file():
        inside = [folder for folder in path.glob("*-*/vocab") if (folder / VECTORS).is_file()]
        return inside[0] if len(inside) == 1 else None
    return None


def read_spacy(path: Path, *, limit: Optional[int]) -> VectorTable:
    """Read vectors of either mode. Words may share a row; rows that no word has are left out.

    :param path: a folder in which :func:`vectors_folder` finds some.
    :param limit: how many words to keep, from the first on; null for all.
    :return: the table.
    :raises ModelFormatError: if a file is missing, damaged, or does not fit the others.
    """
    folder = vectors_folder(path) or path
    config = _load(folder / CONFIG, srsly.read_json) if (folder / CONFIG).is_file() else {}
    if not isinstance(config, dict) or config.get("mode", "default") not in ("default", "floret"):
        raise unreadable(folder / CONFIG, f"its mode is none of spaCy's: {config!r:.100}", accepted=_ACCEPTED, fix=_FIX)
    matrix = open_matrix(folder / VECTORS)
    if not matrix.size:
        fix = "name a pipeline with vectors, such as en_core_web_md"
        raise unreadable(folder, "the pipeline has no vectors", accepted=_ACCEPTED, fix=fix)
    if config.get("mode") == "floret":
        how = _how(folder / CONFIG, config)
        lower = config.get("attr") in (LOWER, "LOWER")
        return table_of_parts(folder / VECTORS, Floret(to_float32(folder / VECTORS, matrix), lower=lower, how=how))
    words, rows = _words(folder, len(matrix), limit)
    return table_of_shared(folder / VECTORS, words, rows, matrix)


def is_floret(head: bytes) -> bool:
    """Recognise floret's text by its first line: six whole numbers and two marks that are none.

    :param head: the first bytes of a file.
    :return: whether it looks like that.
    """
    found = _HEADER.match(head)
    return found is not None and not any(re.fullmatch(rb"[-+.\deE]+", mark) for mark in found.groups()[6:])


def read_floret(path: Path, plain: Path) -> VectorTable:
    """Read floret's text.

    :param path: the file to name in messages.
    :param plain: the file, not compressed.
    :return: a table without words.
    :raises ModelFormatError: if a row is missing or no row of numbers.
    """
    with plain.open("rb") as file:
        header = _HEADER.match(file.readline())
        if header is None:
            raise unreadable(path, "its first line is another", accepted=_FLORET, fix="fetch or save it again")
        n_rows, width, *others = (int(field) for field in header.groups()[:6])
        try:
            marks = [mark.decode("utf8") for mark in header.groups()[6:]]
            with warnings.catch_warnings(), np.errstate(over="ignore"):
                warnings.simplefilter("ignore")  # of a file without lines
                numbers = np.loadtxt(file, np.float32, comments=None, ndmin=2, encoding="utf8")
        except (ValueError, MemoryError) as error:
            raise unreadable(path, error, accepted=_FLORET, fix="fetch or save it again") from error
    if numbers.shape != (n_rows, width + 1) or (numbers[:, 0] != np.arange(n_rows)).any():
        found = f"{len(numbers)} rows of {numbers.shape[1] - 1} numbers, or not in order"
        expected = f"rows 0 to {n_rows - 1} of {width} numbers, as the first line says"
        raise ModelFormatError(
            Errors.E013.format(file=path, item="the file", found=found, expected=expected, fix="fetch it again")
        )
    how = _how(path, dict(zip(HOW, [*others, *marks])))
    return table_of_parts(path, Floret(np.ascontiguousarray(numbers[:, 1:]), how=how))


def _how(path: Path, config: Dict[str, Any]) -> Dict[str, Any]:
    how = {key: config.get(key, -1) for key in HOW}
    minn, maxn, count = (how[key] for key in HOW[:3])
    numbers = all(isinstance(how[key], int) and 0 <= how[key] < 1 << 32 for key in HOW[:4])
    marks = all(isinstance(how[key], str) for key in HOW[4:])
    if not numbers or not marks or not 1 <= count <= 4 or maxn < minn or maxn > _LONGEST:
        reason = f"its settings are none of floret's: {how}"
        raise unreadable(path, reason, accepted="minn <= maxn, a hash count of 1 to 4, a seed, and two marks", fix=_FIX)
    return how


def _words(folder: Path, n_rows: int, limit: Optional[int]) -> Tuple[List[str], Rows1d]:
    # Words in the order of their keys, which is that of the file they were read from, and the row of each.
    found = _load(folder / KEYS, srsly.read_msgpack)
    strings = _load(folder / STRINGS, srsly.read_json)
    if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
        raise unreadable(folder / STRINGS, "it is no list of strings", accepted=_ACCEPTED, fix=_FIX)
    strings += IDS  # names such as "NOUN", which spaCy knows without a file
    try:
        keys = np.fromiter(found.keys(), np.uint64, len(found))
        rows = np.fromiter(found.values(), np.int64, len(found))
        ids = word_ids(strings)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise unreadable(folder / KEYS, error, accepted=_ACCEPTED, fix=_FIX) from error
    if ((rows < 0) | (rows >= n_rows)).any():
        reason = f"a word has row {rows[(rows < 0) | (rows >= n_rows)][0]}, and there are {n_rows}"
        raise unreadable(folder / KEYS, reason, accepted=_ACCEPTED, fix=_FIX)
    places, known = _places(ids, keys)
    if not known.any():
        raise unreadable(folder / STRINGS, "it has none of the words", accepted=_ACCEPTED, fix=_FIX)
    if not known.all():
        message = Warnings.W009.format(file=folder / STRINGS, count=int((~known).sum()), total=len(keys))
        warnings.warn(message, stacklevel=2)
    rows, kept = rows[known][:limit], places[known][:limit]
    return [strings[place] for place in kept.tolist()], rows


def _places(ids: NDArray[np.uint64], keys: NDArray[np.uint64]) -> Tuple[Rows1d, NDArray[np.bool_]]:
    # Where each key is among the ids, and whether it is there.
    if not len(ids):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, keys, sorter=order), len(ids) - 1)
    places = order[at]
    return places, ids[places] == keys


def _load(file: Path, read: Any) -> Any:
    try:
        return read(file)
    except Exception as error:  # srsly passes on what its parsers raise, of many types
        raise unreadable(file, error, accepted=_ACCEPTED, fix=_FIX) from error
