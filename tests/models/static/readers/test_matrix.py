"""models/static/readers/matrix.py: a NumPy matrix and the word list beside it, as packages and people write them."""

import numpy as np
import pytest

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table
from tests.models.static.gensim_tables import WORDS


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("form", ["text", "crlf", "parquet"])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_matrix_with_word_list(vectors, tmp_path, order, form, named):
    np.save(tmp_path / "m_emb.npy", np.array(vectors.vectors, order=order))
    words = [*WORDS[:-1], "a b \x85\u2028"]
    if form == "parquet":
        import pyarrow
        import pyarrow.parquet

        columns = {"string": words, "count": list(range(len(words)))}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m_index.parquet")
    else:
        end = "\r\n" if form == "crlf" else "\n"
        (tmp_path / "m_index.txt").write_bytes("".join(word + end for word in words).encode("utf8"))
    (tmp_path / "LICENSE").write_text("any text\n")
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "empty.txt").write_text("\n")
    table = open_table(tmp_path if named == "folder" else tmp_path / "m_emb.npy")
    assert table.words == words
    np.testing.assert_array_equal(table.vectors, vectors.vectors)
    assert open_table(tmp_path, limit=2).words == words[:2]


def test_a_word_list_of_the_matrix_name_wins(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "m.txt").write_text("a\nb\n")
    (tmp_path / "other.txt").write_text("c\nd\n")
    assert open_table(tmp_path / "m.npy").words == ["a", "b"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((3, 2)), r"the word list .* of another length: words.txt \(2 words\)"),
        (np.ones(3), "shape"),
        (np.ones((0, 3)), "empty"),
        (np.array([[np.nan, 1], [1, 1]]), "the vector of 'a'"),
        (np.array([["x", "y"], ["z", "w"]]), "of type <U1"),
        (np.array([[None], [None]]), "CE012"),
    ],
)
def test_matrices_that_do_not_fit(tmp_path, matrix, message):
    np.save(tmp_path / "m.npy", matrix)
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(ModelFormatError, match=message):
        open_table(tmp_path)


def test_a_truncated_matrix(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "m.txt").write_text("a\nb\n")
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:-4])
    with pytest.raises(ModelFormatError, match="CE012"):
        open_table(tmp_path)


def test_a_matrix_without_a_word_list(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(2))
    with pytest.raises(ModelFormatError, match="missing or of another length: none.*m.txt or m.parquet"):
        open_table(tmp_path)


def test_word_lists_that_are_none(tmp_path):
    import pyarrow
    import pyarrow.parquet

    np.save(tmp_path / "m.npy", np.eye(2))
    list_file = tmp_path / "m.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", "y"], "b": ["x", "y"]}), list_file)
    with pytest.raises(ModelFormatError, match="2 columns of strings: a, b"):
        open_table(tmp_path)
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", None]}), list_file)
    with pytest.raises(ModelFormatError, match="row 2 of its word column is null"):
        open_table(tmp_path)
    list_file.write_bytes(list_file.read_bytes()[:-10])
    with pytest.raises(ModelFormatError, match="Parquet file is damaged"):
        open_table(tmp_path)
    list_file.unlink()
    (tmp_path / "m.txt").write_bytes(b"a\nb\0\n")
    with pytest.raises(ModelFormatError, match="it is no text"):
        open_table(tmp_path)
    (tmp_path / "m.txt").write_bytes("a\nb\n".encode("utf-16"))
    with pytest.raises(ModelFormatError, match="it is text in UTF-16"):
        open_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbfthe\nroof\n", ["the", "roof"]),
        (b"\xef\xbb\xbfthe\r\nroof\r\n", ["the", "roof"]),
        (b"the\r\nroof\n", ["the", "roof"]),
        (b"the \nroof\t\r\n", ["the", "roof"]),
        (b"the\nroof\n\n\r\n", ["the", "roof"]),
        (b"\n\nthe\nroof", ["the", "roof"]),
        (b"\nroof\n", ["", "roof"]),
        (b" \nroof\n", [" ", "roof"]),
        (b"cat\ndog\n", ["cat", "dog"]),  # what a pickle of the oldest kind might begin with
        ("new york\n\u00a0x\n".encode(), ["new york", "\u00a0x"]),
    ],
)
def test_word_lists_as_people_write_them(tmp_path, content, words):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "m.txt").write_bytes(content)
    assert open_table(tmp_path).words == words
    assert open_table(tmp_path / "m.npy", limit=1).words == words[:1]


def test_words_in_a_list_that_are_no_utf8_are_counted(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(3))
    (tmp_path / "m.txt").write_bytes(b"the\nstra\xc3\nroof\n")
    (tmp_path / "LICENSE").write_bytes(b"\xff\n" * 5)
    with pytest.warns(UserWarning, match=r"CW004.*m\.txt: of its 3 words 1 .* word 2, 'stra\ufffd'") as caught:
        table = open_table(tmp_path)
    assert len(caught) == 1
    assert table.words == ["the", "stra\ufffd", "roof"]


def test_of_two_word_lists_the_one_in_utf8_is_meant(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "words.txt").write_bytes(b"a\nb\n")
    (tmp_path / "other").write_bytes(b"\xff\n\xfe\n")
    assert open_table(tmp_path).words == ["a", "b"]
