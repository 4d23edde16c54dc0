"""neighbours/find.py: the nearest rows are those that NumPy finds, with what stands around them.

Here too: neighbours/dataset.py, neighbours/matrix.py, neighbours/index.py, cli/corpus/neighbours.py.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import spacy
from spacy.training import Example
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.export.run import export
from spacy_ctx_embed.neighbours.find import neighbours
from spacy_ctx_embed.sources.layers import all_sources
from spacy_ctx_embed.sources.table import near_words
from tests.export.exports import make_texts, read_dataset, write_lines

NAME = "bert_embeddings"
TEXTS = [*make_texts(60, seed=3), "money in the bank .", "the bank of the river .", "the river"]
DTYPES = ("float32", "float16", "int8")


@pytest.fixture(scope="module")
def pipeline(make_nlp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "nlp"
    nlp = make_nlp("static", "bert")
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("corpus") / "corpus.txt", TEXTS)


@pytest.fixture(scope="module")
def exports(pipeline, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for dtype in DTYPES:
        export(pipeline, [corpus], folder / dtype, dtype=dtype, shard_size=500)
    for rows in ("sentence", "doc"):
        export(pipeline, [corpus], folder / rows, rows=rows)
    return folder


def _reference(found, name, query):
    # All cosines by NumPy in float64, of rows that are not zero.
    rows = found[name].astype(np.float64)
    if f"{name}_scale" in found:
        rows = rows * np.array(found[f"{name}_scale"])[:, None]
    norms = np.linalg.norm(rows, axis=1)
    query = query.astype(np.float64)
    return np.where(norms > 0, rows @ query / np.maximum(norms * np.linalg.norm(query), 1e-300), -np.inf)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_word_in_a_sentence(pipeline, exports, dtype):
    sentence = "in the bank of a river"
    answer = neighbours(exports / dtype, sentence, word="bank", k=7, context=12)
    found = read_dataset(exports / dtype)
    cosines = _reference(found, NAME, spacy.load(pipeline)(sentence)[2]._.vectors[NAME])
    best = np.sort(cosines)[::-1][:7]
    assert answer.query == "bank"
    np.testing.assert_allclose([one.similarity for one in answer.found], best, atol=1e-5)
    for one in answer.found:
        row = one.row
        assert cosines[row.number] == pytest.approx(one.similarity, abs=1e-5)
        text = TEXTS[int(row.doc.split(":")[1]) - 1]
        assert text[row.start : row.end] == row.text == found["text"][row.number]
        assert text[max(row.start - 12, 0) : row.start] == row.left
        assert text[row.end : row.end + 12] == row.right
    assert [name for name, _ in answer.words] == ["static_embeddings"]
    assert "bank" not in dict(answer.words[0][1])


def test_sentences_documents_and_other_components(pipeline, exports):
    nlp = spacy.load(pipeline)
    for rows in ("sentence", "doc"):
        answer = neighbours(exports / rows, "money in the bank .", k=1)
        assert answer.found[0].similarity == pytest.approx(1, abs=1e-5)
        assert answer.found[0].row.text == "money in the bank ."
        assert answer.words == []
    answer = neighbours(exports / "float32", "river", component="static_embeddings", k=3)
    assert {one.row.text for one in answer.found} == {"river"}
    vector = nlp("in the river")[1:]._.vectors[NAME]
    cosines = _reference(read_dataset(exports / "float32"), NAME, vector)
    answer = neighbours(exports / "float32", "in the river", word="the river", k=2)
    assert answer.query == "the river"
    assert answer.found[0].similarity == pytest.approx(cosines.max(), abs=1e-5)


@pytest.mark.parametrize("settings", [{"correction": "center"}, {"doc_pooling": "sif"}])
def test_one_word_is_compared_as_rows_are(make_nlp, corpus, tmp_path, settings):
    nlp = make_nlp("static", **settings)
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS])
    nlp.to_disk(tmp_path / "nlp")
    export(tmp_path / "nlp", [corpus], tmp_path / "out")
    found = neighbours(tmp_path / "out", "money in the bank .", word="bank", k=3)
    assert [one.similarity for one in found.found] == pytest.approx([1, 1, 1], abs=1e-5)
    assert {one.row.text for one in found.found} == {"bank"}
    plain = make_nlp("static")
    (source,) = all_sources(plain)
    row = plain("bank")[0]._.vectors["static_embeddings"]
    assert found.words == [("static_embeddings", near_words(source, row, 3, leave_out="bank"))]


def test_a_pipeline_without_models_of_its_own_has_no_near_words(make_nlp):
    assert all_sources(spacy.blank("xx")) == []


def test_a_row_needs_no_pipeline(pipeline, corpus, exports, tmp_path):
    shutil.copytree(exports / "float16", tmp_path / "moved")
    found = read_dataset(tmp_path / "moved")
    cosines = _reference(found, NAME, found[NAME][100].astype(np.float32))
    cosines[100] = -np.inf
    answer = neighbours(tmp_path / "moved", row=100, k=5)
    np.testing.assert_allclose([one.similarity for one in answer.found], np.sort(cosines)[::-1][:5], atol=1e-5)
    with pytest.raises(ValueError, match="CE086.*--row"):
        neighbours(tmp_path / "moved", row=len(cosines))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_index_is_built_once_and_when_the_dataset_grows(pipeline, corpus, tmp_path, dtype):
    pytest.importorskip("usearch")
    out = tmp_path / "out"
    export(pipeline, [corpus], out, dtype=dtype, shard_size=500, shard="1/2")
    told = out / ".export" / "search" / f"{NAME}.usearch.json"
    for shard in ("1/2", "2/2"):
        summary = export(pipeline, [corpus], out, dtype=dtype, shard_size=500, shard=shard)
        found = read_dataset(out)
        random = np.random.default_rng(0)
        right = total = 0
        for row in random.choice(summary.rows, 20, replace=False).tolist():
            exact = neighbours(out, row=row, k=10)
            near = neighbours(out, row=row, k=10, index="usearch")
            worst = exact.found[-1].similarity if exact.found else 1
            right += sum(one.similarity >= worst - 1e-4 for one in near.found)
            total += len(exact.found)
        assert right / total >= 0.95
        assert len(json.loads(told.read_text())) == summary.shards
        assert len(found["text"]) == summary.rows
    before = told.stat().st_mtime_ns
    neighbours(out, row=1, index="usearch")
    assert told.stat().st_mtime_ns == before


def test_rows_of_zeros_are_never_near(make_nlp, tmp_path):
    make_nlp("static").to_disk(tmp_path / "nlp")
    corpus = write_lines(tmp_path / "corpus.txt", ["the river xyzzy xyzzy", "bank"])
    export(tmp_path / "nlp", [corpus], tmp_path / "out")
    assert {one.row.text for one in neighbours(tmp_path / "out", "river").found} == {"the", "river", "bank"}
    with pytest.raises(ValueError, match="CE086.*'xyzzy'.*has no vector"):
        neighbours(tmp_path / "out", "xyzzy")


def test_bad_questions(exports, pipeline, make_nlp, tmp_path):
    out = exports / "float32"
    for options, key in (
        ({}, "QUERY"),
        ({"query": "a b", "row": 1}, "QUERY"),
        ({"query": "the river"}, "QUERY.*--word"),
        ({"query": "the river", "word": "bank"}, "--word.*the, river"),
        ({"query": "river", "component": "elmo"}, "--component.*'bert_embeddings'"),
        ({"query": "river", "index": "faiss"}, "--index"),
    ):
        with pytest.raises(ValueError, match=rf"CE\d+.*{key}"):
            neighbours(out, **options)
    make_nlp("static").to_disk(tmp_path / "nlp")
    with pytest.raises(ValueError, match="CE086.*--pipeline.*another pipeline"):
        neighbours(out, "river", pipeline=tmp_path / "nlp")
    with pytest.raises(ValueError, match="CE116.*embed export"):
        neighbours(tmp_path, "river")


def test_the_command_prints_a_concordance(exports):
    def run(*args, code=0):
        result = CliRunner().invoke(embed_cli, ["neighbours", *map(str, args)])
        assert result.exit_code == code, result.output
        return result

    printed = run(exports / "float32", "the bank of the river .", "--word", "bank", "-k", 3).output
    assert "'bank' by bert_embeddings" in printed
    assert "the [bank] of the river .  (corpus.txt:62)" in printed
    assert "near words of 'bank' by static_embeddings" in printed
    told = json.loads(run(exports / "float32", "river", "-k", 2, "--json").stdout)
    assert len(told["found"]) == 2
    assert told["found"][0]["row"]["text"]
    assert "CE086" in run(exports / "float32", "the river", code=1).output
