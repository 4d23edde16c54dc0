"""export/run.py: rows are those of ``nlp.pipe``, whatever they stand for, however they are stored.

Here too: export/columns.py, export/selection.py, export/shards.py, export/identity.py, export/manifest.py,
export/worker.py, export/local.py, export/tables.py, export/pipelines.py, export/summary.py, export/progress.py.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import spacy
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.cli._util import import_code
from thinc.api import CupyOps

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.export import run
from spacy_ctx_embed.export.columns import quantize
from spacy_ctx_embed.export.corpus.items import Failure, Item
from spacy_ctx_embed.export.run import export
from spacy_ctx_embed.export.shards import cut_shards, read_share
from tests.export.exports import make_texts, read_dataset, same, write_lines
from tests.writers.sentence import dense, write_sentence_model

TEXTS = [*make_texts(40), "🍵", "a" * 1000, "  ", "the river"]


@pytest.fixture
def corpus(tmp_path):
    return write_lines(tmp_path / "corpus.txt", TEXTS)


@pytest.fixture(scope="module")
def docs(pipeline):
    nlp = spacy.load(pipeline)
    return list(nlp.pipe(text for text in TEXTS if text.strip()))


def _spans(doc, rows):
    if rows == "token":
        return [doc[i : i + 1] for i in range(len(doc))]
    if rows == "doc":
        return [doc[:]]
    if rows == "chunk":
        return [doc[i : i + 10] for i in range(0, max(len(doc) - 4, 1), 6)]
    return list({"sentence": doc.sents, "entity": doc.ents, "span-group": doc.spans["money"]}[rows])


@pytest.mark.parametrize("rows", ["token", "doc", "sentence", "entity", "span-group", "chunk"])
def test_rows_are_those_of_nlp_pipe(pipeline, corpus, docs, tmp_path, rows):
    options = {"span_group": "money"} if rows == "span-group" else {"chunk_size": 10, "chunk_overlap": 4}
    summary = export(
        pipeline, [corpus], tmp_path / "out", rows=rows, **(options if rows in ("span-group", "chunk") else {})
    )
    found = read_dataset(tmp_path / "out")
    numbers = [i for i, text in enumerate(TEXTS, 1) if text.strip()]
    spans = [(f"corpus.txt:{n}", span) for n, doc in zip(numbers, docs) for span in _spans(doc, rows)]
    assert summary.rows == len(spans) == len(found["text"]) > 0
    assert summary.tokens == sum(map(len, docs))
    assert summary.complete
    assert found["doc"] == [name for name, _ in spans]
    assert found["text"] == [span.text for _, span in spans]
    assert list(zip(found["start"], found["end"])) == [(span.start_char, span.end_char) for _, span in spans]
    for name in ("static_embeddings", "bert_embeddings"):
        if rows == "doc":
            expected = np.stack([doc._.vectors[name] for doc in docs])
        elif rows == "token":
            expected = np.concatenate([doc._.embeddings[name] for doc in docs])
        else:
            expected = np.stack([span._.vectors[name] for _, span in spans])
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], expected)
    if rows == "token":
        assert found["status"] == [span[0]._.vector_status for _, span in spans]
        static = np.concatenate([doc.user_data["spacy_ctx_embed"]["static_embeddings"]["status"] for doc in docs])
        assert found["static_embeddings_status"] == [Status(code).label for code in static]
    if rows in ("entity", "span-group"):
        assert found["label"] == [span.label_ for _, span in spans]


def test_types_of_numbers(pipeline, corpus, docs, tmp_path):
    exact = np.concatenate([doc._.embeddings["bert_embeddings"] for doc in docs])
    for dtype in ("float16", "int8"):
        export(pipeline, [corpus], tmp_path / dtype, dtype=dtype, components=["bert_embeddings"])
        found = read_dataset(tmp_path / dtype)
        assert "static_embeddings" not in found
        assert found["bert_embeddings"].dtype == dtype
        if dtype == "float16":
            np.testing.assert_array_equal(found["bert_embeddings"], exact.astype(np.float16))
        else:
            scale = np.array(found["bert_embeddings_scale"], dtype=np.float32)[:, None]
            assert (np.abs(found["bert_embeddings"] * scale - exact) <= 0.5001 * scale).all()


@pytest.mark.parametrize("rows", ["doc", "sentence", "chunk", "token"])
def test_texts_may_have_vectors_of_another_width_than_tokens(tiny_bert, corpus, tmp_path, rows):
    modules = [{"type": "Pooling", "pooling_mode": ["cls", "max"]}, dense(32, 12)]
    write_sentence_model(tmp_path / "model", tiny_bert, modules)
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(tmp_path / "model")}
    nlp.add_pipe("bert_embeddings", config={"model": model, "doc_pooling": "model"})
    nlp.to_disk(tmp_path / "nlp")
    export(tmp_path / "nlp", [corpus], tmp_path / "out", rows=rows)
    found = read_dataset(tmp_path / "out")
    doc = spacy.load(tmp_path / "nlp")(TEXTS[0])
    part = {"doc": doc, "token": doc[0]}.get(rows, next(doc.sents) if rows == "sentence" else doc[:])
    assert found["bert_embeddings"].shape[1] == (16 if rows == "token" else 12)
    np.testing.assert_allclose(found["bert_embeddings"][0], part._.vectors["bert_embeddings"], atol=1e-5)


def test_a_tokenizer_may_lose_blanks(tiny_static, tmp_path):
    (tmp_path / "code.py").write_text(
        "import spacy\nfrom spacy.tokens import Doc\n"
        "class Own:\n"
        "    def __init__(self, vocab): self.vocab = vocab\n"
        "    def __call__(self, text): return Doc(self.vocab, words=text.split())\n"
        "    def to_disk(self, path, **kwargs): pass\n"
        "    def from_disk(self, path, **kwargs): return self\n"
        "@spacy.registry.tokenizers('own.v1')\n"
        "def make():\n"
        "    return lambda nlp: Own(nlp.vocab)\n",
        encoding="utf8",
    )
    import_code(tmp_path / "code.py")
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": {"@tokenizers": "own.v1"}}})
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
    nlp.add_pipe("static_embeddings", config={"model": model})
    nlp.to_disk(tmp_path / "nlp")
    corpus = write_lines(tmp_path / "corpus.txt", ["the   river  bank"])
    export(tmp_path / "nlp", [corpus], tmp_path / "out", code=tmp_path / "code.py")
    found = read_dataset(tmp_path / "out")
    assert found["text"] == ["the", "river", "bank"]


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
@example([[0.0, 0.0, 1.2697165385247167e-41], [1e-45, 0.0, 0.0]])
def test_eight_bits_are_within_half_a_step(rows):
    array = np.array(rows, dtype=np.float32)
    numbers, scales = quantize(array)
    assert numbers.dtype == np.int8
    assert np.abs(numbers.astype(int)).max(initial=0) <= 127
    assert (np.abs(numbers * scales[:, None] - array) <= 0.5001 * scales[:, None] + 1e-30).all()


def test_words_parts_of_speech_and_more_columns(pipeline, corpus, tmp_path):
    export(pipeline, [corpus], tmp_path / "out", words=["River", "bank"], columns=["lemma", "label"])
    found = read_dataset(tmp_path / "out")
    assert set(found["text"]) == {"river", "bank"}
    assert {(text, label) for text, label in zip(found["text"], found["label"])} == {("river", "PLACE"), ("bank", "")}
    with pytest.raises(ValueError, match="CE086.*--pos.*'NOUNS'.*NOUN NUM"):
        export(pipeline, [corpus], tmp_path / "pos", pos=["VERB", "NOUNS"])
    with pytest.raises(ValueError, match="CE086.*--pos.*tagger"):
        export(pipeline, [corpus], tmp_path / "pos", pos=["NOUN"])
    docs = spacy.tokens.DocBin(attrs=["POS", "LEMMA"])
    vocab = spacy.blank("xx").vocab
    docs.add(spacy.tokens.Doc(vocab, words=["rivers", "run"], pos=["NOUN", "VERB"], lemmas=["river", "run"]))
    docs.to_disk(tmp_path / "docs.spacy")
    export(pipeline, [tmp_path / "docs.spacy"], tmp_path / "docs", pos=["NOUN"], columns=["lemma", "pos"])
    found = read_dataset(tmp_path / "docs")
    assert (found["doc"], found["text"], found["lemma"], found["pos"]) == (
        ["docs.spacy:1"],
        ["rivers"],
        ["river"],
        ["NOUN"],
    )


@pytest.mark.parametrize("workers", [2, 64])
def test_processes_write_the_same_dataset(pipeline, corpus, tmp_path, workers):
    export(pipeline, [corpus], tmp_path / "one", shard_size=400)
    summary = export(pipeline, [corpus], tmp_path / "many", shard_size=400, workers=min(workers, 3))
    assert summary.shards == summary.shards_now > 5
    assert same(read_dataset(tmp_path / "one"), read_dataset(tmp_path / "many"))


def test_jobs_that_share_the_work(pipeline, corpus, tmp_path):
    export(pipeline, [corpus], tmp_path / "one", shard_size=400)
    complete = [
        export(pipeline, [corpus], tmp_path / "jobs", shard_size=400, shard=f"{i}/3").complete for i in (2, 1, 3)
    ]
    assert complete == [False, False, True]
    assert same(read_dataset(tmp_path / "one"), read_dataset(tmp_path / "jobs"))
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ValueError, match="CE086.*--shard"):
            read_share(wrong, owner="embed export")


def test_the_same_call_again_does_nothing_and_another_is_refused(pipeline, corpus, tmp_path, make_nlp):
    out = tmp_path / "out"
    first = export(pipeline, [corpus], out, shard_size=400)
    again = export(pipeline, [corpus], out, shard_size=400)
    assert (again.shards_now, again.rows) == (0, first.rows)
    with pytest.raises(ValueError, match=r"CE110.*--dtype was \"float32\", and is \"float16\""):
        export(pipeline, [corpus], out, shard_size=400, dtype="float16")
    with pytest.raises(ValueError, match="CE110.*rows"):
        export(pipeline, [corpus], out, shard_size=400, rows="doc")
    other = write_lines(tmp_path / "other.txt", TEXTS)
    with pytest.raises(ValueError, match="CE110.*the input"):
        export(pipeline, [other], out, shard_size=400)
    nlp = make_nlp("static", doc_pooling="max")
    nlp.to_disk(tmp_path / "nlp")
    with pytest.raises(ValueError, match="CE110.*the pipeline"):
        export(tmp_path / "nlp", [corpus], out, shard_size=400)
    changed = [TEXTS[0][::-1], *TEXTS[1:]]  # of the same size
    write_lines(corpus, changed)
    with pytest.raises(ValueError, match=r"CE111.*part-00000 \(corpus.txt:1 to"):
        export(pipeline, [corpus], out, shard_size=400)
    write_lines(corpus, TEXTS)
    assert export(pipeline, [corpus], out, shard_size=400).complete


def test_a_folder_of_other_things_is_left_alone(pipeline, corpus, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="CE116.*other files"):
        export(pipeline, [corpus], tmp_path / "out")
    with pytest.raises(ValueError, match="CE116.*a file"):
        export(pipeline, [corpus], corpus)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_documents_that_fail_stop_it_or_are_listed(pipeline, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"id": f"d{i}", "text": text}) for i, text in enumerate(TEXTS)]
    corpus.write_text("\n".join([*lines[:10], '{"text": broken', *lines[10:]]) + "\n")
    with pytest.raises(ValueError, match="CE114.*corpus.jsonl:11.*--on-error skip"):
        export(pipeline, [corpus], tmp_path / "out", shard_size=100)
    summary = export(pipeline, [corpus], tmp_path / "skipping", shard_size=100, on_error="skip")
    assert [name for name, _ in summary.skipped] == ["corpus.jsonl:11"]
    assert summary.documents == len(TEXTS)


@pytest.mark.parametrize("workers", [1, 2])
def test_documents_that_the_pipeline_fails_on(make_nlp, tmp_path, workers):
    code = tmp_path / "code.py"
    code.write_text(
        "from spacy.language import Language\n"
        "@Language.component('picky')\n"
        "def picky(doc):\n"
        "    if 'xyzzy' in doc.text:\n"
        "        raise ValueError('a magic word')\n"
        "    return doc\n"
    )
    import_code(code)
    nlp = make_nlp("static")
    nlp.add_pipe("picky", first=True)
    nlp.to_disk(tmp_path / "nlp")
    corpus = write_lines(tmp_path / "corpus.txt", TEXTS)
    bad = [f"corpus.txt:{i}" for i, text in enumerate(TEXTS, 1) if "xyzzy" in text]
    with pytest.raises(ValueError, match="CE114.*a magic word"):
        export(tmp_path / "nlp", [corpus], tmp_path / "out", code=code, workers=workers)
    out = tmp_path / "skipping"
    summary = export(tmp_path / "nlp", [corpus], out, code=code, workers=workers, on_error="skip", shard_size=500)
    assert [name for name, _ in summary.skipped] == bad
    assert set(read_dataset(out)["doc"]).isdisjoint(bad)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"rows": "word"}, "--rows"),
        ({"rows": "span-group"}, "--span-group"),
        ({"span_group": "money"}, "--span-group"),
        ({"rows": "span-group", "span_group": "nothing"}, "--span-group"),
        ({"rows": "chunk", "chunk_overlap": 128}, "--chunk-overlap"),
        ({"rows": "doc", "words": ["a"]}, "--words"),
        ({"rows": "doc", "columns": ["pos"]}, "--column"),
        ({"dtype": "float64"}, "--dtype"),
        ({"components": ["elmo_embeddings"]}, "--component"),
        ({"on_error": "ignore"}, "--on-error"),
        ({"engine": "spark"}, "--engine"),
        ({"documents": "page"}, "--documents"),
        ({"workers": 0}, "--workers"),
        ({"shard_size": 0}, "--shard-size"),
        ({"format": "pdf"}, "--format"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_error(pipeline, corpus, tmp_path, options, key):
    with pytest.raises(ValueError, match=rf"CE\d+.*{key}"):
        export(pipeline, [corpus], tmp_path / "out", **options)
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_several_processes_on_one_gpu_are_refused(pipeline, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "get_current_ops", lambda: CupyOps.__new__(CupyOps))
    with pytest.raises(ValueError, match="CE086.*--workers.*GPU"):
        export(pipeline, [corpus], tmp_path / "out", workers=2)


def test_a_pipeline_without_what_rows_are_taken_from(make_nlp, corpus, tmp_path):
    make_nlp("static").to_disk(tmp_path / "nlp")
    for rows, wanted in (("sentence", "sentencizer"), ("entity", "entity_ruler")):
        with pytest.raises(ValueError, match=f"CE086.*{wanted}"):
            export(tmp_path / "nlp", [corpus], tmp_path / rows, rows=rows)
    spacy.blank("xx").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="CE086.*--component"):
        export(tmp_path / "blank", [corpus], tmp_path / "none")


def test_files_say_whose_vectors_they_are(pipeline, corpus, tmp_path):
    export(pipeline, [corpus], tmp_path / "out")
    metadata = json.loads(pq.read_schema(tmp_path / "out" / "part-00000.parquet").metadata[b"spacy_ctx_embed"])
    assert metadata["rows"] == "token"
    components = metadata["description"]["components"]
    assert [(found["name"], found["width"]) for found in components] == [
        ("static_embeddings", 8),
        ("bert_embeddings", 16),
    ]
    model = components[1]["models"][0]
    assert model["kind"] == "bert"
    assert len(model["checksum"]) == 64
    assert model["layer_mix"] == "last"
    assert metadata["description"]["packages"]["spacy"] == spacy.__version__


def test_an_empty_corpus_and_rows_that_are_nowhere(pipeline, tmp_path):
    empty = write_lines(tmp_path / "empty.txt", [""])
    summary = export(pipeline, [empty], tmp_path / "empty")
    assert (summary.rows, summary.shards, summary.complete) == (0, 0, True)
    plain = write_lines(tmp_path / "plain.txt", ["the bank"])
    assert export(pipeline, [plain], tmp_path / "out", rows="entity").rows == 0
    assert read_dataset(tmp_path / "out")["label"] == []


def test_the_table_of_a_static_component(pipeline, tiny_static, corpus, tmp_path):
    summary = export(pipeline, [], tmp_path / "out", rows="word", shard_size=100)
    found = read_dataset(tmp_path / "out")
    table = dict(line.split(" ", 1) for line in tiny_static.read_text(encoding="utf8").splitlines())
    assert found["text"] == list(table)
    assert summary.rows == len(table)
    assert set(found["doc"]) == {"static_embeddings"}
    assert found["end"] == [len(word) for word in table]
    assert "bert_embeddings" not in found
    expected = np.array([line.split() for line in table.values()], dtype=np.float32)
    np.testing.assert_array_equal(found["static_embeddings"], expected)
    with pytest.raises(ValueError, match="CE086.*no table of words"):
        export(pipeline, [], tmp_path / "bert", rows="word", components=["bert_embeddings"])
    with pytest.raises(ValueError, match="CE086.*INPUT"):
        export(pipeline, [corpus], tmp_path / "both", rows="word")
    with pytest.raises(ValueError, match="CE086.*INPUT.*name the corpus"):
        export(pipeline, [], tmp_path / "none")


def test_texts_longer_than_spacy_likes(make_nlp, tmp_path):
    make_nlp("static").to_disk(tmp_path / "nlp")
    corpus = write_lines(tmp_path / "long.txt", ["the river " * 120_000])
    assert export(tmp_path / "nlp", [corpus], tmp_path / "out").tokens >= 240_000


@given(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=30), st.integers(1, 60))
def test_shards_hold_all_in_order(sizes, most):
    things = [Failure(str(i), "") if n is None else Item(str(i), "x" * n) for i, n in enumerate(sizes)]
    shards = list(cut_shards(things, most))
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert [item for shard in shards for item in shard.items] == [t for t in things if isinstance(t, Item)]
    assert [bad for shard in shards for bad in shard.failures] == [t for t in things if isinstance(t, Failure)]
    for shard in shards[:-1]:
        characters = [item.size for item in shard.items]
        assert sum(characters) >= most > sum(characters[:-1])
    assert len({shard.fingerprint for shard in shards}) == len(shards)


def test_stacked_vectors_are_a_column_of_their_full_width(make_nlp, corpus, tmp_path):
    make_nlp("static", "bert", "stacked").to_disk(tmp_path / "nlp")
    export(tmp_path / "nlp", [corpus], tmp_path / "out")
    found = read_dataset(tmp_path / "out")
    parts = np.concatenate([found["static_embeddings"], found["bert_embeddings"]], axis=1)
    np.testing.assert_array_equal(found["stacked_embeddings"], parts)
    metadata = json.loads(pq.read_schema(tmp_path / "out" / "part-00000.parquet").metadata[b"spacy_ctx_embed"])
    assert [component["width"] for component in metadata["description"]["components"]] == [8, 16, 24]
