"""Every format gives gensim's rows, and every kind of damage an error that names it."""

import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from gensim.models import KeyedVectors

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.tables import folder
from tests.models.static.gensim_tables import DATA, WORDS, assert_same, pack, write_table


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim's, without a header
@pytest.mark.parametrize("how", ["plain", "gz", "bz2", "zip"])
@pytest.mark.parametrize("form", ["header", "no header", "binary"])
def test_rows_are_gensims(vectors, tmp_path, form, how):
    path = write_table(vectors, tmp_path / "any.thing", form)
    kind = {"header": "text", "no header": "glove", "binary": "binary"}[form]
    assert sniff(path) == kind
    expected = KeyedVectors.load_word2vec_format(str(path), binary=kind == "binary", no_header=kind == "glove")
    path = pack(path, how)
    assert_same(open_table(path), expected)
    assert_same(open_table(path, limit=3), KeyedVectorsHead(expected, 3))
    assert open_table(path, limit=1000).words == WORDS


class KeyedVectorsHead:
    def __init__(self, keyed, n):
        self.index_to_key, self.vectors = keyed.index_to_key[:n], keyed.vectors[:n]


@pytest.mark.parametrize("name", ["table.gz", "table.bz2", "table.npy", "table.bin"])
@pytest.mark.parametrize("form", ["header", "no header", "binary"])
def test_the_file_name_does_not_matter(vectors, tmp_path, name, form):
    assert open_table(write_table(vectors, tmp_path / name, form)).words == WORDS


@pytest.mark.parametrize(
    ("name", "binary"),
    [
        ("lee_fasttext.vec", False),
        ("crime-and-punishment.vec", False),
        ("toy-model.vec", False),
        ("high_precision.kv.txt", False),
        ("high_precision.kv.bin", True),
        ("euclidean_vectors.bin", True),
        ("poincare_vectors.bin", True),
    ],
)
def test_gensims_own_examples(name, binary):
    assert_same(open_table(DATA / name), KeyedVectors.load_word2vec_format(str(DATA / name), binary=binary))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pretrained.vec", "truncated: 1 lines after the header.*the 3 that the header counts"),
        ("crime-and-punishment.txt", "does not look like a table"),
        ("tfidf_model.tst.bz2", "CE014"),
    ],
)
def test_gensims_own_examples_that_are_no_tables(name, message):
    with pytest.raises(ModelFormatError, match=message):
        open_table(DATA / name)


def test_gensims_example_of_cut_words():
    with pytest.warns(
        UserWarning, match="CW004.*of its 2 words 2 can't be decoded, the first is word 1, 'ありがとう\ufffd'"
    ):
        table = open_table(DATA / "w2v_keyedvectors_load_test.modeldata")
    assert table.words == ["ありがとう\ufffd", "どういたしまして\ufffd"]
    np.testing.assert_array_equal(table.vectors, np.array([[0.6, 0.6, 0.6], [0.1, 0.2, 0.3]], "f"))


def test_our_own_folder(vectors, tmp_path):
    table = open_table(write_table(vectors, tmp_path / "t", "header"))
    (tmp_path / "saved").mkdir()
    folder.write_table(tmp_path / "saved", table)
    assert_same(open_table(tmp_path / "saved"), vectors_of(table))


def vectors_of(table):
    keyed = KeyedVectors(table.width)
    keyed.add_vectors(table.words, table.vectors)
    return keyed


def test_a_folder_as_gensim_data_lays_it_out(vectors, tmp_path):
    pack(write_table(vectors, tmp_path / "t", "header"), "gz").rename(tmp_path / "t.gz")
    (tmp_path / "t").unlink()
    (tmp_path / "__init__.py").write_text("raise SystemError")
    assert open_table(tmp_path).words == WORDS


def test_no_gensim_for_what_needs_none(vectors, tmp_path):
    (tmp_path / "matrix").mkdir()
    np.save(tmp_path / "matrix" / "m.npy", np.eye(2))
    (tmp_path / "matrix" / "m.txt").write_text("a\nb\n")
    for form in ("header", "no header", "binary"):
        (tmp_path / form).mkdir()
        write_table(vectors, tmp_path / form / "t", form)
    code = (
        "import sys; from pathlib import Path; from spacy_ctx_embed.models.static.formats import open_table\n"
        f"for folder in sorted(Path({str(tmp_path)!r}).iterdir()):\n"
        "    open_table(folder); assert 'gensim' not in sys.modules, folder\n"
        "    print(folder.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["binary", "header", "matrix", "no header"]


# Damage


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "CE013.*the file is empty"),
        (b" \n\n", "CE013.*the file is empty"),
        (b"the quick brown fox\n", "CE012.*does not look like a table"),
        (b"<!DOCTYPE html>\n<html></html>", "CE012.*does not look like a table"),
        (b"\x00\x01\x02\x03" * 100, "CE012.*does not look like a table"),
        (b"0 5\n", "header line is that of an empty table"),
        (b"5 0\n", "header line is that of an empty table"),
        (b"9 3\na 1 2 3\nb 4 5 6\n", "truncated"),
        (b"3 3\na 1.000 2.000 3.000\nb 4.000 5.000 6.000\n", "truncated: 2 lines after the header"),
        (b"2 3\na 1.000 2.000 3.000\nb 4.000 5.0", r"line 3 \('b 4.000 5.0'…\) is one of 2 numbers"),
        (b"a 1 2 3\nb 4 5\nc 7 8 9\n", r"line 2 \('b 4 5'…\) is one of 2 numbers.*a word and 3 numbers"),
        (b"a 1 2 3\nb 4\nc 7 8 9\n", "line 2 .* is one of 1 numbers"),
        (b"a 1 2 3\nb 4 5 6 7\n", "line 2 .* is one of 4 numbers"),
        (b"2 3\na 1 2 3\nb 4 5 6 7\n", "line 3 .* is one of 4 numbers"),
        (b"2 3\na 1 2 3\nb 4 5 6\nc 7 8 9\n", "line 4 .* is more than the header counts"),
        (b"2 3\na 1 2 3\nb 4 5 six\n", "line 3 .* is one with 'six' where a number should be"),
        (b"a 1 2 3\nb 4 nan 6\n", r"the vector of 'b' \(word 2; 1 such in all\) is not finite, it holds nan"),
        (b"a 1 2 3\nb 4 1e60 6\n", "the vector of 'b' .* is not finite, it holds inf"),
        (b"PAR1aaaa", "CE012.*Parquet"),
        (b"\x93NUMPYxxxx", "CE012"),
        (b"\x80\x04not really a pickle", "CE014"),
    ],
)
@pytest.mark.parametrize("how", ["plain", "gz", "zip"])
def test_damaged_text_is_named(tmp_path, content, message, how):
    (tmp_path / "table.txt").write_bytes(content)
    if how != "plain" and content[:4] == b"PAR1":
        message = "CE012"
    with pytest.raises(ModelFormatError, match=message) as caught:
        open_table(pack(tmp_path / "table.txt", how))
    assert str(tmp_path) in str(caught.value)
    assert "Fix:" in str(caught.value)


def test_blank_lines_after_the_last_word_are_fine(tmp_path):
    (tmp_path / "t").write_bytes(b"2 3\na 1 2 3\nb 4 5 6\n\n\n")
    assert open_table(tmp_path / "t").words == ["a", "b"]


def test_blank_lines_after_the_last_word_are_fine_without_a_header(tmp_path):
    (tmp_path / "t").write_bytes(b"a 1 2 3\r\nb 4 5 6\r\n\r\n")
    assert open_table(tmp_path / "t").vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_row_of_equal_numbers_is_fine(tmp_path):
    (tmp_path / "t").write_bytes(b"a 0 0 0\nb 4 5 6\n")
    assert open_table(tmp_path / "t").vectors.tolist() == [[0, 0, 0], [4, 5, 6]]


def test_numbers_as_words_are_no_header(tmp_path):
    (tmp_path / "t").write_bytes(b"5 3\n6 4\n7 5\n")
    assert open_table(tmp_path / "t").words == ["5", "6", "7"]


def test_of_a_repeated_word_the_first_counts(tmp_path):
    (tmp_path / "t").write_bytes(b"a 1 2\nb 3 4\na 5 6\n")
    with pytest.warns(UserWarning, match="CW007.*of its 3 words 1 were there before, the first is word 3, 'a'"):
        table = open_table(tmp_path / "t")
    assert table.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("form", ["header", "binary"])
@pytest.mark.parametrize("n_cut", [1, 20, 200])
def test_a_truncated_file(vectors, tmp_path, form, n_cut):
    path = write_table(vectors, tmp_path / "t", form)
    path.write_bytes(path.read_bytes()[:-n_cut])
    if form == "header" and n_cut == 1:  # only the last line's end is gone
        assert open_table(path).words == WORDS
        return
    with pytest.raises(ModelFormatError, match="CE01[23]"):
        open_table(path)


def test_a_header_that_promises_too_much(tmp_path):
    (tmp_path / "t").write_bytes(b"99999999999 300\na" + b" 1.0" * 300)
    with pytest.raises(ModelFormatError, match="its header wrong"):
        open_table(tmp_path / "t")


@pytest.mark.parametrize("how", ["gz", "bz2", "zip"])
def test_a_truncated_compressed_file(vectors, tmp_path, how):
    path = pack(write_table(vectors, tmp_path / "t", "header"), how)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ModelFormatError, match="damaged"):
        open_table(path)


@pytest.mark.parametrize("how", ["gz", "bz2", "zip"])
def test_a_full_disk_is_no_damage(vectors, tmp_path, monkeypatch, how):
    path = pack(write_table(vectors, tmp_path / "t", "header"), how)

    def full(source, target, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(ModelFormatError, match=r"CE012.*No space left on device.*Fix: .*TMPDIR") as found:
        open_table(path)
    assert "damaged" not in str(found.value)


def test_a_zip_of_several_tables(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("glove.50d.txt", "a 1 2")
        archive.writestr("glove.100d.txt", "a 1 2")
    with pytest.raises(ModelFormatError, match=r"2 members \(glove.50d.txt, glove.100d.txt\).*Fix: unpack it"):
        open_table(tmp_path / "t.zip")


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelFormatError, match="CE012.*No such file"):
        open_table(tmp_path / "nowhere")


def test_folders_without_one_table(tmp_path):
    with pytest.raises(ModelFormatError, match="0 tables in it: none"):
        open_table(tmp_path)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("w 1 2\n")
    with pytest.raises(ModelFormatError, match="2 tables in it: a.txt, b.txt"):
        open_table(tmp_path)


def test_a_folder_with_a_table_in_utf16(tmp_path):
    (tmp_path / "t.txt").write_text("the 1 2\nroof 3 4\n", encoding="utf-16")
    with pytest.raises(ModelFormatError, match="UTF-16"):
        open_table(tmp_path)
