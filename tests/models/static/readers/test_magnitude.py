"""models/static/readers/magnitude.py: rows as pymagnitude gives them, from databases as its converter writes them."""

import gzip
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.readers import magnitude as reader
from tests.models.static.damage import damage, damages, read_or_refused
from tests.models.static.gensim_tables import WORDS

ROWS = 5 * np.random.default_rng(0).normal(size=(len(WORDS), 4))
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


def write(path, words=WORDS, rows=ROWS, precision=7, settings=None):
    # the statements of pymagnitude's converter.py
    width = rows.shape[1]
    names = [f"dim_{place}" for place in range(width)]
    database = sqlite3.connect(path, isolation_level=None)
    columns = ",\n".join(f"{name} INTEGER" for name in names)
    database.execute(f"CREATE TABLE `magnitude` (key TEXT COLLATE NOCASE, {columns}, magnitude REAL);")
    database.execute("CREATE TABLE `magnitude_format` (key TEXT COLLATE NOCASE, value INTEGER);")
    for word, row in zip(words, rows):
        length = np.linalg.norm(row)
        numbers = [int(round(value * 10**precision)) for value in row / length]
        marks = ", ".join("?" * (width + 2))
        database.execute(
            f"INSERT INTO `magnitude`(key, {', '.join(names)}, magnitude) VALUES ({marks})", (word, *numbers, length)
        )
    settings = {
        "version": 5,
        "elmo": False,
        "size": len(words),
        "dim": width,
        "precision": precision,
        **(settings or {}),
    }
    for key, value in [*settings.items(), ("entropy", 2), ("entropy", 0)]:
        database.execute("INSERT INTO `magnitude_format`(key, value) VALUES (?, ?)", (key, value))
    database.execute("CREATE INDEX `magnitude_key_idx` ON `magnitude` (key);")
    database.close()
    return path


@pytest.mark.parametrize("precision", [0, 2, 7])
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_words_and_rows(tmp_path, monkeypatch, precision, how):
    monkeypatch.setattr(reader, "_BLOCK", 3)
    path = write(tmp_path / "t.magnitude", precision=precision)
    assert sniff(path) == "magnitude"
    if how == "gz":
        (tmp_path / "t.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "t.gz"
    table = open_table(path)
    assert table.words == WORDS
    np.testing.assert_allclose(table.vectors, UNIT.round(precision), atol=1e-6)
    assert open_table(path, limit=4).words == WORDS[:4]
    assert {file.name for file in tmp_path.iterdir()} <= {"t.magnitude", "t.gz"}  # nothing beside it


def test_a_database_in_the_mode_that_writes_ahead(tmp_path):
    path = write(tmp_path / "t.magnitude")
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    assert open_table(path).words == WORDS


def test_words_that_are_no_utf8_are_counted(tmp_path):
    path = write(tmp_path / "t", words=["a", "b"], rows=ROWS[:2])
    database = sqlite3.connect(path)
    database.execute("UPDATE magnitude SET key = CAST(x'7374c3' AS TEXT) WHERE key = 'b'")
    database.commit()
    database.close()
    with pytest.warns(UserWarning, match="CW004.*of its 2 words 1"):
        assert open_table(path).words == ["a", "st\ufffd"]


# Damage


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE magnitude", "CE012.*no such table"),
        ("DROP TABLE magnitude_format", "CE012.*no such table"),
        ("DELETE FROM magnitude", "CE013.*empty"),
        ("DELETE FROM magnitude_format WHERE key = 'dim'", "CE012.*dim is None"),
        ("UPDATE magnitude_format SET value = 9 WHERE key = 'dim'", "CE012.*no such column: dim_4"),
        ("UPDATE magnitude_format SET value = 0 WHERE key = 'dim'", "CE012.*dim is 0"),
        ("UPDATE magnitude_format SET value = 'x' WHERE key = 'precision'", "CE012.*precision is b'x'"),
        ("UPDATE magnitude_format SET value = -1 WHERE key = 'precision'", "CE012.*precision is -1"),
        ("UPDATE magnitude_format SET value = 1 WHERE key = 'elmo'", "CE012.*ELMo model"),
        ("UPDATE magnitude SET key = NULL WHERE rowid = 3", "CE012.*the key of row 3 is None"),
        ("UPDATE magnitude SET dim_1 = NULL WHERE rowid = 3", "CE013.*not finite|CE012"),
        ("UPDATE magnitude SET dim_1 = 'x' WHERE rowid = 3", "CE012.*ValueError"),
        ("UPDATE magnitude SET dim_1 = 9e999 WHERE rowid = 3", "CE013.*not finite"),
    ],
)
def test_databases_that_do_not_fit(tmp_path, statement, message):
    path = write(tmp_path / "t")
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()
    with pytest.raises(ModelFormatError, match=message) as caught:
        open_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@damages
@given(st.data())
def test_damage_is_named(tmp_path, data):
    if not (tmp_path / "whole").exists():
        write(tmp_path / "whole")
    (tmp_path / "t").write_bytes(damage(data, (tmp_path / "whole").read_bytes(), 16))
    read_or_refused(tmp_path / "t")
