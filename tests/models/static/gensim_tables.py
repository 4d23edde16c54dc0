"""Tables that gensim writes or brings along, packed, and compared with what was read."""

import bz2
import gzip
import zipfile
from pathlib import Path

import gensim
import numpy as np

DATA = Path(gensim.__file__).parent / "test" / "test_data"
WORDS = ["the", ",", "NOUN", "nsubj", "Über", "日本", "🙂", "e\u0301", "3.14", "x" * 300]


def write_table(keyed, path, form):
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
    assert list(table.words) == list(keyed.index_to_key)
    np.testing.assert_array_equal(table.vectors, keyed.vectors.astype("f"))
