"""pretraining/text/files.py: every format, folders, and what is said of files that can't be read.

Here too: pretraining/text/compressed.py.
"""

from __future__ import annotations

import gzip
import json
import lzma
import sys
import tracemalloc

import pytest
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_ctx_embed.errors import CorpusError
from spacy_ctx_embed.pretraining.text import files
from spacy_ctx_embed.pretraining.text.files import find_files, read_texts

KEY = "paths.train"
TEXTS = ["The first text.", "日本語 and emoji 👩‍👩‍👧‍👦", "a b\u2028c"]
PLAIN = ("\n\n" + "\n  \n".join(TEXTS) + "\n").encode()
OBJECTS = "\n".join(json.dumps({"meta": 1, "text": text}) for text in TEXTS).encode()


def _compress(name, content):
    if name.endswith(".gz"):
        return gzip.compress(content)
    if name.endswith(".xz"):
        return lzma.compress(content, preset=0)  # higher ones take a large window
    if name.endswith(".zst"):
        return pytest.importorskip("zstandard").ZstdCompressor().compress(content)
    return content


def _write(folder, name, content):
    file = folder / name
    file.write_bytes(content)
    return file


def _docs(*docs, **settings):
    return DocBin(docs=docs, **settings).to_bytes()


def _read(file):
    # Texts as they are, Docs as lists of sentences or of words.
    read = []
    for text in read_texts(file, KEY):
        if isinstance(text, Doc):
            words = [token.text for token in text]
            known = text.has_annotation("SENT_START") and len(text) > 1
            text = [[token.text for token in sentence] for sentence in text.sents] if known else words
        read.append(text)
    return read


def _fails(file, *parts, error=CorpusError):
    with pytest.raises(error) as caught:
        list(read_texts(file, KEY))
    for part in (KEY, str(file), "Accepted: ", "Fix: ", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.text.old", "A.GZ", "a.txt.gz", "a.xz", "a.txt.xz", "a.txt.zst"])
def test_plain_text_is_one_text_a_line(tmp_path, name):
    assert _read(_write(tmp_path, name, _compress(name.lower(), PLAIN))) == TEXTS


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.JSONL.xz", "a.jsonl.zst"])
def test_json_lines_have_texts(tmp_path, name):
    assert _read(_write(tmp_path, name, _compress(name, OBJECTS))) == TEXTS


def test_json_lines_have_tokens_which_go_before_texts(tmp_path):
    lines = [{"tokens": ["New York", "is", "", " "], "text": "x"}, {"tokens": []}, {"text": " "}, {"text": " b "}]
    file = _write(tmp_path, "a.jsonl", "\r\n\r\n".join(map(json.dumps, lines)).encode())
    assert _read(file) == [["New York", "is", " "], "b"]


def test_docs_keep_their_tokens_and_sentences(tmp_path):
    vocab = Vocab()
    split = Doc(vocab, words=["a", "b c", "d"], spaces=[False, True, False], sent_starts=[True, False, True])
    plain = Doc(vocab, words=["e", "f"])
    content = _docs(split, Doc(vocab), plain)
    assert _read(_write(tmp_path, "a.spacy", content)) == [[["a", "b c"], ["d"]], ["e", "f"]]
    assert [doc.text for doc in read_texts(tmp_path / "a.spacy", KEY)] == ["ab c d", "e f "]
    assert len(_read(_write(tmp_path, "a.spacy.gz", gzip.compress(content)))) == 2


@pytest.mark.parametrize(("name", "content"), [("a.txt", PLAIN.lstrip()), ("a.jsonl", OBJECTS)])
def test_a_byte_order_mark_is_no_text(tmp_path, name, content):
    assert _read(_write(tmp_path, name, b"\xef\xbb\xbf" + content)) == TEXTS


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_last_line_may_end_or_not(tmp_path, end):
    for last in ("", end):
        assert _read(_write(tmp_path, "a.txt", f"a b{end}{end}c d{last}".encode())) == ["a b", "c d"]
    assert _read(_write(tmp_path, "a.txt", b"")) == []


@pytest.mark.parametrize("size", range(4, 16))
@pytest.mark.parametrize("line", ["aa bb cc dd ee", "日本語テキスト🙂🙂", "日 本🙂語 🙂テキ", "abcdefghijklmnop"])
def test_a_long_line_is_cut_between_words_or_characters(tmp_path, monkeypatch, line, size):
    monkeypatch.setattr(files, "MAX_LINE", size)
    read = _read(_write(tmp_path, "a.txt", f"{line}\n{line}\nz".encode()))
    assert "".join(read).replace(" ", "") == f"{line}{line}z".replace(" ", "")
    assert read[-1] == "z"
    if line.isascii():
        assert all(len(text) <= 2 * size for text in read)
    if line.startswith("aa"):
        assert set(" ".join(read).split()) == {"aa", "bb", "cc", "dd", "ee", "z"}


def test_line_numbers_are_right_behind_long_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE", 8)
    _fails(_write(tmp_path, "a.txt", b"x" * 8 + b"\n" + b"y z " * 9 + b"\n\xff"), "line 3")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.xz", "a.txt.zst", "a.jsonl.gz"])
def test_a_file_is_never_in_memory_whole(tmp_path, name):
    lines = (json.dumps({"text": f"{number} " * 500}) for number in range(10_000))
    content = "\n".join(lines).encode()
    file = _write(tmp_path, name, _compress(name, content))
    limit = len(content) / 4
    del lines, content
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_texts(file, KEY)) == 10_000
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    texts = read_texts(_write(tmp_path, "a.txt", b"fine\n" * 10_000 + b"\xff"), KEY)
    assert next(texts) == "fine"
    texts.close()
    never = read_texts(tmp_path / "missing", KEY)
    never.close()


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl"])
def test_bytes_that_are_not_utf8(tmp_path, name):
    line = "Zoë\n".encode("latin1")
    _fails(_write(tmp_path, name, _compress(name, b'{"text": "a"}\n\n' + line)), "line 3", "0xeb", "UTF-8", "iconv")


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_compressed_file_that_is_cut_off_or_damaged(tmp_path, ending):
    content = _compress(ending, b"".join(b"%d\n" % (number * 7919 % 10007) for number in range(30_000)))
    whole = _write(tmp_path, f"a{ending}", content)
    assert len(_read(whole)) == 30_000
    for damaged in (content[:-1], content[: len(content) // 2], content[:9], b"text"):
        _fails(_write(tmp_path, f"b{ending}", damaged), "can't be decompressed", "again")
    damaged = bytearray(content)
    damaged[-40:-20] = bytes(20)
    _fails(_write(tmp_path, f"c{ending}", damaged))


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_compressed_file_may_have_several_parts(tmp_path, ending):
    content = b"".join(_compress(ending, b"%d\n" % number) for number in range(5))
    assert _read(_write(tmp_path, f"a{ending}", content)) == list("01234")


def test_zst_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    _fails(_write(tmp_path, "a.zst", b""), "pip install 'zstandard'", error=ImportError)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'text': 1}", "not JSON (Expecting property name"),
        ('{"text": "a"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["a"]', "not an object"),
        ('{"txt": "a"}', "without 'text' and 'tokens'"),
        ('{"text": null}', "without 'text' and 'tokens'"),
        ('{"text": ["a"]}', "'text' is not a string"),
        ('{"tokens": "a b", "text": "a b"}', "'tokens' are not a list of strings"),
        ('{"tokens": ["a", 1]}', "'tokens' are not a list of strings"),
        ('{"text": "a\\ud83d"}', "half a character"),
        ('{"tokens": ["a", "\\ude00"]}', "half a character"),
    ],
)
def test_lines_that_are_no_texts(tmp_path, line, reason):
    _fails(
        _write(tmp_path, "a.jsonl", f'{{"text": "a"}}\n\n{line}\n'.encode()), "line 3, is", reason, "one JSON object"
    )


def test_docs_that_are_damaged(tmp_path):
    content = _docs(Doc(Vocab(), words=["a", "b"]))
    for damaged in (content[:-5], b"", b"text", gzip.compress(content)):
        _fails(_write(tmp_path, "a.spacy", damaged), "not readable as Docs", "DocBin")


def test_a_file_that_is_not_there_or_not_a_file(tmp_path):
    _fails(tmp_path / "a.txt", "not readable", "No such file")
    _fails(tmp_path, "not readable")


def test_errors_of_the_consumer_are_left_alone(tmp_path):
    def consume(texts):
        for _ in texts:
            raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        consume(read_texts(_write(tmp_path, "a.txt", b"a\n"), KEY))


def test_files_and_folders_are_listed(tmp_path):
    for name in ("b/2.txt", "b/1/z.gz", "b/.hidden", "b/.git/x.txt", "a.txt", ".named"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = [tmp_path / name for name in ("b", "a.txt", ".named")]
    found = [file.relative_to(tmp_path).as_posix() for file in find_files(paths, KEY)]
    assert found == ["b/1/z.gz", "b/2.txt", "a.txt", ".named"]
    assert len(find_files([tmp_path / "b" / ".git"], KEY)) == 1


def test_paths_that_name_no_file(tmp_path):
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    for paths, parts in (
        ([tmp_path / "gone.txt"], (str(tmp_path / "gone.txt"), "not there")),
        ([tmp_path / "empty"], (str(tmp_path / "empty"), "folder without files")),
        ([], ("an empty list",)),
    ):
        with pytest.raises(CorpusError) as caught:
            find_files(paths, KEY)
        for part in (KEY, "Accepted: ", "Fix: ", *parts):
            assert part in str(caught.value)
