"""Tables that are slow to read are kept as folders that open at once, and nothing goes wrong by it."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.tables import cached
from spacy_ctx_embed.models.static.tables.cached import SIZE_VARIABLE, tables_folder
from spacy_ctx_embed.models.static.tables.table import VectorTable
from tests.models.static.gensim_tables import assert_same, pack, write_table


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cached, "LEAST", 0)
    return tmp_path / "cache" / "tables"


def entries():
    return sorted(folder.name for folder in tables_folder().iterdir()) if tables_folder().exists() else []


def is_mapped(table):
    return not table.vectors.flags.owndata and not table.vectors.flags.writeable


@pytest.mark.parametrize("how", ["plain", "gz", "zip"])
@pytest.mark.parametrize("form", ["header", "no header", "binary"])
def test_the_second_start_takes_what_the_first_kept(vectors, tmp_path, form, how):
    path = pack(write_table(vectors, tmp_path / "t", form), how)
    plain = open_table(path)
    for _ in range(2):
        table = open_table(path, cache=True)
        assert is_mapped(table) and len(entries()) == 1
        assert list(table.words) == plain.words and table.digest() == plain.digest()
        np.testing.assert_array_equal(table.vectors, plain.vectors)


def test_nothing_is_kept_unless_asked_nor_of_small_files(vectors, tmp_path, monkeypatch):
    path = write_table(vectors, tmp_path / "t", "header")
    open_table(path)
    monkeypatch.setattr(cached, "LEAST", 1 << 20)
    open_table(path, cache=True)
    monkeypatch.setattr(cached, "LEAST", 0)
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    open_table(path, cache=True)
    assert entries() == []


def test_a_changed_file_and_other_options_are_read_anew(vectors, tmp_path):
    path = write_table(vectors, tmp_path / "t", "no header")
    assert len(open_table(path, cache=True).words) == len(vectors)
    assert len(open_table(path, limit=3, cache=True).words) == 3
    path.write_text("a 1 2 3\nb 4 5 6\n")
    table = open_table(path, cache=True)
    assert list(table.words) == ["a", "b"] and table.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert len(entries()) == 3


def test_a_word_list_beside_a_matrix_counts(tmp_path):
    (tmp_path / "m").mkdir()
    np.save(tmp_path / "m" / "m.npy", np.eye(2))
    (tmp_path / "m" / "words.txt").write_text("a\nb\n")
    assert list(open_table(tmp_path / "m", cache=True).words) == ["a", "b"]
    (tmp_path / "m" / "words.txt").write_text("aa\nb\n")
    assert list(open_table(tmp_path / "m", cache=True).words) == ["aa", "b"]


def test_a_pickle_stays_refused(vectors, tmp_path):
    vectors.save(str(tmp_path / "t.kv"))
    assert_same(open_table(tmp_path / "t.kv", allow_pickle=True, cache=True), vectors)
    with pytest.raises(ValueError, match="CE014"):
        open_table(tmp_path / "t.kv", cache=True)


def test_arrays_that_gensim_keeps_beside_a_file_count(vectors, tmp_path):
    vectors.save(str(tmp_path / "t.kv"), sep_limit=1)
    open_table(tmp_path / "t.kv", allow_pickle=True, cache=True)
    (file,) = tmp_path.glob("t.kv.*.npy")
    np.save(file, np.load(file) * 2)
    again = open_table(tmp_path / "t.kv", allow_pickle=True, cache=True)
    np.testing.assert_array_equal(again.vectors, vectors.vectors * 2)


@pytest.mark.parametrize("damage", ["a file is gone", "a file is cut"])
def test_a_damaged_entry_is_written_again(vectors, tmp_path, cache, damage):
    path = write_table(vectors, tmp_path / "t", "header")
    open_table(path, cache=True)
    file = cache / entries()[0] / "vectors.npy"
    if damage == "a file is gone":
        file.unlink()
    else:
        os.truncate(file, 40)
    assert_same(open_table(path, cache=True), vectors)
    assert file.stat().st_size > 40


def test_a_cache_that_cannot_be_written_costs_a_warning(vectors, tmp_path, cache):
    path = write_table(vectors, tmp_path / "t", "header")
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="CW008.*SPACY_CTX_EMBED_CACHE"):
        assert_same(open_table(path, cache=True), vectors)


def test_a_full_disk_leaves_no_half_of_an_entry(vectors, tmp_path, monkeypatch):
    path = write_table(vectors, tmp_path / "t", "header")
    save = np.save

    def full(file, array, **settings):
        if array.dtype == np.uint64:
            raise OSError(28, "No space left on device")
        save(file, array, **settings)

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="CW008.*No space left on device"):
        assert_same(open_table(path, cache=True), vectors)
    assert entries() == []


def test_what_was_not_opened_for_longest_makes_room(vectors, tmp_path, cache, monkeypatch):
    paths = [write_table(vectors, tmp_path / f"t{i}", "header") for i in range(3)]
    for path in paths[:2]:
        open_table(path, cache=True)
    sizes = [sum(file.stat().st_size for file in (cache / name).iterdir()) for name in entries()]
    monkeypatch.setenv(SIZE_VARIABLE, str(2.5 * max(sizes) / 1e9))
    os.utime(cache / entries()[0], (1, 1))
    first, second = entries()
    open_table(paths[2], cache=True)
    assert first not in entries() and second in entries() and len(entries()) == 2
    monkeypatch.setenv(SIZE_VARIABLE, str(0.5 * max(sizes) / 1e9))
    paths[0].write_text("a 1\nb 2\n" * 1)
    before = entries()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_table(write_table(vectors, tmp_path / "t4", "header"), cache=True)  # larger than all that may be kept
    assert entries() == before


def test_a_table_that_is_too_large_is_not_even_written(vectors, tmp_path, monkeypatch):
    monkeypatch.setenv(
        SIZE_VARIABLE, str((vectors.vectors.nbytes + 1) / 1e9)
    )  # room for the vectors, not for the words

    def refuse(folder, table):
        raise AssertionError("written")

    monkeypatch.setattr(cached, "write_table", refuse)
    assert_same(open_table(write_table(vectors, tmp_path / "t", "header"), cache=True), vectors)
    assert entries() == []


def test_a_size_that_is_none(vectors, tmp_path, monkeypatch):
    monkeypatch.setenv(SIZE_VARIABLE, "much")
    with pytest.raises(ValueError, match=f"CE001.*{SIZE_VARIABLE}.*gigabytes"):
        open_table(write_table(vectors, tmp_path / "t", "header"), cache=True)


def test_several_processes_fill_it_at_a_time(vectors, tmp_path):
    path = write_table(vectors, tmp_path / "t", "header")
    code = (
        "import sys; from pathlib import Path\n"
        "from spacy_ctx_embed.models.static.tables import cached; cached.LEAST = 0\n"
        "from spacy_ctx_embed.models.static.formats import open_table\n"
        f"sys.stdin.readline(); print(len(open_table(Path({str(path)!r}), cache=True).words))"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(4)]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in started] == [str(len(vectors))] * 4
    assert len(entries()) == 1


def test_another_process_that_was_faster(vectors, tmp_path, monkeypatch):
    path = write_table(vectors, tmp_path / "t", "header")
    write = cached.write_table

    def slow(folder, table):
        write(folder, table)
        monkeypatch.setattr(cached, "write_table", write)
        assert isinstance(open_table(path, cache=True), VectorTable)  # takes the place meanwhile

    monkeypatch.setattr(cached, "write_table", slow)
    assert_same(open_table(path, cache=True), vectors)
    assert len(entries()) == 1


def test_an_entry_is_for_all_who_may_read_the_cache(vectors, tmp_path, cache):
    before = os.umask(0o022)
    try:
        open_table(write_table(vectors, tmp_path / "t", "header"), cache=True)
    finally:
        os.umask(before)
    folder = cache / entries()[0]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in folder.iterdir())


def test_an_entry_that_others_keep_to_themselves(vectors, tmp_path, cache, monkeypatch):
    path = write_table(vectors, tmp_path / "t", "header")
    open_table(path, cache=True)

    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(cached, "read_table", refuse)
    assert_same(open_table(path, cache=True), vectors)
