"""The width that lines tell, and what a line may be."""

import pytest

from spacy_ctx_embed.models.static.readers.text_lines import Fault, LineReader, Row, find_width, is_number, n_numbers


@pytest.mark.parametrize(
    ("lines", "width"),
    [
        (["the 1 2 3", "roof 4 5 6"], 3),
        (["", " ", "the 1 2 3"], 3),
        ([". . . 1 2", "the 3 4"], 2),
        (["the 1 2", "roof 3", "tin 5 6"], 2),
        (["the 1 2 3", "roof 4 5"], 3),
        (["the 1 2", "roof 3 4 5"], 2),
        (["catch 22 0.1 0.2", "the 0.3 0.4"], 2),
        (["catch 22 1 2", "the 3 4", "roof 5 6"], 2),
        (["1 2 0.1 0.2", "the 0.3 0.4"], 2),
        (["3 0.1 0.2", "4 0.3 0.4"], 2),
        (["nan 0.1 0.2", "to infinity 0.3 0.4"], 2),
        (["the 0,1 0,2", "roof 0,3 0,4"], 2),
        (["the nan nan"], 2),
        (["the"], 1),
        ([], 1),
    ],
)
def test_the_width_is_what_most_lines_end_in(lines, width):
    assert find_width([line.encode() for line in lines]) == width


def test_an_extra_number_makes_doubt_until_there_are_phrases():
    reader = LineReader(2)
    assert reader.read(1, b"b 3 4 5\n") == Row(b"b 3", [4, 5])
    assert reader.doubtful == (1, b"b 3 4 5\n")
    assert not reader.has_phrases
    reader.read(2, b"new york 1 2\n")
    assert reader.has_phrases


@pytest.mark.parametrize("line", [b"catch 22 0.1 0.2", b"1 2 3 4", b". . . 1 2", b"the 1 2", b" 1 2"])
def test_words_that_make_no_doubt(line):
    reader = LineReader(2)
    assert isinstance(reader.read(1, line), Row)
    assert reader.doubtful is None


@pytest.mark.parametrize("line", [b"the 1", b"the", b"the 1 x", b"new york 1", b"a 1 2 b 3 4"])
def test_faults(line):
    assert isinstance(LineReader(2).read(1, line), Fault)


def test_numbers():
    assert all(map(is_number, [b"1", b"-.5", b"+1e-5", b"2.", b"nan", b"-inf"]))
    assert not any(map(is_number, [b"", b"1_0", b"0,5", b"0x1", b"1e", b"x", "\u0661".encode()]))
    assert [n_numbers(line.split()) for line in (b"", b"1", b"a 1 2", b"1 2 3", b"a b", b"a 1 b")] == [0, 0, 2, 2, 0, 0]
