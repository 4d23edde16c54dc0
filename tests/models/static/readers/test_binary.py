"""word2vec's binary format: odd words are read, shifted numbers are an error and never words."""

import warnings

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.readers import binary as binary_tables

END = [b"", b"\n"]  # gensim's, and the C program's


def written(words, rows, end=b"", header=None):
    counts = header or (len(words), rows.shape[1])
    body = b"".join(word + b" " + row.astype("<f4").tobytes() + end for word, row in zip(words, rows))
    return f"{counts[0]} {counts[1]}\n".encode() + body


def rows_of(n_rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, width)).astype("f")


@pytest.fixture
def read(tmp_path):
    def _read(content, **options):
        (tmp_path / "t.bin").write_bytes(content)
        return open_table(tmp_path / "t.bin", **options)

    return _read


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize(
    ("raw", "words", "count"),
    [
        ([b"the", b"stra\xc3"], ["the", "stra\ufffd"], 1),
        ([b"stra\xc3", b"the", b"\xe6\x97\xa5\xe6"], ["stra\ufffd", "the", "日\ufffd"], 2),
        ([b"\xe9t\xe9", b"\xe0"], ["\ufffdt\ufffd", "\ufffd"], 2),
    ],
)
@pytest.mark.parametrize("width", [2, 50])
def test_words_that_are_no_utf8_are_counted(read, tmp_path, end, raw, words, count, width):
    rows = rows_of(len(raw), width)
    with pytest.warns(UserWarning, match=f"CW004.*words {count} can't be decoded") as caught:
        table = read(written(raw, rows, end))
    assert len(caught) == 1
    assert str(tmp_path / "t.bin") in str(caught[0].message)
    assert table.words == words
    np.testing.assert_array_equal(table.vectors, rows)


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("words", [["new york", "the"], ["the", ". . ."], ["a b c d", "e f"], ["x", "a b", "c d", "y"]])
@pytest.mark.parametrize("width", [2, 3, 50])
def test_words_with_spaces(read, end, words, width):
    rows = rows_of(len(words), width)
    table = read(written([word.encode() for word in words], rows, end))
    assert table.words == words
    np.testing.assert_array_equal(table.vectors, rows)


def test_phrases_that_gensim_saves_and_can_not_read(tmp_path):
    keyed = KeyedVectors(5)
    keyed.add_vectors(["the", "new york", ". . .", "roof"], rows_of(4, 5))
    keyed.save_word2vec_format(str(tmp_path / "t.bin"), binary=True)
    table = open_table(tmp_path / "t.bin")
    assert table.words == keyed.index_to_key
    np.testing.assert_array_equal(table.vectors, keyed.vectors)


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\n", b"\r\n\n"])
def test_blanks_before_the_header(read, start):
    assert read(start + written([b"the", b"roof"], rows_of(2, 3))).words == ["the", "roof"]


@pytest.mark.parametrize("end", END)
@pytest.mark.parametrize("block", [1, 3, 4])
def test_blocks_make_no_difference(read, monkeypatch, end, block):
    monkeypatch.setattr(binary_tables, "_BLOCK", block)
    words = [f"new york {row}" if row % 5 == 3 else f"w{row}" for row in range(20)]
    rows = rows_of(20, 4)
    content = written([word.encode() for word in words], rows, end)
    for limit in (None, 1, 3, 4, 19, 20, 99):
        table = read(content, limit=limit)
        assert table.words == words[:limit]
        np.testing.assert_array_equal(table.vectors, rows[:limit])


@pytest.mark.parametrize("number", [1e-30, 1e30, 0.0, -0.0])
@pytest.mark.parametrize("end", END)
def test_unusual_numbers_are_no_fault(read, number, end):
    rows = rows_of(6, 3)
    rows[2:4, 1] = number
    table = read(written([f"w{row}".encode() for row in range(6)], rows, end))
    np.testing.assert_array_equal(table.vectors, rows)


def test_nan_is_named(read):
    rows = rows_of(3, 3)
    rows[1, 1] = np.nan
    with pytest.raises(ModelFormatError, match="the vector of 'b' .* is not finite, it holds nan"):
        read(written([b"a", b"b", b"c"], rows))


@given(
    st.lists(st.sampled_from(["the", "roof", "über", "日本", "🙂", "3", "x" * 60]), min_size=2, max_size=30),
    st.sampled_from([2, 3, 10, 50]),
    st.integers(0, 10**6),
    st.sampled_from(END),
    st.sampled_from(["width - 1", "width + 1", "count - 1", "count + 1", "cut", "float64"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
def test_shifted_or_cut_is_an_error_and_no_warning(read, words, width, seed, end, fault):
    rows = rows_of(len(words), width, seed)
    rows[:, 0] = np.copysign(1, rows[:, 0])  # a file whose numbers all look like letters could be meant in other ways
    header = {
        "width - 1": (len(words), width - 1),
        "width + 1": (len(words), width + 1),
        "count - 1": (len(words) - 1, width),
        "count + 1": (len(words) + 1, width),
    }.get(fault)
    raw = [f"{word}{row}".encode() for row, word in enumerate(words)]
    content = written(raw, rows, end, header)
    if fault == "cut":
        content = content[: -(seed % (4 * width) + 1) - len(end)]
    elif fault == "float64":
        pairs = np.ascontiguousarray(rows.astype("<f8")).view("<f4")
        content = written(raw, pairs, end, (len(words), width))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelFormatError, match="CE013.*(truncated|misaligned|not at its end|not finite)"):
            read(content)
