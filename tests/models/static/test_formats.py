"""Every format gives gensim's rows, and every kind of damage an error that names it."""

import bz2
import gzip
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import load_facebook_vectors

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.table import VectorTable

DATA = Path(gensim.__file__).parent / "test" / "test_data"
WORDS = ["the", ",", "NOUN", "nsubj", "Über", "日本", "🙂", "e\u0301", "3.14", "x" * 300]


@pytest.fixture(scope="module")
def vectors():
    keyed = KeyedVectors(6)
    keyed.add_vectors(WORDS, np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype("f"))
    return keyed


def write(keyed, path, form):
    if form == "binary":
        keyed.save_word2vec_format(str(path), binary=True)
    else:
        keyed.save_word2vec_format(str(path), binary=False, write_header=form == "header")
    return path


def pack(path, how):
    target = path.with_suffix(".packed")
    if how == "gz":
        target.write_bytes(gzip.compress(path.read_bytes()))
    elif how == "bz2":
        target.write_bytes(bz2.compress(path.read_bytes()))
    elif how == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            archive.write(path, "folder/vectors.txt")
    else:
        return path
    return target


def assert_same(table, keyed):
    assert table.words == list(keyed.index_to_key)
    np.testing.assert_array_equal(table.vectors, keyed.vectors.astype("f"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim's, without a header
@pytest.mark.parametrize("how", ["plain", "gz", "bz2", "zip"])
@pytest.mark.parametrize("form", ["header", "no header", "binary"])
def test_rows_are_gensims(vectors, tmp_path, form, how):
    path = write(vectors, tmp_path / "any.thing", form)
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
    assert open_table(write(vectors, tmp_path / name, form)).words == WORDS


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


@pytest.mark.parametrize("name", ["lee_fasttext.bin", "lee_fasttext_new.bin", "crime-and-punishment.bin"])
@pytest.mark.parametrize("how", ["plain", "gz", "zip"])
def test_fasttext_binary(tmp_path, name, how):
    path = Path(shutil.copy(DATA / name, tmp_path))
    table = open_table(pack(path, how))
    expected = load_facebook_vectors(str(path))
    if "</s>" in expected:  # its own row, as in fastText; gensim adds n-grams
        row = expected.key_to_index["</s>"]
        expected.vectors[row] = expected.vectors_vocab[row]
    assert_same(table, expected)
    table.save(tmp_path)
    saved = VectorTable.load(tmp_path)
    for word in ["steamtrain", "landlady", "недоумение", "🙂", "x" * 1000]:
        if word not in expected.key_to_index:
            np.testing.assert_array_equal(table.subwords.row(word), expected[word])
            np.testing.assert_array_equal(saved.subwords.row(word), expected[word])


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
        UserWarning, match="CW001.*of its 2 words 2 can't be decoded, the first is word 1, 'ありがとう\ufffd'"
    ):
        table = open_table(DATA / "w2v_keyedvectors_load_test.modeldata")
    assert table.words == ["ありがとう\ufffd", "どういたしまして\ufffd"]
    np.testing.assert_array_equal(table.vectors, np.array([[0.6, 0.6, 0.6], [0.1, 0.2, 0.3]], "f"))


def test_fasttext_ngrams_are_kept_only_where_asked_for():
    assert open_table(DATA / "toy-model.bin", subwords=False).subwords is None
    assert len(open_table(DATA / "toy-model.bin", limit=5).words) == 5


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


def test_our_own_folder(vectors, tmp_path):
    table = open_table(write(vectors, tmp_path / "t", "header"))
    (tmp_path / "saved").mkdir()
    table.save(tmp_path / "saved")
    assert_same(open_table(tmp_path / "saved"), vectors_of(table))


def vectors_of(table):
    keyed = KeyedVectors(table.width)
    keyed.add_vectors(table.words, table.vectors)
    return keyed


def test_a_folder_as_gensim_data_lays_it_out(vectors, tmp_path):
    pack(write(vectors, tmp_path / "t", "header"), "gz").rename(tmp_path / "t.gz")
    (tmp_path / "t").unlink()
    (tmp_path / "__init__.py").write_text("raise SystemError")
    assert open_table(tmp_path).words == WORDS


@pytest.mark.parametrize("form", ["matrix", "header", "no header", "binary"])
def test_no_gensim_for_what_needs_none(vectors, tmp_path, form):
    if form == "matrix":
        np.save(tmp_path / "m.npy", np.eye(2))
        (tmp_path / "m.txt").write_text("a\nb\n")
    else:
        write(vectors, tmp_path / "t", form)
    code = (
        "import sys; from pathlib import Path; from spacy_ctx_embed.models.static.formats import open_table;"
        f"open_table(Path({str(tmp_path)!r})); assert 'gensim' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Pickles


@pytest.fixture(scope="module")
def pickles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickles")
    texts = [["steam", "train", "NOUN"], ["train", "steam"]]
    word2vec = Word2Vec(texts, vector_size=4, min_count=1, workers=1, epochs=1)
    fasttext = FastText(texts, vector_size=4, min_count=1, workers=1, epochs=1, bucket=50)
    word2vec.save(str(folder / "w2v.model"))
    word2vec.wv.save(str(folder / "w2v.kv"))
    fasttext.save(str(folder / "ft.model"))
    fasttext.wv.save(str(folder / "ft.kv"))
    word2vec.wv.save(str(folder / "apart.kv"), sep_limit=1)
    word2vec.wv.save(str(folder / "packed.kv.gz"))
    return folder, word2vec.wv, fasttext.wv


@pytest.mark.parametrize("name", ["w2v.model", "w2v.kv", "ft.model", "ft.kv", "apart.kv", "packed.kv.gz"])
def test_gensims_pickles_only_where_allowed(pickles, name):
    folder, word2vec, fasttext = pickles
    with pytest.raises(ModelFormatError, match="CE014.*allow_pickle = true"):
        open_table(folder / name)
    table = open_table(folder / name, allow_pickle=True)
    assert_same(table, fasttext if name.startswith("ft") else word2vec)
    if name.startswith("ft"):
        np.testing.assert_array_equal(table.subwords.row("trains"), fasttext["trains"])


def test_a_folder_with_a_pickle_and_its_arrays(pickles, tmp_path):
    folder, word2vec, _ = pickles
    for file in folder.glob("apart.kv*"):
        shutil.copy(file, tmp_path)
    assert len(list(tmp_path.iterdir())) > 1
    with pytest.raises(ModelFormatError, match="CE014"):
        open_table(tmp_path)
    assert_same(open_table(tmp_path, allow_pickle=True), word2vec)


@pytest.mark.parametrize("name", ["model-from-gensim-3.8.0.w2v", "word2vec_3.3", "ft_kv_3.6.0.model.gz"])
def test_pickles_of_older_gensims(name):
    try:
        expected = gensim.utils.SaveLoad.load(str(DATA / name))
    except Exception:
        with pytest.raises(ModelFormatError, match="CE012"):
            open_table(DATA / name, allow_pickle=True)
    else:
        assert open_table(DATA / name, allow_pickle=True).words == list(getattr(expected, "wv", expected).index_to_key)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_a_pickle_is_not_loaded_unasked(tmp_path, protocol, how):
    path = tmp_path / "bomb.kv"
    path.write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(ModelFormatError):
        open_table(pack(path, how))


def test_a_pickle_of_something_else(tmp_path):
    (tmp_path / "x.kv").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFormatError, match="holds a dict, not word vectors"):
        open_table(tmp_path / "x.kv", allow_pickle=True)


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
    assert open_table(tmp_path / "t").vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("form", ["header", "binary"])
@pytest.mark.parametrize("n_cut", [1, 20, 200])
def test_a_truncated_file(vectors, tmp_path, form, n_cut):
    path = write(vectors, tmp_path / "t", form)
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


@pytest.mark.parametrize("n_kept", [30, 60, 500, 5000, 12000])
def test_a_truncated_fasttext_file(tmp_path, n_kept):
    (tmp_path / "t.bin").write_bytes((DATA / "crime-and-punishment.bin").read_bytes()[:n_kept])
    with pytest.raises(ModelFormatError, match="CE01[23]"):
        open_table(tmp_path / "t.bin")


def test_a_quantised_fasttext_file(tmp_path):
    content = bytearray((DATA / "crime-and-punishment.bin").read_bytes())
    n_words = len(load_facebook_vectors(str(DATA / "crime-and-punishment.bin")).index_to_key)
    offset = 8 + 56 + 20 + 8
    for _ in range(n_words):
        offset = content.index(b"\0", offset) + 10
    content[offset] = 1
    (tmp_path / "t.ftz").write_bytes(content)
    with pytest.raises(ModelFormatError, match="quantised"):
        open_table(tmp_path / "t.ftz")


@pytest.mark.parametrize("how", ["gz", "bz2", "zip"])
def test_a_truncated_compressed_file(vectors, tmp_path, how):
    path = pack(write(vectors, tmp_path / "t", "header"), how)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ModelFormatError, match="damaged"):
        open_table(path)


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
    with pytest.warns(UserWarning, match=r"CW001.*m\.txt: of its 3 words 1 .* word 2, 'stra\ufffd'") as caught:
        table = open_table(tmp_path)
    assert len(caught) == 1
    assert table.words == ["the", "stra\ufffd", "roof"]


def test_of_two_word_lists_the_one_in_utf8_is_meant(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "words.txt").write_bytes(b"a\nb\n")
    (tmp_path / "other").write_bytes(b"\xff\n\xfe\n")
    assert open_table(tmp_path).words == ["a", "b"]


def test_a_folder_with_a_table_in_utf16(tmp_path):
    (tmp_path / "t.txt").write_text("the 1 2\nroof 3 4\n", encoding="utf-16")
    with pytest.raises(ModelFormatError, match="UTF-16"):
        open_table(tmp_path)
