"""Which files a corpus is made of: names, folders and patterns of a command line to files with a label and a format.

Enters: what a user typed. Leaves: files in a fixed order. A label is what ids of documents begin with: it does not
depend on the folder that the command is run in.
"""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from spacy_ctx_embed.errors import refused

STDIN = "-"
BESIDE = ".export"  # folder in each export
FORMATS = ("text", "jsonl", "csv", "tsv", "parquet", "arrow", "spacy")
_SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".spacy": "spacy",
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_STREAMED = ("text", "jsonl", "csv", "tsv")  # formats that may be compressed as a whole


@dataclass(frozen=True)
class InputFile:
    """One file of a corpus.

    :param path: where it is; ``None`` for standard input.
    :param label: what ids of its documents begin with.
    :param format: one of ``FORMATS``.
    :param compression: "gzip", "bz2", "xz", "zstd", or ``None``.
    """

    path: Optional[Path]
    label: str
    format: str
    compression: Optional[str] = None

    @property
    def size(self) -> Optional[int]:
        """Bytes of the file as it is; ``None`` for standard input."""
        return None if self.path is None else self.path.stat().st_size


def find_files(inputs: Sequence[str], *, owner: str, format: Optional[str] = None) -> List[InputFile]:
    """Find the files of a corpus.

    :param inputs: files, folders (all files in them whose suffix is known, in the order of their names), patterns such
        as ``books/*.txt.gz``, or ``-`` for standard input.
    :param owner: the command, for messages.
    :param format: one of ``FORMATS`` for all files, whatever their names say; text where a name says nothing.
    :return: the files, in order, at least one.
    :raises ValueError: if an input leads to no file, or a format is not accepted.
    """
    if format is not None and format not in FORMATS:
        raise refused(owner, "--format", format, "is none that is read", ", ".join(FORMATS), "choose one of those")
    found: List[InputFile] = []
    for given in inputs:
        files = _expand(given, format)
        if not files:
            reason = "leads to no file that is read"
            accepted = (
                f"files, folders with {' '.join(_SUFFIXES)} files (also {' '.join(COMPRESSIONS)}), patterns, or -"
            )
            raise refused(owner, "INPUT", given, reason, accepted, "name a file that is there, or --format")
        found += files
    for file in found:
        if file.compression is not None and file.format not in _STREAMED:
            reason = f"is {file.format} compressed as a whole"
            accepted = f"such compression of {', '.join(_STREAMED)}"
            raise refused(owner, "INPUT", str(file.path), reason, accepted, "decompress it first")
    return _distinct(found)


def _expand(given: str, format: Optional[str]) -> List[InputFile]:
    if given == STDIN:
        return [InputFile(None, "stdin", format or "text")]
    path = Path(given)
    if path.is_dir():
        exports = {mark.parent for mark in path.rglob(BESIDE)} - {path}  # what the command has written is no corpus
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not _hidden(file, path) and exports.isdisjoint(file.parents)
        )
        return [
            InputFile(file, file.relative_to(path).as_posix(), format or known, compression)
            for file in inside
            for known, compression in [_read_name(file)]
            if known is not None
        ]
    if path.exists():
        files, base = [path], path.parent
    else:
        files = sorted(Path(file) for file in glob.glob(given, recursive=True) if Path(file).is_file())
        base = Path(*path.parts[: _first_magic(path)])
    kinds = [_read_name(file) for file in files]
    return [
        InputFile(file, file.relative_to(base).as_posix(), format or known or "text", compression)
        for file, (known, compression) in zip(files, kinds)
    ]


def _first_magic(path: Path) -> int:
    return next((i for i, part in enumerate(path.parts) if glob.has_magic(part)), len(path.parts) - 1)


def _read_name(file: Path) -> Tuple[Optional[str], Optional[str]]:
    # Format and compression that a name tells.
    compression = COMPRESSIONS.get(file.suffix.lower())
    inner = file.with_suffix("") if compression is not None else file
    return _SUFFIXES.get(inner.suffix.lower()), compression


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _distinct(files: List[InputFile]) -> List[InputFile]:
    # Two files of one label are told apart by their paths as given.
    counts = Counter(file.label for file in files)
    return [
        replace(file, label=file.path.as_posix()) if counts[file.label] > 1 and file.path is not None else file
        for file in files
    ]
