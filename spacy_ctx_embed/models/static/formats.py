"""From a file or folder to a table of word vectors, whatever its format: told by content, never by extension.

Enters: a path. Leaves: a :class:`VectorTable`. ``kinds`` tells the format, and each has a reader of its own; only
gensim's own files and fastText's n-grams need gensim.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import glob
import gzip
import shutil
import tempfile
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Callable, Dict, Iterator, List, Optional, cast

import srsly

from spacy_ctx_embed.errors import Errors, ModelFormatError
from spacy_ctx_embed.models.static.kinds import ACCEPTED, COMPRESSED, sniff, sniff_folder, unreadable
from spacy_ctx_embed.models.static.plugins import TableFile, plugin_format
from spacy_ctx_embed.models.static.readers import matrix as matrix_tables
from spacy_ctx_embed.models.static.readers.binary import read_binary
from spacy_ctx_embed.models.static.readers.columns import read_columns
from spacy_ctx_embed.models.static.readers.fasttext import read_fasttext
from spacy_ctx_embed.models.static.readers.gensim import read_pickle
from spacy_ctx_embed.models.static.readers.magnitude import read_magnitude
from spacy_ctx_embed.models.static.readers.npz import read_npz
from spacy_ctx_embed.models.static.readers.pieces import read_pieces
from spacy_ctx_embed.models.static.readers.spacy_vectors import read_floret, read_spacy, vectors_folder
from spacy_ctx_embed.models.static.readers.text import read_text
from spacy_ctx_embed.models.static.tables.cached import through_cache
from spacy_ctx_embed.models.static.tables.folder import META, is_saved_meta, read_table
from spacy_ctx_embed.models.static.tables.table import VectorTable

_OF_DAMAGE = (None, errno.EINVAL)  # errno where a compressed file is to blame, not a disk


def open_table(
    path: Path,
    *,
    limit: Optional[int] = None,
    allow_pickle: bool = False,
    subwords: bool = True,
    cache: bool = False,
) -> VectorTable:
    """Read word vectors.

    :param path: a file or folder.
    :param limit: how many words to read, from the first on; null for all.
    :param allow_pickle: whether a format that is a pickle may be loaded.
    :param subwords: whether to keep fastText's n-grams.
    :param cache: whether a format that is slow to read is kept as a folder that opens at once, and taken from there.
    :return: the table.
    :raises ModelFormatError: if there is no table, or a damaged one, or a pickle that is not allowed.
    """
    path = Path(path)
    if _is_ours(path):
        return read_table(path, limit)
    kind = sniff_folder(path) if path.is_dir() else None
    if path.is_dir() and kind is None:
        path = _table_in(path)
    kind = kind or sniff(path)
    read = partial(_read_file, path, kind, limit, allow_pickle, subwords)
    if not cache:
        return read()
    return through_cache(path, _sources(path, kind), [limit, allow_pickle, subwords], read)


def _read_file(path: Path, kind: str, limit: Optional[int], allow_pickle: bool, subwords: bool) -> VectorTable:
    if path.is_dir():
        return _READERS[kind](TableFile(path, path, limit, allow_pickle, subwords))
    if kind not in COMPRESSED or plugin_format(path) is not None:
        return _open_plain(TableFile(path, path, limit, allow_pickle, subwords), kind)
    with _unpacked(path, kind) as plain:
        return _open_plain(TableFile(path, plain, limit, allow_pickle, subwords), sniff(plain, named=path))


def _sources(path: Path, kind: str) -> List[Path]:
    # The file, and those that may belong to it: words beside a matrix, arrays that gensim keeps beside its file.
    if path.is_dir():
        inside = (vectors_folder(path) or path) if kind == "spacy" else path
        return sorted(file for file in inside.rglob("*") if not file.name.startswith("."))
    if kind == "npy":
        return sorted(path.parent.iterdir())
    return [path, *sorted(path.parent.glob(f"{glob.escape(path.name)}.*"))]


def _open_plain(file: TableFile, kind: str) -> VectorTable:
    plugin = plugin_format(file.plain)
    if plugin is not None:
        return plugin.read(file)
    if kind in _READERS and (kind != "npy" or file.plain is file.named):  # its words are beside a matrix, not in it
        return _READERS[kind](file)
    reasons = {
        "unknown": "it does not look like a table of word vectors",
        "utf-16": "it is text in UTF-16",
    }
    fixes = ["convert it, as by: iconv -f utf-16 -t utf-8"] if kind == "utf-16" else []
    reason = reasons.get(kind, f"it holds another file, of type {kind}")
    raise unreadable(file.named, reason, *fixes)


def _read_pickle(file: TableFile) -> VectorTable:
    if not file.allow_pickle:
        reason = "as gensim's .kv and .model files are, FastText objects included"
        raise ModelFormatError(Errors.E014.format(file=file.named, reason=reason, key="allow_pickle"))
    return read_pickle(file.named, limit=file.limit, subwords=file.subwords)


def _read_matrix(file: TableFile) -> VectorTable:
    words = matrix_tables.find_words(file.named, _companions(file.named))
    return matrix_tables.read_matrix(file.named, words, limit=file.limit)


# Names of formats, as ``kinds.sniff`` gives them, and their readers.
_READERS: Dict[str, Callable[[TableFile], VectorTable]] = {
    "text": lambda file: read_text(file.named, file.plain, header=True, limit=file.limit),
    "glove": lambda file: read_text(file.named, file.plain, header=False, limit=file.limit),
    "binary": lambda file: read_binary(file.named, file.plain, limit=file.limit),
    "fasttext": lambda file: read_fasttext(file.named, file.plain, limit=file.limit, subwords=file.subwords),
    "pickle": _read_pickle,
    "npy": _read_matrix,
    "npz": lambda file: read_npz(file.named, file.plain, limit=file.limit, allow_pickle=file.allow_pickle),
    "parquet": lambda file: read_columns(file.named, file.plain, limit=file.limit),
    "spacy": lambda file: read_spacy(file.named, limit=file.limit),
    "magnitude": lambda file: read_magnitude(file.named, file.plain, limit=file.limit),
    "floret": lambda file: read_floret(file.named, file.plain),
    "pieces": lambda file: read_pieces(file.named),
    "arrow": lambda file: read_columns(file.named, file.plain, limit=file.limit),
}


def _is_ours(path: Path) -> bool:
    if not (path / META).is_file():
        return False
    try:
        return is_saved_meta(srsly.read_json(path / META))
    except ValueError as error:
        raise unreadable(path / META, str(error)) from error


def _table_in(path: Path) -> Path:
    files = [file for file in sorted(path.iterdir()) if _may_hold_table(file)]
    # gensim puts the large arrays of model.kv beside it, as model.kv.vectors.npy
    names = [file.name for file in files]
    files = [file for file in files if not any(file.name.startswith(name + ".") for name in names)]
    kinds = {file: _kind_or_unknown(file) for file in files}
    matrices = [file for file, kind in kinds.items() if kind == "npy"]
    tables = matrices or [file for file, kind in kinds.items() if kind not in ("unknown", "parquet")]
    tables = tables or [file for file, kind in kinds.items() if kind == "parquet"]  # elsewhere a list of words
    if len(tables) == 1:
        return tables[0]
    raise ModelFormatError(
        Errors.E013.format(
            file=path,
            item="the folder",
            found=f"one with {len(tables)} tables in it: {', '.join(file.name for file in tables) or 'none'}",
            expected=f"one table ({ACCEPTED})",
            fix="name the file that you want",
        )
    )


def _companions(matrix: Path) -> List[Path]:
    # Where the word list of a matrix may be: files of its stem first, the others of its folder after them.
    files = [file for file in sorted(matrix.parent.iterdir()) if _may_hold_table(file) and file != matrix]
    # a list of words may look like a pickle of the oldest kind ("cat", "dog"), and is not loaded as one
    files = [file for file in files if _kind_or_unknown(file) not in ("npy", "npz", "arrow", *COMPRESSED)]
    same_stem = [file for file in files if file.stem.split(".")[0] == matrix.stem.split(".")[0]]
    return same_stem or files


def _kind_or_unknown(file: Path) -> str:
    try:
        return sniff(file)
    except ModelFormatError:  # an empty file beside the table is no reason to stop
        return "unknown"


def _may_hold_table(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.suffix not in (".py", ".md", ".json")


@contextlib.contextmanager
def _unpacked(path: Path, kind: str) -> Iterator[Path]:
    # Readers map the file or read it from several places, so an unpacked copy is what serves them all.
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "table")
        try:
            with contextlib.ExitStack() as stack:
                source = stack.enter_context(_decompressed(path, kind, stack))
                shutil.copyfileobj(source, stack.enter_context(plain.open("wb")), 1 << 20)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _OF_DAMAGE:
                reason = f"it can't be unpacked into {folder} ({error})"
                accepted = "a folder for temporary files with room for the whole table"
                fix = "make room there, or name a folder elsewhere in the environment as TMPDIR"
                message = Errors.E012.format(file=path, reason=reason, accepted=accepted, fix=fix)
                raise ModelFormatError(message) from error
            raise unreadable(path, f"the {kind} file is damaged ({error})") from error
        yield plain


def _decompressed(path: Path, kind: str, stack: contextlib.ExitStack) -> IO[bytes]:
    if kind == "gzip":
        return cast(IO[bytes], gzip.open(path))
    if kind == "bzip2":
        return cast(IO[bytes], bz2.open(path))
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [m for m in archive.namelist() if not m.endswith("/") and not m.startswith("__MACOSX/")]
    if len(members) != 1:
        raise ModelFormatError(
            Errors.E013.format(
                file=path,
                item="the zip file",
                found=f"one of {len(members)} members ({', '.join(members[:4]) or 'none'})",
                expected="a zip file with one table in it",
                fix="unpack it, and name the file that you want",
            )
        )
    return archive.open(members[0])
