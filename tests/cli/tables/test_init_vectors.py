"""cli/: ``python -m spacy embed init-vectors``."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.vectors import Vectors
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from tests.models.static.gensim_tables import DATA


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["init-vectors", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_pipeline_with_vectors(tiny_static, tmp_path):
    source = tmp_path / "t.txt"
    source.write_bytes(tiny_static.read_bytes())
    assert "of width 8" in _run("xx", source, tmp_path / "nlp", "--name", "tiny", "--limit", 5).stdout
    source.unlink()
    nlp = spacy.load(tmp_path / "nlp")
    assert nlp.meta["vectors"]["name"] == "tiny" and nlp.vocab.vectors.shape == (5, 8)
    expected = np.array(tiny_static.read_text().split()[1:9], dtype="f")
    np.testing.assert_allclose(nlp("the")[0].vector, expected)


def test_ngrams(tmp_path):
    _run("xx", DATA / "lee_fasttext_new.bin", tmp_path / "nlp", "--subwords")
    assert spacy.load(tmp_path / "nlp")("unheardof")[0].has_vector


@pytest.mark.parametrize(("source", "message"), [("nowhere", "CE010"), ("there", "CE086")])
def test_what_cannot_be_done(tiny_static, tmp_path, source, message):
    if source == "there":
        source = tiny_static
        (tmp_path / "nlp").mkdir()
        (tmp_path / "nlp" / "mine.txt").write_text("a user's own file")
    result = _run("xx", source, tmp_path / "nlp")
    assert result.exit_code == 1 and message in result.output


def test_a_limit_means_nothing_to_a_table_of_parts(tmp_path):
    nlp = spacy.blank("xx")
    rows, how = np.ones((9, 2), "f"), {"minn": 2, "maxn": 3, "hash_count": 2, "hash_seed": 7}
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, mode="floret", data=rows, **how)
    nlp.to_disk(tmp_path / "floret")
    result = _run("xx", tmp_path / "floret", tmp_path / "nlp", "--limit", 5)
    assert result.exit_code == 1 and "CE086" in result.output and "--limit" in result.output
    assert not (tmp_path / "nlp").exists()
