"""fastText's .bin: the words and values that fastText itself gives, labels or not.

Here too: models/static/readers/fasttext_layout.py.
"""

import shutil
import struct
from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models.fasttext import load_facebook_vectors

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from tests.models.static.gensim_tables import assert_same, pack

DATA = Path(gensim.__file__).parent / "test" / "test_data"
WIDTH, BUCKETS, MIN_N, MAX_N = 5, 40, 3, 6
CBOW, SKIPGRAM, SUPERVISED = 1, 2, 3
WORDS = ["</s>", "the", "landlord", "straße", "日本語", "I", "🙂"]


def model_bytes(
    entries, matrix, *, model=SKIPGRAM, is_new=True, counts=None, buckets=BUCKETS, ns=(MIN_N, MAX_N), quantised=False
):
    # entries are (word as bytes, kind); after fastText's saveModel
    n_words = sum(kind == 0 for _, kind in entries)
    counts = counts or (len(entries), n_words, len(entries) - n_words)
    parts = [struct.pack("<2i", 793712314, 12)] if is_new else []
    parts.append(struct.pack("<12id", matrix.shape[1], 5, 5, 1, 5, 1, 2, model, buckets, *ns, 100, 1e-4))
    parts.append(struct.pack("<3iq", *counts, 1000))
    parts += [struct.pack("<q", -1)] if is_new else []
    parts += [word + b"\0" + struct.pack("<qb", 9, kind) for word, kind in entries]
    parts += [struct.pack("<?", quantised)] if is_new else []
    parts.append(struct.pack("<2q", *matrix.shape) + matrix.astype("<f4").tobytes())
    return b"".join(parts)


def words_of(words):
    return [(word if isinstance(word, bytes) else word.encode("utf8"), 0) for word in words]


def matrix_of(n_words, buckets=BUCKETS):
    return np.random.default_rng(n_words).normal(size=(n_words + buckets, WIDTH)).astype("f")


def by_fasttext(word, row, matrix, n_words):
    # Dictionary::computeSubwords, Dictionary::hash and FastText::getWordVector, written down again
    rows = [matrix[row]]
    marked = b"<" + word + b">"
    for first in range(len(marked)) if word != b"</s>" else []:
        if marked[first] & 0xC0 == 0x80:
            continue
        last, n = first, 1
        while last < len(marked) and n <= MAX_N:
            last += 1
            while last < len(marked) and marked[last] & 0xC0 == 0x80:
                last += 1
            if n >= MIN_N and not (n == 1 and (first == 0 or last == len(marked))):
                found = 2166136261
                for byte in marked[first:last]:
                    signed = byte - 256 if byte > 127 else byte
                    found = ((found ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
                rows.append(matrix[n_words + found % BUCKETS])
            n += 1
    return np.mean(rows, axis=0)


def check(table, words, matrix, raw=None):
    assert table.words == words
    for row, word in enumerate(raw or [word.encode("utf8") for word in words]):
        expected = by_fasttext(word, row, matrix, len(matrix) - BUCKETS)
        np.testing.assert_allclose(table.vectors[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("model", [CBOW, SKIPGRAM])
def test_values_are_fasttexts(tmp_path, is_new, model):
    matrix = matrix_of(len(WORDS))
    (tmp_path / "m.bin").write_bytes(model_bytes(words_of(WORDS), matrix, model=model, is_new=is_new))
    assert sniff(tmp_path / "m.bin") == "fasttext"
    table = open_table(tmp_path / "m.bin")
    check(table, WORDS, matrix)
    np.testing.assert_array_equal(table.vectors[0], matrix[0])  # </s>
    gensims = load_facebook_vectors(str(tmp_path / "m.bin"))
    for word in WORDS[1:]:
        np.testing.assert_array_equal(table.vectors[table.words.index(word)], gensims[word])
    for word in ["landlady", "strassen", "x" * 300, "🙂🙂"]:
        np.testing.assert_array_equal(table.subwords.row(word), gensims[word])


def test_a_word_may_hold_a_line_end(tmp_path):
    words = ["</s>", "new\nline", "\n", "plain"]
    matrix = matrix_of(len(words))
    (tmp_path / "m.bin").write_bytes(model_bytes(words_of(words), matrix))
    check(open_table(tmp_path / "m.bin"), words, matrix)


@pytest.mark.parametrize("name", ["lee_fasttext.bin", "lee_fasttext_new.bin", "crime-and-punishment.bin"])
def test_the_end_of_a_sentence_is_its_own_row_in_gensims_examples(name):
    table, gensims = open_table(DATA / name), load_facebook_vectors(str(DATA / name))
    for word in {"</s>"} & set(table.words):
        np.testing.assert_array_equal(
            table.vectors[table.words.index(word)], gensims.vectors_vocab[gensims.key_to_index[word]]
        )


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("n_labels", [1, 3])
@pytest.mark.parametrize("limit", [None, 3])
def test_labels_in_a_model_of_plain_text(tmp_path, is_new, n_labels, limit):
    matrix = matrix_of(len(WORDS))
    labels = [(f"__label__{row}".encode(), 1) for row in range(n_labels)]
    (tmp_path / "wiki.fr.bin").write_bytes(model_bytes([*words_of(WORDS), *labels], matrix, is_new=is_new))
    table = open_table(tmp_path / "wiki.fr.bin", limit=limit)
    check(table, WORDS[:limit], matrix)
    (tmp_path / "none.bin").write_bytes(model_bytes(words_of(WORDS), matrix, is_new=is_new))
    without = open_table(tmp_path / "none.bin")
    np.testing.assert_array_equal(table.vectors, without.vectors[:limit])
    np.testing.assert_array_equal(table.subwords.row("landlady"), without.subwords.row("landlady"))


def test_labels_between_words(tmp_path):
    entries = words_of(WORDS)
    entries[2] = (b"__label__x", 1)
    matrix = matrix_of(len(WORDS))  # a row for each entry
    (tmp_path / "m.bin").write_bytes(model_bytes(entries, matrix))
    table = open_table(tmp_path / "m.bin")
    assert table.words == [*WORDS[:2], *WORDS[3:]]
    for word, vector in zip(table.words, table.vectors):
        expected = by_fasttext(word.encode("utf8"), WORDS.index(word), matrix, len(WORDS))
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("limit", [None, 3])
def test_a_classifier(tmp_path, is_new, limit):
    entries, matrix = [*words_of(WORDS), (b"__label__en", 1)], matrix_of(len(WORDS))
    (tmp_path / "lid.bin").write_bytes(model_bytes(entries, matrix, model=SUPERVISED, is_new=is_new))
    table = open_table(tmp_path / "lid.bin", limit=limit)
    if is_new:
        check(table, WORDS[:limit], matrix)
    else:  # the first format had no n-grams in classifiers
        np.testing.assert_array_equal(table.vectors, matrix[: len(WORDS)][:limit])
        assert table.subwords is None


def test_words_that_are_no_utf8_are_counted(tmp_path):
    raw = [b"</s>", b"the", b"stra\xc3", "日本".encode()[:-1], b"\xe9t\xe9"]
    matrix = matrix_of(len(raw))
    (tmp_path / "m.bin").write_bytes(model_bytes(words_of(raw), matrix))
    with pytest.warns(UserWarning, match=r"CW004.*m\.bin: of its 5 words 3 can't be decoded.*word 3") as caught:
        table = open_table(tmp_path / "m.bin")
    assert len(caught) == 1
    check(table, [word.decode("utf8", "replace") for word in raw], matrix, raw)


@pytest.mark.parametrize(("buckets", "ns"), [(0, (0, 0)), (BUCKETS, (0, 0))])
def test_models_without_ngrams(tmp_path, buckets, ns):
    matrix = matrix_of(len(WORDS), buckets)
    (tmp_path / "m.bin").write_bytes(model_bytes(words_of(WORDS), matrix, buckets=buckets, ns=ns))
    table = open_table(tmp_path / "m.bin")
    np.testing.assert_array_equal(table.vectors, matrix[: len(WORDS)])
    assert table.subwords is None


def test_of_a_repeated_word_the_first_counts(tmp_path):
    matrix = matrix_of(3)
    (tmp_path / "m.bin").write_bytes(model_bytes(words_of(["a", "b", "a"]), matrix))
    with pytest.warns(UserWarning, match="CW007"):
        table = open_table(tmp_path / "m.bin")
    check(table, ["a", "b"], matrix)


@pytest.mark.parametrize("change", ["a row less", "a row more", "another width", "no words"])
def test_a_matrix_that_does_not_fit(tmp_path, change):
    matrix = matrix_of(len(WORDS))
    content = model_bytes(words_of(WORDS), matrix)
    start = len(content) - matrix.nbytes - 16
    shape = {"a row less": (len(matrix) - 1, WIDTH), "another width": (len(matrix), WIDTH - 1)}.get(change)
    shape = shape or (len(matrix) + 1, WIDTH)
    content = content[:start] + struct.pack("<2q", *shape) + matrix.tobytes() + bytes(4 * WIDTH)
    if change == "no words":
        content = model_bytes([], matrix_of(0))
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(ModelFormatError, match="CE013.*the fastText model is damaged"):
        open_table(tmp_path / "m.bin")


@pytest.mark.parametrize("is_new", [True, False])
def test_every_cut_is_named(tmp_path, is_new):
    content = model_bytes(words_of(WORDS), matrix_of(len(WORDS)), is_new=is_new)
    for n_kept in range(80, len(content), 7):
        (tmp_path / "m.bin").write_bytes(content[:n_kept])
        with pytest.raises(ModelFormatError, match="CE01[23]"):
            open_table(tmp_path / "m.bin")


# gensim's examples


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
    write_table(tmp_path, table)
    saved = read_table(tmp_path)
    for word in ["steamtrain", "landlady", "недоумение", "🙂", "x" * 1000]:
        if word not in expected.key_to_index:
            np.testing.assert_array_equal(table.subwords.row(word), expected[word])
            np.testing.assert_array_equal(saved.subwords.row(word), expected[word])


def test_fasttext_ngrams_are_kept_only_where_asked_for():
    assert open_table(DATA / "toy-model.bin", subwords=False).subwords is None
    assert len(open_table(DATA / "toy-model.bin", limit=5).words) == 5


@pytest.mark.parametrize("n_kept", [30, 60, 500, 5000, 12000])
def test_a_truncated_fasttext_file(tmp_path, n_kept):
    (tmp_path / "t.bin").write_bytes((DATA / "crime-and-punishment.bin").read_bytes()[:n_kept])
    with pytest.raises(ModelFormatError, match="CE01[23]"):
        open_table(tmp_path / "t.bin")


def test_a_file_that_says_wrongly_that_it_is_quantised(tmp_path):
    content = bytearray((DATA / "crime-and-punishment.bin").read_bytes())
    n_words = len(load_facebook_vectors(str(DATA / "crime-and-punishment.bin")).index_to_key)
    offset = 8 + 56 + 20 + 8
    for _ in range(n_words):
        offset = content.index(b"\0", offset) + 10
    content[offset] = 1
    (tmp_path / "t.ftz").write_bytes(content)
    with pytest.raises(ModelFormatError, match="CE013.*damaged"):
        open_table(tmp_path / "t.ftz")
