"""An exported corpus, opened for reading: which component's vectors, and what each row stands for.

Enters: the folder of an export. Leaves: its rows by number, with the text around them.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from spacy_ctx_embed.errors import Errors, refused
from spacy_ctx_embed.export.manifest import METADATA, ExportFolder

OWNER = "embed neighbours"


@dataclass(frozen=True)
class Row:
    """One row of a dataset.

    :param number: its place.
    :param doc: id of the document.
    :param start: offset of its first character in the document.
    :param end: offset behind its last one.
    :param text: its text.
    :param left: what stands before it in the document.
    :param right: what stands behind it.
    """

    number: int
    doc: str
    start: int
    end: int
    text: str
    left: str
    right: str


class Dataset:
    """Rows of an export.

    :param path: its folder.
    :param component: whose vectors; the last column of vectors if not given.
    :raises ValueError: if the folder is no export, has no rows, or no such component.
    """

    def __init__(self, path: Path, component: Optional[str] = None) -> None:
        import pyarrow.parquet as pq

        self.folder = ExportFolder(path)
        self.parts = self.folder.parts()
        if not self.parts:
            reason = "no shard of it is done" if self.folder.beside.is_dir() else "it was not written by it"
            accepted, fix = "a folder that 'embed export' wrote", "name such a folder, or export a corpus first"
            raise ValueError(Errors.E116.format(owner=OWNER, folder=path, reason=reason, accepted=accepted, fix=fix))
        self.metadata: Dict[str, Any] = json.loads(pq.read_schema(self.parts[0]).metadata[METADATA.encode()])
        names = [found["name"] for found in self.metadata["description"]["components"]]
        self.component = names[-1] if component is None else component
        if self.component not in names:
            told, accepted = "is no component of this export", ", ".join(map(repr, names))
            raise refused(OWNER, "--component", component, told, accepted, "name one of those")
        self.width = pq.read_schema(self.parts[0]).field(self.component).type.list_size
        self._ends = list(accumulate(pq.read_metadata(part).num_rows for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def search_file(self, suffix: str) -> Path:
        """Give the place of a file that is made from the vectors.

        :param suffix: of its name.
        :return: the path.
        """
        folder = self.folder.beside / "search"
        folder.mkdir(exist_ok=True)
        return folder / f"{self.component}{suffix}"

    def is_current(self, note: Path) -> bool:
        """Tell whether what was made from the vectors is of the files that there are now.

        :param note: what :meth:`note_state` wrote.
        :return: whether it is.
        """
        return note.is_file() and json.loads(note.read_text(encoding="utf8")) == self._state()

    def note_state(self, note: Path) -> None:
        """Note which files something was made from.

        :param note: the file to write.
        """
        note.write_text(json.dumps(self._state()), encoding="utf8")

    def _state(self) -> List[List[Any]]:
        return [[name, done.n_bytes, done.fingerprint] for name, done in self.folder.done().items()]

    def rows(self, numbers: List[int], context: int) -> List[Row]:
        """Read some rows.

        :param numbers: their places.
        :param context: characters of the document on each side.
        :return: the rows, in that order.
        """
        wanted: Dict[int, List[int]] = {}
        for number in numbers:
            wanted.setdefault(bisect_right(self._ends, number), []).append(number)
        found: Dict[int, Row] = {}
        for part, members in wanted.items():
            first = self._ends[part - 1] if part else 0
            for number, (doc, start, end, text) in zip(members, self._read(part, [n - first for n in members])):
                left, right = self._around(part, doc, start, end, text, context)
                found[number] = Row(number, doc, start, end, text, left, right)
        return [found[number] for number in numbers]

    def _read(self, part: int, places: List[int]) -> List[Tuple[str, int, int, str]]:
        import pyarrow.parquet as pq

        table = pq.read_table(self.parts[part], columns=["doc", "start", "end", "text"]).take(places)
        columns = [table.column(name).to_pylist() for name in ("doc", "start", "end", "text")]
        return list(zip(*columns))

    def _around(self, part: int, doc: str, start: int, end: int, text: str, n: int) -> Tuple[str, str]:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        file = self.folder.documents(self.parts[part].stem)
        if not file.is_file():  # rows of whole documents
            return "", ""
        table = pq.read_table(file, filters=pc.field("doc") == doc)
        for whole in table.column("text").to_pylist():  # ids of an input may be given twice
            if whole[start:end] == text:
                return whole[max(start - n, 0) : start], whole[end : end + n]
        return "", ""
