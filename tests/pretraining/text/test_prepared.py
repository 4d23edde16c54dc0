"""pretraining/text/prepared.py: texts in, the same sentences out through ids; when they are prepared anew; errors.

Here too: pretraining/text/batches.py, pretraining/text/folder.py, pretraining/text/writing.py.
"""

from __future__ import annotations

import errno
import gc
import itertools
import json
import os
import re
import tempfile
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_ctx_embed.errors import CorpusError
from spacy_ctx_embed.pretraining.text import batches, writing
from spacy_ctx_embed.pretraining.text.files import mix_of_files
from spacy_ctx_embed.pretraining.text.prepared import load_prepared, prepare_text
from tests.strategies import words

SPECIAL = ["<S>", "</S>", "<UNK>"]
FILES = ["counts.npy", "dev.tokens", "manifest.json", "train.tokens", "vocab.txt"]
LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
any_words = st.one_of(words, st.sampled_from(["a", "b", "<S>", "x\ny", "x\u2028y"]))
texts_of_words = st.lists(st.lists(any_words, max_size=8), max_size=8)


@pytest.fixture(scope="module")
def plain():
    return spacy.blank("xx")


@pytest.fixture(scope="module")
def splitting():
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    return nlp


@pytest.fixture
def corpus(tmp_path):
    """Prepare texts of a file in one go: ``corpus(nlp, train="a b\\n", dev="c\\n", ...)``."""

    def prepare(nlp, train="The river. A bank!\n\nThe dog barks.\n", dev="The cat.\n", **keywords):
        files = []
        for name, content in (("train", train), ("dev", dev)):
            if content is not None and not (tmp_path / f"{name}.txt").exists():
                (tmp_path / f"{name}.txt").write_text(content, encoding="utf8")
            files.append([] if content is None else [tmp_path / f"{name}.txt"])
        return prepare_text(tmp_path / "out", nlp, *files, **keywords)

    return prepare


class Never:
    """A tokenizer that must not be called."""

    def __call__(self, text):
        raise AssertionError("tokenised again")


def _never():
    nlp = spacy.blank("xx")
    nlp.tokenizer = Never()
    return nlp


def _sentences(prepared, stream):
    ids = stream.tolist()
    assert ids[0] == ids[-1] == 0
    bounds = [place for place, number in enumerate(ids) if number == 0]
    found = [[prepared.words[number] for number in ids[i + 1 : j]] for i, j in zip(bounds, bounds[1:])]
    assert all(found)
    return found


def _names(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != ".lock")


def _bytes(folder):
    return {name: (folder / name).read_bytes() for name in FILES if name != "manifest.json"}


def _fails(call, *parts, error=CorpusError):
    with pytest.raises(error) as caught:
        call()
    for part in ("Accepted: ", "Fix: ", *parts):
        assert part in str(caught.value)


def test_sentences_come_back_through_ids_and_words(splitting, corpus, tmp_path):
    prepared = corpus(splitting, train="The river. A bank!\n\nThe  dog\n", dev="The cat. A dog.\n")
    assert _sentences(prepared, prepared.train) == [["The", "river", "."], ["A", "bank", "!"], ["The", "dog"]]
    assert _sentences(prepared, prepared.dev) == [["The", "cat", "."], ["A", "dog", "."]]
    assert prepared.words == [*SPECIAL, "The", "!", ".", "A", "bank", "dog", "river", "cat"]
    assert prepared.counts.tolist() == [4, 0, 0, 2, 1, 1, 1, 1, 1, 1, 0]
    assert (prepared.n_train_sentences, prepared.n_train_tokens, prepared.train_amount.n_texts) == (3, 8, 2)
    assert (prepared.n_dev_sentences, prepared.n_dev_tokens, prepared.n_types) == (2, 6, 8)
    assert prepared.left_out.n_spaces == 1
    assert _names(tmp_path / "out") == FILES


def test_streams_are_maps_of_little_endian_uint32_that_nothing_can_change(plain, corpus, tmp_path):
    prepared = corpus(plain, train="a b\n")
    assert isinstance(prepared.train, np.memmap)
    assert prepared.train.dtype == np.uint32
    assert prepared.counts.dtype == np.int64
    assert (tmp_path / "out" / "train.tokens").read_bytes() == b"".join(
        number.to_bytes(4, "little") for number in (0, 3, 4, 0)
    )
    with pytest.raises(ValueError, match="read-only"):
        prepared.train[0] = 1


def test_vocabulary_is_a_line_for_each_word(plain, corpus, tmp_path):
    prepared = corpus(plain, train="b a\nb c é\n", dev="z y a\n")
    lines = (tmp_path / "out" / "vocab.txt").read_text(encoding="utf8").splitlines()
    assert lines == prepared.words == [*SPECIAL, "b", "a", "c", "é", "y", "z"]
    assert np.array_equal(np.load(tmp_path / "out" / "counts.npy"), prepared.counts)


def test_without_a_component_that_splits_a_text_is_one_sentence(plain, corpus):
    prepared = corpus(plain, train="A b. C d.\ne\n")
    assert _sentences(prepared, prepared.train) == [["A", "b.", "C", "d."], ["e"]]


@settings(deadline=None, max_examples=30)
@given(train=texts_of_words, dev=texts_of_words, size=st.integers(1, 40), chunk=st.integers(1, 9))
def test_any_words_come_back(plain, train, dev, size, chunk):
    expected = []
    for texts in (train, dev):
        kept = ([word for word in text if not word.isspace() and not LINE_BREAK.search(word)] for text in texts)
        expected.append([["<UNK>" if word in SPECIAL else word for word in text] for text in kept if text])
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH", size)
        patch.setattr(writing, "CHUNK", chunk)
        folder = Path(name)
        for part, texts in (("train", train), ("dev", dev)):
            lines = (json.dumps({"tokens": text}) for text in texts)
            (folder / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf8")
        files = [folder / "train.jsonl"], [folder / "dev.jsonl"]
        if not all(expected):
            _fails(lambda: prepare_text(folder / "out", plain, *files), "paths.")
            assert _names(folder / "out") == []
            return
        prepared = prepare_text(folder / "out", plain, *files)
        assert [_sentences(prepared, prepared.train), _sentences(prepared, prepared.dev)] == expected
        counts = Counter(itertools.chain(*expected[0]))
        assert dict(zip(prepared.words[1:], prepared.counts[1:].tolist())) == {
            **dict.fromkeys([*SPECIAL[1:], *itertools.chain(*expected[1])], 0),
            **counts,
        }
        assert prepared.counts[0] == len(expected[0]) + 1
        ranks = list(zip((-prepared.counts[3:]).tolist(), prepared.words[3:]))
        assert ranks == sorted(ranks)
        left_out = prepared.left_out
        n_given = sum(map(len, train + dev))
        assert left_out.n_spaces + left_out.n_line_breaks == n_given - prepared.n_train_tokens - prepared.n_dev_tokens
        assert left_out.n_texts == sum(map(bool, train + dev)) - sum(map(len, expected))
        del prepared  # a map keeps its file from being deleted on Windows
        gc.collect()


def test_docs_keep_their_tokens_and_bounds_and_others_are_split(splitting, tmp_path):
    vocab = Vocab()
    docs = [
        Doc(vocab, words=["a.", "b . c", "d"], sent_starts=[True, True, False]),
        Doc(vocab, words=["e", ".", "f g"]),
        Doc(vocab, words=["h", "."], sent_starts=[True, True]),
    ]
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    (tmp_path / "b.jsonl").write_text('{"text": "river. bank"}\n{"tokens": ["k", "?", "l m"]}', encoding="utf8")
    files = [tmp_path / "a.spacy", tmp_path / "b.jsonl"]
    prepared = prepare_text(tmp_path / "out", splitting, files, [files[1]])
    lines = [["river", "."], ["bank"], ["k", "?"], ["l m"]]
    assert _sentences(prepared, prepared.dev) == lines
    given = [["a."], ["b . c", "d"], ["e", "."], ["f g"], ["h"], ["."]]
    assert _sentences(prepared, prepared.train) == [*given, *lines]


def test_sentences_of_spaces_and_texts_of_spaces_are_left_out(splitting, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"tokens": ["a", ".", " ", "\n\n"]}, {"tokens": [" "]}, {"tokens": ["\r", "b", "c\nd", "<UNK>", "</S>"]}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf8")
    prepared = prepare_text(tmp_path / "out", splitting, [file], [file])
    assert _sentences(prepared, prepared.train) == [["a", "."], ["b", "<UNK>", "<UNK>"]]
    left_out = prepared.left_out  # of both parts
    assert (left_out.n_texts, left_out.n_sentences, left_out.n_spaces, left_out.n_line_breaks) == (2, 4, 8, 2)
    assert prepared.words[:3] == SPECIAL
    assert prepared.counts[:3].tolist() == [3, 0, 2]


@pytest.mark.parametrize("zones", ["not yet", "from the start", "not in this spaCy"])
def test_words_are_the_same_whether_the_vocabulary_forgets_them(corpus, monkeypatch, zones):
    monkeypatch.setattr(batches, "N_STRINGS", 1000 if zones == "not yet" else -1)
    monkeypatch.setattr(batches, "BATCH", 100)
    if zones == "not in this spaCy":
        monkeypatch.delattr(Language, "memory_zone", raising=False)
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    sentences = [[f"word{i}", "and", f"other{i % 7}", "."] for i in range(200)]
    n_strings = len(nlp.vocab.strings)
    prepared = corpus(nlp, train="\n".join(" ".join(words) for words in sentences))
    assert _sentences(prepared, prepared.train) == sentences
    forgets = zones == "from the start" and hasattr(nlp, "memory_zone")
    assert (len(nlp.vocab.strings) < n_strings + 100) == forgets


def test_a_text_longer_than_the_pipeline_takes_is_cut_between_words(corpus):
    nlp = spacy.blank("xx")
    nlp.max_length = 20
    prepared = corpus(nlp, train="river bank " * 10 + "\n" + "x" * 50)
    assert list(itertools.chain(*_sentences(prepared, prepared.train))) == ["river", "bank"] * 10 + ["x" * 20] * 2 + [
        "x" * 10
    ]


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("", 3, [""]),
        ("abc", 3, ["abc"]),
        ("ab cd\nef gh", 8, ["ab cd\n", "ef gh"]),
        ("ab cd ef", 6, ["ab cd ", "ef"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
    ],
)
def test_where_a_text_is_cut(text, limit, pieces):
    assert list(batches.cut_text(text, limit)) == pieces


@given(times=st.floats(0.05, 3.0), n=st.integers(1, 30))
def test_a_file_is_read_as_often_as_the_mix_says(times, n):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a").write_text("".join(f"a{i}\n" for i in range(n)), encoding="utf8")
        (folder / "b").write_text("b\n", encoding="utf8")
        nlp = spacy.blank("xx")
        prepared = prepare_text(folder / "out", nlp, [folder / "a", folder / "b"], [folder / "b"], mix=[times, 1])
        counts = dict(zip(prepared.words, prepared.counts.tolist()))
        found = [counts.get(f"a{i}", 0) for i in range(n)]
    assert counts["b"] == 1
    assert abs(sum(found) - times * n) < 1.001
    assert max(found) - min(found) <= 1 and min(found) >= int(times)


@given(times=st.floats(0.05, 3.0), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_a_folder_is_read_as_often_as_the_mix_says_however_few_texts_a_file_has(times, sizes):
    with tempfile.TemporaryDirectory() as name:
        folder, places = Path(name), iter(range(sum(sizes)))
        files = [folder / f"a{i}" for i in range(len(sizes))]
        for file, n in zip(files, sizes):
            file.write_text("".join(f"a{next(places)}\n" for _ in range(n)), encoding="utf8")
        (folder / "b").write_text("b\n", encoding="utf8")
        mix = mix_of_files([1, times], [[folder / "b"], files], has_dev=True)
        prepared = prepare_text(folder / "out", spacy.blank("xx"), [folder / "b", *files], [folder / "b"], mix=mix)
    counts = dict(zip(prepared.words, prepared.counts.tolist()))
    found = [counts.get(f"a{i}", 0) for i in range(sum(sizes))]
    assert counts["b"] == 1
    assert abs(sum(found) - times * sum(sizes)) < 1.001
    assert max(found) - min(found) <= 1


def test_every_so_manieth_text_is_held_out(plain, corpus):
    lines = [f"w{i} x" if i % 3 else " " for i in range(300)]  # 200 texts with words
    prepared = corpus(plain, train="\n".join(lines), dev=None, held_out=0.1)
    texts = [line.split() for line in lines if line != " "]
    assert _sentences(prepared, prepared.dev) == texts[9::10]
    assert _sentences(prepared, prepared.train) == [text for i, text in enumerate(texts) if i % 10 != 9]
    assert (prepared.train_amount.n_texts, prepared.dev_amount.n_texts) == (180, 20)


def test_of_few_texts_the_last_one_is_held_out(splitting, corpus):
    prepared = corpus(splitting, train="one. two.\nthree. four.\nfive. six.\n\n", dev=None)
    assert _sentences(prepared, prepared.dev) == [["five", "."], ["six", "."]]
    assert (prepared.train_amount.n_texts, prepared.dev_amount.n_texts) == (2, 1)


@pytest.mark.parametrize(("share", "n_dev"), [(0.01, 1), (0.25, 2), (0.99, 7)])
def test_of_one_text_the_last_sentences_are_held_out(splitting, corpus, share, n_dev):
    sentences = [[f"word{i}", "."] for i in range(8)]
    prepared = corpus(splitting, train=" ".join(f"word{i} ." for i in range(8)), dev=None, held_out=share)
    assert _sentences(prepared, prepared.train) == sentences[:-n_dev]
    assert _sentences(prepared, prepared.dev) == sentences[-n_dev:]


def test_two_processes_give_the_same_as_one(splitting, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 400)
    (tmp_path / "a.txt").write_text("".join(f"Text {i}. It has {i % 9} words!\n" for i in range(100)), encoding="utf8")
    with (tmp_path / "b.jsonl").open("w", encoding="utf8") as stream:
        stream.writelines(json.dumps({"tokens": ["t", str(i), ".", "u"]}) + "\n" for i in range(50))
    files = [tmp_path / "a.txt", tmp_path / "b.jsonl"]
    for n_process in (1, 2):
        prepare_text(tmp_path / f"out{n_process}", splitting, files, [], n_process=n_process)
    assert _bytes(tmp_path / "out1") == _bytes(tmp_path / "out2")
    assert (tmp_path / "out1" / "manifest.json").read_bytes() == (tmp_path / "out2" / "manifest.json").read_bytes()


def test_texts_are_read_as_workers_need_them(monkeypatch):
    class Pool:
        def submit(self, work, batch):
            future = Future()
            future.set_result(batch)
            return future

    monkeypatch.setattr(batches, "BATCH", 10)
    n_read = itertools.count()
    endless = (f"{next(n_read):09}" for _ in itertools.repeat(None))
    given_back = batches._read_by(Pool(), 4, endless)
    assert [next(given_back) for _ in range(3)] == [["000000000"], ["000000001"], ["000000002"]]
    assert next(n_read) <= 8


def test_texts_are_batched_as_they_come(plain, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 10)
    endless = itertools.repeat("abcd")
    with batches.batch_reader(plain, 1) as read:
        batch = next(read(endless))
    assert batch.words == ["abcd"]
    assert batch.lengths.tolist() == [2, 2]


def test_progress_is_reported(plain, corpus, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 8)
    reports = []
    corpus(plain, train="a b\nc d e\n", dev="f\n", report=lambda *amounts: reports.append(amounts))
    assert reports == [(2, 5), (3, 6)]


def test_the_same_files_are_not_read_again(splitting, corpus):
    before = corpus(splitting, settings="abc")
    again = corpus(_never(), settings="abc")
    assert np.array_equal(again.train, before.train)
    assert (again.words, again.left_out, again.dev_amount) == (before.words, before.left_out, before.dev_amount)


def test_changed_settings_files_or_shares_are_read_again(splitting, corpus, tmp_path):
    assert corpus(splitting, settings="abc").n_train_tokens == 10
    for changed in ({"settings": "abd"}, {"settings": "abc", "dev": None}):
        with pytest.raises(AssertionError, match="tokenised again"):
            corpus(_never(), **changed)
    corpus(splitting, settings="abc", mix=[2])
    with pytest.raises(AssertionError, match="tokenised again"):
        corpus(_never(), settings="abc")
    corpus(splitting, settings="abc", dev=None)
    with pytest.raises(AssertionError, match="tokenised again"):
        corpus(_never(), settings="abc", dev=None, held_out=0.5)
    corpus(splitting, settings="abc")
    (tmp_path / "train.txt").write_text("One more word here.\n", encoding="utf8")
    prepared = corpus(splitting, settings="abc")
    assert prepared.n_train_tokens == 5
    assert "river" not in prepared.words
    later = time.time_ns() + 10**9
    os.utime(tmp_path / "train.txt", ns=(later, later))
    with pytest.raises(AssertionError, match="tokenised again"):
        corpus(_never(), settings="abc")


def test_an_error_on_the_way_leaves_nothing_and_the_next_call_starts_anew(splitting, corpus, tmp_path):
    corpus(splitting)
    expected = _bytes(tmp_path / "out")
    good = (tmp_path / "dev.txt").read_bytes()
    (tmp_path / "dev.txt").write_bytes(b"\xff\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        corpus(splitting)
    assert _names(tmp_path / "out") == []
    (tmp_path / "dev.txt").write_bytes(good)
    corpus(splitting)
    assert _bytes(tmp_path / "out") == expected


def test_what_a_killed_process_left_is_not_taken_for_text(splitting, corpus, tmp_path):
    corpus(splitting)
    expected = _bytes(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / "train.tokens").write_bytes(b"abcd")
    (tmp_path / "out" / "train.tokens.tmp").write_bytes(b"abcd" * 1000)
    (tmp_path / "out" / "manifest.json.tmp").write_bytes(b"{")
    _fails(lambda: load_prepared(tmp_path / "out"), str(tmp_path / "out"), "manifest.json is missing")
    corpus(splitting)
    assert _bytes(tmp_path / "out") == expected
    assert _names(tmp_path / "out") == FILES


@pytest.mark.parametrize("when", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(splitting, corpus, tmp_path, monkeypatch, when, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "fsync") if when == "fsync" else (writing._Stream, "write")), full)
    _fails(lambda: corpus(splitting), str(tmp_path / "out"), os.strerror(number), "bytes", "free some space")
    assert _names(tmp_path / "out") == []


def test_other_errors_of_the_disk_are_left_alone(splitting, corpus, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="broken"):
        corpus(splitting)


def test_a_damaged_folder_is_refused_and_prepared_anew(splitting, corpus, tmp_path):
    out = tmp_path / "out"
    corpus(splitting)
    good = {name: (out / name).read_bytes() for name in FILES}
    for name, content, reason in (
        ("train.tokens", good["train.tokens"][:-4], "train.tokens has 52 bytes instead of 56"),
        ("dev.tokens", b"", "dev.tokens has 0 bytes"),
        ("vocab.txt", good["vocab.txt"] + b"more\n", "vocab.txt and counts.npy don't fit"),
        ("vocab.txt", b"\xff", "can't be read"),
        ("counts.npy", good["counts.npy"][:-8], "can't be read"),
        ("counts.npy", good["counts.npy"][:-8] + bytes([9] * 8), "don't fit"),
        ("manifest.json", good["manifest.json"][:-9], "can't be read"),
        ("manifest.json", b"[]", "not one of this version"),
        ("manifest.json", b'{"version": 0}', "not one of this version"),
        ("manifest.json", b'{"version": 1, "train": {}}', "not one of this version"),
    ):
        (out / name).write_bytes(content)
        _fails(lambda: load_prepared(out), str(out), reason)
        corpus(splitting)
        assert {name: (out / name).read_bytes() for name in FILES} == good
    for name in FILES:
        (out / name).unlink()
        _fails(lambda: load_prepared(out), str(out))
        corpus(splitting)
    _fails(lambda: load_prepared(tmp_path / "nowhere"), "nowhere", "missing")


@pytest.mark.parametrize(
    ("train", "dev", "parts"),
    [
        ("\n \n", "a\n", ("paths.train", "no word")),
        ("a\n", "\n", ("paths.dev", "no word")),
        ("\n", None, ("paths.train", "no word")),
        ("a b\n", None, ("paths.train", "one sentence")),
    ],
)
def test_too_little_text(plain, corpus, train, dev, parts):
    _fails(lambda: corpus(plain, train=train, dev=dev), *parts)


def test_a_file_that_is_gone(plain, tmp_path):
    _fails(lambda: prepare_text(tmp_path / "out", plain, [tmp_path / "a"], []), "paths.train", str(tmp_path / "a"))


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_that_is_none(plain, corpus, share):
    _fails(lambda: corpus(plain, held_out=share), "held_out", str(share), error=ValueError)
