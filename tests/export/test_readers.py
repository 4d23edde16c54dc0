"""A dataset is a folder that others open as it is: pandas, and where they are installed Polars, DuckDB and datasets."""

from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.export.run import export
from tests.export.exports import make_texts, write_lines


@pytest.fixture(scope="module", params=["float32", "float16", "int8"])
def dataset(request, pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    corpus = write_lines(folder / "corpus.txt", make_texts(30))
    summary = export(pipeline, [corpus], folder / "out", rows="sentence", dtype=request.param, shard_size=300)
    assert summary.shards > 3
    return folder / "out", summary.rows, request.param


def _check(dataset, docs, texts, vectors):
    _, n_rows, dtype = dataset
    assert len(docs) == len(texts) == len(vectors) == n_rows
    assert str(docs[0]) == "corpus.txt:1"
    rows = np.stack([np.asarray(vector) for vector in vectors])
    assert rows.shape == (n_rows, 16)
    if dtype != "int8":
        assert np.isfinite(rows.astype(np.float32)).all()
    assert np.abs(rows.astype(np.float32)).max() > 0.1


def test_pandas(dataset):
    import pandas as pd

    frame = pd.read_parquet(dataset[0])
    _check(dataset, frame["doc"].tolist(), frame["text"].tolist(), frame["bert_embeddings"].tolist())


def test_polars(dataset):
    pl = pytest.importorskip("polars")
    for frame in (pl.read_parquet(dataset[0] / "*.parquet"), pl.scan_parquet(dataset[0] / "*.parquet").collect()):
        vectors = frame["bert_embeddings"].to_numpy()
        _check(dataset, frame["doc"].to_list(), frame["text"].to_list(), list(vectors))


def test_duckdb(dataset):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(
        f"select doc, text, bert_embeddings from '{dataset[0]}/*.parquet' order by doc = 'corpus.txt:1' desc"
    )
    docs, texts, vectors = zip(*found.fetchall())
    _check(dataset, docs, texts, vectors)


def test_datasets(dataset, tmp_path):
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset("parquet", data_dir=str(dataset[0]), split="train", cache_dir=str(tmp_path))
    _check(dataset, found["doc"], found["text"], list(found.with_format("numpy")["bert_embeddings"]))
