"""A table as spaCy's own vectors: ``nlp.vocab.vectors`` that opens at once, and that all processes share.

With it ``token.vector``, ``lexeme.vector``, ``include_static_vectors = true`` and ``Vectors.most_similar`` work as with
spaCy's class, without a component and without a copy in memory. Registered as ``@vectors``; the table is opened when it
is first asked for, and lies in the pipeline's folder when that is saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
    cast,
)

import numpy as np
from spacy.attrs import ORTH
from spacy.strings import get_string_id
from spacy.vectors import BaseVectors
from spacy.vocab import Vocab
from thinc.api import Ops, get_current_ops

from spacy_ctx_embed.encoders.static.vocab_words import Key, KeyToRow, VocabLookup, listed
from spacy_ctx_embed.errors import Errors, ModelNotFoundError
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from spacy_ctx_embed.models.static.tables.index import Ids1d
from spacy_ctx_embed.models.static.tables.packed import packed, unpacked

if TYPE_CHECKING:
    from spacy_ctx_embed.models.static.tables.table import VectorTable

OWNER = "spacy_ctx_embed.TableVectors.v1"
_FOLDER = "table"  # in the folder of the vocab


class VocabTable(BaseVectors):
    """Vectors of a vocab over a :class:`VectorTable`; words can't be added.

    :param settings: the arguments of the registered function, :mod:`.vocab_vectors`.
    """

    mode, attr = "default", ORTH

    def __init__(self, settings: Dict[str, Any]) -> None:
        super().__init__()
        self.strings: Any = []  # the vocab's, which it sets itself
        self.name: Optional[str] = None
        self._settings = settings
        self._lookup: Optional[VocabLookup] = None
        self._ops: Ops = get_current_ops()

    def __reduce__(self) -> Tuple[Any, ...]:
        return _restore, (self._settings, self.name, self.to_bytes() if self._lookup is not None else b"")

    @property
    def table(self) -> VectorTable:
        """The table, opened where that has not happened.

        :raises ModelNotFoundError: if it is nowhere.
        :raises ValueError: if ``oov = "subword"`` and it has no n-grams.
        """
        return self._opened().table

    @property
    def data(self) -> Any:
        """The matrix as it is stored; of a pipeline on the GPU an empty one there, as rows alone are copied to it."""
        if self._ops.device_type == "cpu":
            return self.table.vectors if self.table.shared is None else self.table.take(np.arange(len(self)))
        return self._ops.xp.zeros((0, self.table.width), dtype="float32")

    @property
    def key2row(self) -> Mapping[int, int]:
        """The row number of each word id, looked up in the table's index; empty where the table is nowhere."""
        return KeyToRow(self.table) if self._is_there() else {}

    @property
    def shape(self) -> Tuple[int, int]:
        """Rows and columns; (0, 0) where the table is nowhere."""
        return (self.table.n_rows, self.table.width) if self._is_there() else (0, 0)

    @property
    def size(self) -> int:
        """How many numbers the matrix has."""
        return self.shape[0] * self.shape[1]

    @property
    def n_keys(self) -> int:
        """How many words there are; 0 where every word's row is made of parts."""
        return len(self.key2row)

    @property
    def vectors_length(self) -> int:
        """Size of a row."""
        return self.shape[1]

    @property
    def is_full(self) -> bool:
        """True: nothing can be added."""
        return True

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[int]:
        return iter(self.key2row)

    def __contains__(self, key: Key) -> bool:
        return self._opened().row(key, self.strings) is not None

    def __getitem__(self, key: Key) -> Any:
        row: Any = self._opened().row(key, self.strings)
        if row is None:
            raise KeyError(f"{OWNER}: the table has no vector for {key!r}")
        return row if self._ops.device_type == "cpu" else self._ops.asarray1f(row)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VocabTable):
            return False
        return self is other or (self._settings == other._settings and self.table.digest() == other.table.digest())

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> Ids1d:
        """List the ids of all words.

        :return: ``(n_words,)`` uint64, in increasing order.
        """
        return self.table.word_index.ids[:-1]

    def find(
        self,
        *,
        key: Optional[Key] = None,
        keys: Optional[Iterable[Key]] = None,
        row: Optional[int] = None,
        rows: Optional[Iterable[int]] = None,
    ) -> Any:
        """Look up row numbers of words, or words of row numbers.

        :param key: a word or its id.
        :param keys: several of them.
        :param row: a row number.
        :param rows: several of them.
        :return: a row number or ``(n,)`` of them, -1 where there is none; or an id or ``(n,)`` of them.
        """
        if row is not None or rows is not None:
            places_wanted = [row] if row is not None else rows or []
            found = [int(get_string_id(self.table.words[int(place)])) for place in places_wanted]
            return found[0] if row is not None else np.array(found, dtype=np.uint64)
        wanted: Any = [key] if key is not None else [] if keys is None else keys
        places: Any = np.maximum(self._opened().places(listed(wanted), self.strings), -1)
        return int(places[0]) if key is not None else self._ops.asarray1i(places)

    def get_batch(self, keys: Iterable[Key]) -> Any:
        """Look up rows.

        :param keys: ``n`` words or their ids.
        :return: ``(n, width)`` float32 on the device that the pipeline is on; zeros for words without a vector.
        """
        rows: Any = self._opened().rows(listed(keys), self.strings)
        return self._ops.asarray2f(rows)

    def most_similar(
        self, queries: Any, *, batch_size: int = 1024, n: int = 1, sort: bool = True
    ) -> Tuple[Any, Any, Any]:
        """Find the words whose vectors are nearest to some vectors, by cosine.

        :param queries: ``(n_queries, width)`` vectors.
        :param batch_size: queries compared at a time.
        :param n: words for each.
        :param sort: taken for spaCy's sake: the nearest word always comes first.
        :return: ids, row numbers and cosines, each ``(n_queries, n)``.
        :raises ValueError: if the table has fewer words.
        """
        from spacy_ctx_embed.models.static.ask import nearest

        if n > self.n_keys:
            accepted = f"at most {self.n_keys}, the words of the table"
            raise ValueError(Errors.E001.format(owner=OWNER, key="n", value=n, accepted=accepted))
        vectors = np.asarray(self._ops.to_numpy(queries), dtype=np.float32)
        rows, scores = np.zeros((len(vectors), n), np.int64), np.zeros((len(vectors), n), np.float32)
        for start in range(0, len(vectors), batch_size):
            part = slice(start, start + batch_size)
            rows[part], scores[part] = nearest(self.table, vectors[part], n)
        words = self.table.words
        keys = np.array([get_string_id(words[row]) for row in rows.ravel().tolist()], np.uint64).reshape(rows.shape)
        return keys, rows.astype(np.int32), scores.round(4)

    def add(self, key: Key, *, vector: Any = None, row: Optional[int] = None) -> int:
        """Refuse a word.

        :param key: a word.
        :param vector: its vector.
        :param row: its row number.
        :return: nothing.
        :raises ValueError: always.
        """
        accepted = "the words that the table has: convert one that has the others too, by: embed convert-vectors"
        raise ValueError(Errors.E001.format(owner=OWNER, key="add", value=key, accepted=accepted))

    resize = add

    def to_ops(self, ops: Ops) -> None:
        """Give rows on another device from now on; the table stays where it is.

        :param ops: Thinc's operations there.
        """
        self._ops = ops

    def to_disk(self, path: Union[str, Path], *, exclude: Sequence[str] = ()) -> None:
        """Write the table into a folder of its own inside another.

        :param path: the folder of the vocab.
        :param exclude: not used.
        """
        folder = Path(path) / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder, self.table)

    def from_disk(self, path: Union[str, Path], *, exclude: Sequence[str] = ()) -> VocabTable:
        """Open what :meth:`to_disk` wrote.

        :param path: the folder of the vocab.
        :param exclude: not used.
        :return: this object.
        """
        folder = Path(path) / _FOLDER
        if folder.is_dir():
            self._set(read_table(folder))
        return self

    def to_bytes(self, *, exclude: Sequence[str] = ()) -> bytes:
        """Serialise the table as the files that :meth:`to_disk` writes.

        :param exclude: not used.
        :return: a msgpack mapping of file name to content.
        """
        return packed(self.table)

    def from_bytes(self, data: bytes, *, exclude: Sequence[str] = ()) -> VocabTable:
        """Load what :meth:`to_bytes` made.

        :param data: the serialised table.
        :param exclude: not used.
        :return: this object.
        """
        if data:
            self._set(unpacked(data))
        return self

    def _is_there(self) -> bool:
        # spaCy asks for sizes before it reads the folder of a saved pipeline, which has the table; whoever asks for a
        # row of a table that is nowhere is told so.
        if self._lookup is None:
            try:
                self._opened()
            except ModelNotFoundError:
                return False
        return True

    def _opened(self) -> VocabLookup:
        if self._lookup is None:
            from spacy_ctx_embed.models.places import find_model
            from spacy_ctx_embed.models.static.formats import open_table

            settings = {key: self._settings[key] for key in ("limit", "allow_pickle", "cache")}
            path = find_model("static", self._settings["name"], owner=OWNER).path
            self._set(open_table(path, subwords=self._settings["oov"] == "subword", **settings))
        return cast(VocabLookup, self._lookup)

    def _set(self, table: VectorTable) -> None:
        if self._settings["oov"] == "subword" and table.subwords is None:
            accepted = "'zero' for a table without n-grams; 'subword' needs a fastText .bin file"
            raise ValueError(Errors.E001.format(owner=OWNER, key="oov", value="subword", accepted=accepted))
        self._lookup = VocabLookup(table, self._settings["lowercase"], self._settings["oov"])


def _restore(settings: Dict[str, Any], name: Optional[str], data: bytes) -> VocabTable:
    vectors = VocabTable(settings)
    vectors.name = name
    return vectors.from_bytes(data)


def table_of_vocab(vocab: Vocab) -> Optional[VectorTable]:
    """Give the table behind a vocab's vectors.

    :param vocab: a pipeline's vocab.
    :return: the table; ``None`` where the vectors are of spaCy's own class, or of another.
    """
    vectors = vocab.vectors
    return vectors.table if isinstance(vectors, VocabTable) else None
