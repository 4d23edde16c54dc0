"""cli/terminal/words.py: lists of words in files of all editors."""

from __future__ import annotations

import pytest

from spacy_ctx_embed.cli.terminal.words import read_words


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_words_are_lines_whatever_the_editor_wrote_around_them(tmp_path, mark, end):
    (tmp_path / "words.txt").write_bytes(f"{mark}the{end} 犬 {end}{end}two words{end}".encode())
    assert read_words(tmp_path / "words.txt", "embed export") == ["the", "犬", "two words"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n", b"caf\xe9\n"])
def test_a_file_without_words_is_named(tmp_path, content):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"CE086.*embed export.*--words.*words\.txt"):
        read_words(tmp_path / "words.txt", "embed export")
