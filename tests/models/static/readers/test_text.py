"""Text tables are read as people write them, and one odd word makes none unreadable.

Here too: models/static/readers/word_bytes.py.
"""

import gzip
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.kinds import sniff
from spacy_ctx_embed.models.static.readers import text as text_tables

BOM = b"\xef\xbb\xbf"
ROWS = [[1, 2, 3], [4, 5, 6]]


@pytest.fixture
def read(tmp_path):
    def _read(content, **options):
        path = tmp_path / "table.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
        return open_table(path, **options)

    return _read


# How people write them

STYLES = [
    "the 1 2 3\nroof 4 5 6\n",
    "the 1 2 3\nroof 4 5 6",
    "the 1 2 3 \nroof 4 5 6 \n",  # word2vec's C program
    "the\t1\t2\t3\nroof\t4\t5\t6\n",
    "the\t1 2 3\nroof\t4 5 6\n",
    "the \t 1 2\t3 \t\nroof   4   5   6\n",
    "the 1 2 3\r\nroof 4 5 6\r\n",
    "the 1 2 3\nroof 4 5 6\r\n\r\n",
    "the  1  2  3  \r\n\r\nroof\t4\t5\t6\t\n",
    "  the 1 2 3\n  roof 4 5 6\n",
    "the 1 2 3\n\n \t\nroof 4 5 6\n\n\n",
    "the 1e0 +2 3.\nroof .4e1 5E+0 60e-1\n",
]


@pytest.mark.parametrize("start", [b"", BOM, b"\n", b"\r\n", b" \t\n\n", BOM + b"\n", BOM + b"\r\n\r\n"])
@pytest.mark.parametrize("header", ["", "2 3\n", "2\t3\r\n", " 2  3 \n", "2 3\n\n", "2 3\n\ufeff"])
@pytest.mark.parametrize("style", STYLES)
def test_all_styles(read, start, header, style):
    table = read(start + header.encode("utf8") + style.encode("utf8"))
    assert table.words == ["the", "roof"]
    assert table.vectors.tolist() == ROWS


WORD = st.one_of(
    st.text(st.characters(exclude_characters=" \t\n\r\x0b\x0c\x00\ufeff", exclude_categories=["Cs", "Cc"]), min_size=1),
    st.sampled_from(["the", "new york", ". . .", "a b c", "3", "1 2", "catch 22", "nan", "\u00a0", "x\u2003y", "1e5"]),
)
SEPARATOR = st.sampled_from([" ", "\t", "  ", " \t "])


@pytest.mark.filterwarnings("ignore:.CW007")
@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_words_in_any_style(read, data):
    words = data.draw(st.lists(WORD, min_size=1, max_size=20, unique=True))
    width = data.draw(st.integers(3, 6))
    rows = (np.random.default_rng(data.draw(st.integers(0, 99))).integers(-999, 999, (len(words), width)) + 0.5) / 8
    header, bom = data.draw(st.booleans()), data.draw(st.booleans())
    if not header:  # of a line of numbers and no other, any number may be the word's
        words, rows = ["the", "roof", *words], np.concatenate([np.full((2, width), 0.25), rows])
    text = "\ufeff" * bom + (f"{len(words)} {width}\n" if header else "")
    for word, row in zip(words, rows):
        text += word + data.draw(SEPARATOR) + data.draw(SEPARATOR).join(map(str, row))
        text += data.draw(st.sampled_from(["\n", "\r\n", " \n", "\t\r\n", "\n\n"]))
    table = read(text)
    expected = dict(zip(reversed(words), reversed(rows.tolist())))
    assert table.words == list(dict.fromkeys(words))
    assert table.vectors.tolist() == [expected[word] for word in table.words]


# Words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("the 1 2 3\nroof 4 5 6\n. . . 7 8 9\n", ["the", "roof", ". . ."]),
        (". . . 7 8 9\nthe 1 2 3\n", [". . .", "the"]),
        ("new york 0.1 0.2\nthe 0.3 0.4\n", ["new york", "the"]),
        ("new  york\tcity  0.1 0.2\nthe 0.3 0.4\n", ["new  york\tcity", "the"]),
        ("windows 95 0.1 0.2\nthe 0.3 0.4\n", ["windows 95", "the"]),
        ("the 0.3 0.4\nwindows 95 0.1 0.2\n", ["the", "windows 95"]),
        ("2 2\nthe 0.3 0.4\nwindows 95 0.1 0.2\n", ["the", "windows 95"]),
        ("the 1 2\nwindows 95 3 4\nnew york 5 6\n", ["the", "windows 95", "new york"]),
        ("the 0.1 0.2\nwindows 3.1 0.3 0.4\nnew york 0.5 0.6\n", ["the", "windows 3.1", "new york"]),
        ("3 0.1 0.2\nthe 0.3 0.4\n", ["3", "the"]),
        ("3 0.1 0.2\n4 0.3 0.4\n", ["3", "4"]),
        ("1 2 0.1 0.2\nthe 0.3 0.4\n", ["1 2", "the"]),
        ("the 0.3 0.4\n1 2 0.1 0.2\n", ["the", "1 2"]),
        ("2 2\n1 2 0.1 0.2\n3 0.3 0.4\n", ["1 2", "3"]),
        ("nan 0.1 0.2\ninf 0.3 0.4\nto infinity 0.5 0.6\n", ["nan", "inf", "to infinity"]),
        ("new\u00a0york 1 2\n\u2003x 3 4\n\u3000 5 6\n", ["new\u00a0york", "\u2003x", "\u3000"]),
        ("\u00a0 1 2\n\u2028\u2029 3 4\n\x85 5 6\n", ["\u00a0", "\u2028\u2029", "\x85"]),
        ("a\x01 1 2 3\n\x7fb 4 5 6\n", ["a\x01", "\x7fb"]),
        (" 1 2 3\nb 4 5 6\n", ["", "b"]),
        ("2 3\n\t1\t2\t3\nb\t4\t5\t6\n", ["", "b"]),
        ("-0.5 0.1 0.2\n1,000 0.1 0.2\n3,14 0.1 0.2\n", ["-0.5", "1,000", "3,14"]),
        ("the 5\nroof 6\n", ["the", "roof"]),
        ("2 1\nthe 5\nroof 6\n", ["the", "roof"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_odd_words(read, content, words, packed):
    content = content.encode("utf8")
    assert read(gzip.compress(content) if packed else content).words == words


@pytest.mark.parametrize(
    ("content", "words", "count"),
    [
        (b"the 1 2\nstra\xc3 3 4\n", ["the", "stra\ufffd"], 1),
        (b"stra\xc3 1 2\nthe 3 4\n", ["stra\ufffd", "the"], 1),
        (b"3 2\nstra\xc3 1 2\nthe 3 4\n\xff\xfe 5 6\n", ["stra\ufffd", "the", "\ufffd\ufffd"], 2),
        (b"\xe9t\xe9 1 2\n\xe0\xe9\xe8\xe9\xe9\xe9 3 4\n", ["\ufffdt\ufffd", "\ufffd" * 6], 2),
        (b"new yor\xc3 1 2\nthe 3 4\n", ["new yor\ufffd", "the"], 1),
        (b"a\xed\xa0\x80 1 2\nthe 3 4\n", ["a\ufffd\ufffd\ufffd", "the"], 1),  # half of a surrogate pair
        (b"a\xc3 1 2\na\xc4 3 4\n", ["a\ufffd"], 2),
    ],
)
def test_words_that_are_no_utf8_are_counted_once_for_a_file(read, tmp_path, content, words, count):
    with pytest.warns(UserWarning, match="CW004") as caught:
        table = read(content)
    assert table.words == words
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"words {count} can't be decoded" in message
    assert str(tmp_path / "table.txt") in message
    assert next(word for word in words if "\ufffd" in word) in message


def test_no_warning_for_what_is_not_read(read):
    assert read(b"the 1 2\nstra\xc3 3 4\n", limit=1).words == ["the"]


# Faults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 0.1 0.2 0.3\nb 0.4 0.5", r"line 2 \('b 0.4 0.5'…\) is one of 2 numbers.*a word and 3 numbers"),
        ("\n\na 1 2 3\n\nb 4 5\n", r"line 5 \('b 4 5'…\) is one of 2 numbers"),
        ("\n2 3\n\na 1 2 3\n\nb 4 5   \n", r"line 6 \('b 4 5'…\) is one of 2 numbers"),
        ("2 3\nthe 1 2 3\nnew york 1 2\n", "line 3 .* is one with 'york' where a number should be"),
        ("2 3\nthe 1.00 2.00 3.00\nroof\n", "line 3 .* is one of 0 numbers"),
        ("2 3\nthe 1 2 3 4\nroof 5 6 7 8\n", "line 2 .* is one of 4 numbers"),
        ("a 0.1 0.2 0.3\nb 0.4 0.5 0.6 0.7\nc 0.1 0.2 0.3\n", "line 2 .* is one of 4 numbers"),
        ("a 1 2 3\nb 4 5 6 c 7 8 9\nd 1 2 3\n", "line 2 .* as if a line end were missing"),
        ("a 1 2 3\rb 4 5 6\r", "line 1 .* as if a line end were missing"),
        ("a 0,1 0,2\nb 0,3 0,4\n", "line 1 .* is one with '0,1' where a number should be.*decimal points"),
        ("2 2\na 0,1 0,2\nb 0,3 0,4\n", "line 2 .* is one with '0,1' where a number should be.*decimal points"),
        ("a 0.1 0.2\nb 0.3 0,4\n", "line 2 .* is one with '0,4' where a number should be"),
        ("a 1 2 3\nb 4 5_0 6\n", "line 2 .* is one with '5_0' where a number should be"),
        ("a 1 2 3\nb 4 5\u00a06\n", "line 2"),
        ("a 1 2\nb 3 4 x\n", "line 2 .* is one with 'x' where a number should be"),
        ("3 2\na 1.0 2.0\nb 3.0 4.0\n", "truncated: 2 lines after the header.*the 3 that the header counts"),
        ("2 2\na 1 2\nb 3 4\n\nc 5 6\n", "line 5 .* is more than the header counts.*2 lines after the header"),
        ("a 1 2\nb nan 4\n", "the vector of 'b' .* is not finite, it holds nan"),
        ("a 1 2\nb 3 inf\n", "the vector of 'b' .* is not finite, it holds inf"),
        ("\ufeff", "CE013.*the file is empty"),
        ("\ufeff \r\n\n", "CE013.*the file is empty"),
        ("In 1984 the year\nof the novel\n", "does not look like a table"),
    ],
)
def test_faults_are_named(read, content, message):
    with pytest.raises(ModelFormatError, match=message):
        read(content)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("header", ["", "2 2\n"])
def test_utf16_is_named(read, encoding, header):
    with pytest.raises(ModelFormatError, match="CE012.*it is text in UTF-16.*Fix: convert it.*utf-8"):
        read((header + "the 1 2\nroof 3 4\n").encode(encoding))


@given(st.integers(2, 30), st.integers(2, 9), st.integers(1, 10**9), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_one_line_of_another_length_is_named(read, n_rows, width, seed, header):
    random = np.random.default_rng(seed)
    lines = [[f"w{row}", *map(str, random.normal(size=width))] for row in range(n_rows + 2)]
    place = int(random.integers(1, n_rows))
    if random.integers(2):
        lines[place].append("0.5")
    else:
        del lines[place][-1]
    text = (f"{len(lines)} {width}\n" if header else "") + "\n".join(map(" ".join, lines))
    with pytest.raises(ModelFormatError, match=rf"line {place + 1 + header} \('w{place} "):
        read(text)


# Blocks


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("size", [1, 40, 200])
def test_blocks_make_no_difference(read, monkeypatch, header, size):
    words = [f"word {row}x" if row % 7 == 0 else f"word{row}" for row in range(60)]
    lines = [f"{word} {row}.5 {row}.25" for row, word in enumerate(words)]
    content = f"{len(words)} 2\n" * header + "\n\n".join(lines)
    expected = read(content)
    monkeypatch.setattr(text_tables, "_BLOCK", size)
    table = read(content)
    assert table.words == expected.words == words
    np.testing.assert_array_equal(table.vectors, expected.vectors)
    for limit in (1, 7, 8, 59, 60, 100):
        table = read(content, limit=limit)
        assert table.words == words[:limit]
        np.testing.assert_array_equal(table.vectors, expected.vectors[:limit])


@pytest.mark.parametrize("header", ["", "400 2\n"])
def test_limit_stops_reading(read, monkeypatch, header):
    monkeypatch.setattr(text_tables, "_BLOCK", 20)
    content = header + "a 1 2\n" + "".join(f"w{row} 3 4\n" for row in range(300)) + "no number\n" * 100
    assert read(content, limit=3).words == ["a", "w0", "w1"]


def test_lines_longer_than_what_is_looked_at(read, tmp_path):
    row = np.random.default_rng(0).normal(size=20_000).astype("f")
    table = read("long " + " ".join(map(str, row)) + "\n")
    assert sniff(tmp_path / "table.txt") == "glove"
    np.testing.assert_array_equal(table.vectors, row[None])


def test_ordinary_blocks_take_the_fast_way(read, monkeypatch):
    monkeypatch.setattr(text_tables._Reading, "_read_each", lambda *args: pytest.fail("line by line"))
    for style in STYLES[:7]:
        assert read(style).vectors.tolist() == ROWS


def test_nothing_is_said_about_an_ordinary_table(read):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("the 1e30 2e-30\nroof 3 4\n")
