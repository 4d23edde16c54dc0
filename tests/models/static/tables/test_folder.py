"""The folder that opens at once: exact, small where that is asked for, and refused where it is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import srsly
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.tables import folder
from spacy_ctx_embed.models.static.tables.folder import META, VECTORS, read_table, write_table
from spacy_ctx_embed.models.static.tables.index import word_ids
from spacy_ctx_embed.models.static.tables.numbers import round_rows
from spacy_ctx_embed.models.static.tables.pieces import Pieces
from spacy_ctx_embed.models.static.tables.subwords import SubWords
from spacy_ctx_embed.models.static.tables.table import VectorTable, table_of_parts, table_of_shared
from tests.models.static.odd_words import ODD, table_of


def test_a_saved_table_comes_back_exactly(tmp_path):
    table = table_of(ODD)
    write_table(tmp_path, table)
    again = read_table(tmp_path)
    assert list(again.words) == table.words == again.words[:]
    assert again.vectors.tobytes() == table.vectors.tobytes()
    assert again.digest() == table.digest()
    assert read_table(tmp_path, limit=2).words == ODD[:2]


PIECES = {folder.PIECE_ROWS, folder.PIECE_WEIGHTS, folder.TOKENIZER}
NGRAMS = set(folder.FILES) - {folder.OLD_WORDS, folder.SHARED} - PIECES
PLAIN = NGRAMS - {folder.SCALES, folder.NGRAMS, folder.NGRAM_SCALES, folder.NGRAM_BUCKETS}


@pytest.mark.parametrize("file", sorted(NGRAMS | PIECES | {folder.SHARED}))
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_folder_is_refused(tmp_path, file, damage):
    make = table_of_pieces if file in PIECES else shared_table if file == folder.SHARED else whole_table
    write_table(tmp_path, make())
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink()
    if damage != "missing":
        (tmp_path / file).write_bytes(b"" if damage == "empty" else content[:-3])
    with pytest.raises(ModelFormatError, match="CE012"):
        read_table(tmp_path)


def test_a_folder_of_another_version_is_refused(tmp_path):
    write_table(tmp_path, table_of(["a"]))
    meta = json.loads((tmp_path / META).read_text())
    (tmp_path / META).write_text(json.dumps({**meta, "version": 99}))
    with pytest.raises(ModelFormatError, match="CE012"):
        read_table(tmp_path)


def test_an_array_of_python_objects_is_not_unpickled(tmp_path):
    write_table(tmp_path, table_of(["a"]))
    np.save(tmp_path / VECTORS, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ModelFormatError, match="CE012"):
        read_table(tmp_path)


def whole_table():
    # Every file that a folder can have.
    values, scales = round_rows(np.arange(6, dtype="f").reshape(2, 3), None, "int8")
    ngrams, factors = round_rows(np.arange(9, dtype="f").reshape(3, 3), None, "int8")
    parts = SubWords(ngrams, 1, 2, scales=factors, buckets=np.array([0, 2, 7]), n_buckets=8)
    return VectorTable(["a", "b"], values, parts, scales)


def shared_table():
    return table_of_shared(Path("t"), ["a", "b", "c"], np.array([3, 1, 3]), np.arange(12, dtype="f").reshape(4, 3))


def table_of_pieces():
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "ab": 1, "b": 2}, unk_token="[UNK]"))
    rows, scales = round_rows(np.arange(9, dtype="f").reshape(3, 3), None, "int8")
    content = np.frombuffer(tokenizer.to_str().encode("utf8"), np.uint8)
    weights = np.array([1, 2, 3], "f")
    parts = Pieces(rows, content, scales=scales, places=np.array([2, 1, 0]), weights=weights, unknown=0)
    return table_of_parts(Path("t"), parts)


@pytest.mark.parametrize(
    ("make", "files"),
    [
        (whole_table, NGRAMS),
        (shared_table, PLAIN | {folder.SHARED}),
        (table_of_pieces, NGRAMS - {folder.NGRAM_BUCKETS} | PIECES),
    ],
)
def test_every_file_of_a_folder_comes_back(tmp_path, make, files):
    table = make()
    write_table(tmp_path, table)
    again = read_table(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == files
    assert again.digest() == table.digest() == VectorTable(*parts_of(again)).digest()
    assert again.width == table.width == 3
    np.testing.assert_array_equal(again.mean(), table.mean())
    if len(table.words):
        np.testing.assert_array_equal(again.take(np.array([1, 0])), table.take(np.array([1, 0])))
    for word in ("ab", "b", "qqq") if table.subwords is not None else ():
        np.testing.assert_array_equal(again.subwords.row(word), table.subwords.row(word))


def parts_of(table):
    return list(table.words), table.vectors, table.subwords, table.scales, None, None, table.shared


def test_a_folder_of_version_1_is_read(tmp_path):
    table = table_of(ODD)
    np.save(tmp_path / VECTORS, table.vectors)
    srsly.write_msgpack(tmp_path / folder.OLD_WORDS, table.words)
    meta = {"format": "spacy_ctx_embed.VectorTable", "version": 1, "n_words": len(ODD), "width": 3, "ngrams": None}
    srsly.write_json(tmp_path / META, meta)
    again = read_table(tmp_path)
    assert again.words == ODD and again.digest() == table.digest()
    write_table(tmp_path, again)
    assert list(read_table(tmp_path).words) == ODD
    assert not (tmp_path / folder.OLD_WORDS).exists()


def test_a_folder_is_replaced_under_whoever_has_it_open(tmp_path):
    first, second = table_of(["a", "b"]), table_of(["c", "d", "e"], width=2)
    write_table(tmp_path, first)
    mapped = read_table(tmp_path)
    write_table(tmp_path, second)
    assert list(mapped.words) == ["a", "b"] and mapped.vectors.tolist() == first.vectors.tolist()
    again = read_table(tmp_path)
    write_table(tmp_path, again)  # onto itself
    assert list(read_table(tmp_path).words) == ["c", "d", "e"] and again.vectors.tolist() == second.vectors.tolist()


@pytest.mark.parametrize("error", [PermissionError(13, "mapped, on Windows"), OSError(28, "No space left on device")])
def test_what_cannot_be_replaced_stays_whole(tmp_path, monkeypatch, error):
    write_table(tmp_path, shared_table())
    replace, save = Path.replace, np.save

    def refuse(path, target):
        if error.errno == 13 and Path(target) == tmp_path / VECTORS:
            raise error
        return replace(path, target)

    def full(file, array, **settings):
        if error.errno == 28 and array.dtype == np.uint64:
            raise error
        save(file, array, **settings)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match=error.strerror):
        write_table(tmp_path, table_of(ODD))
    monkeypatch.undo()
    again = read_table(tmp_path)
    assert again.digest() == shared_table().digest() == VectorTable(*parts_of(again)).digest()
    assert {file.name for file in tmp_path.iterdir()} == PLAIN | {folder.SHARED}


def test_rows_are_mapped_and_the_index_knows_the_limit(tmp_path):
    write_table(tmp_path, table_of(ODD))
    table = read_table(tmp_path, limit=3)
    assert not table.vectors.flags.owndata and not table.vectors.flags.writeable
    assert list(table.words) == ODD[:3] and table.vectors.shape == (3, 3)
    assert table.word_index.find(word_ids(ODD)).tolist() == [0, 1, 2] + [-1] * (len(ODD) - 3)
    with pytest.raises(IndexError):
        table.words[3]
    assert table.words[-1] == ODD[2] and table.words[::2] == ODD[:3:2]


def sharing_table():
    # As many rows as a limit of 3 leaves words.
    rows = np.arange(9, dtype="f").reshape(3, 3)
    return table_of_shared(Path("t"), ["a", "b", "c", "d", "e"], np.array([1, 1, 0, 2, 0]), rows)


@pytest.mark.parametrize("make", [lambda: table_of(ODD), sharing_table, whole_table])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_table_cut_by_a_limit_is_saved_as_such(tmp_path, make, limit):
    whole = make()
    write_table(tmp_path, whole)
    cut = read_table(tmp_path, limit)
    (tmp_path / "again").mkdir()
    write_table(tmp_path / "again", cut)
    assert_is_head(cut, whole, limit)
    assert_is_head(read_table(tmp_path / "again"), whole, limit)
    assert_is_head(read_table(tmp_path / "again", 1), whole, 1)


@pytest.mark.parametrize("limit", [2, 3])
def test_a_cut_table_that_an_earlier_version_saved(tmp_path, limit):
    whole = sharing_table()
    index = whole.word_index  # of all words
    cut = VectorTable(whole.words[:limit], whole.vectors, index=index, shared=whole.shared[:limit])
    write_table(tmp_path, cut)
    assert_is_head(read_table(tmp_path), whole, limit)


def assert_is_head(table, whole, n):
    n = min(n, len(whole.words))
    assert list(table.words) == list(whole.words[:n])
    places = table.word_index.find(word_ids(list(whole.words)))
    assert places.tolist() == [*range(n), *[-1] * (len(whole.words) - n)]
    assert len(table.word_index.ids) == n + 1
    np.testing.assert_array_equal(table.take(places[:n]), whole.take(np.arange(n)))
