"""models/static/readers/columns.py: Parquet, Arrow IPC and Feather, as pyarrow writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.readers import columns as reader
from tests.models.static.damage import damage, damages, read_or_refused
from tests.models.static.gensim_tables import WORDS

MATRIX = np.random.default_rng(0).normal(size=(len(WORDS), 3)).astype("f")
FORMS = ["parquet", "arrow", "stream", "feather", "feather 1"]
NUMBERS = ["list", "fixed", "large", "columns"]


def table_of(form="list", words=WORDS, matrix=MATRIX):
    kind = pa.from_numpy_dtype(matrix.dtype)
    if form == "columns":
        return pa.table({"w": words, **{f"d{place}": column for place, column in enumerate(matrix.T.copy())}})
    lists = {"list": pa.list_(kind), "fixed": pa.list_(kind, matrix.shape[1]), "large": pa.large_list(kind)}[form]
    return pa.table({"w": words, "count": range(len(words)), "v": pa.array(list(matrix), lists)})


def write(table, path, form):
    if form == "parquet":
        pa.parquet.write_table(table, path, row_group_size=4)
    elif form.startswith("feather"):
        pa.feather.write_feather(table, path, version=1 if form == "feather 1" else 2, chunksize=None)
    else:
        new = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    return path


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("form", FORMS)
def test_words_and_rows(tmp_path, monkeypatch, form, numbers):
    if form == "feather 1" and numbers != "columns":
        pytest.skip("version 1 has no lists")
    monkeypatch.setattr(reader, "_BATCH", 3)
    path = write(table_of(numbers), tmp_path / "t", form)
    assert sniff(path) == ("parquet" if form == "parquet" else "arrow")
    table = open_table(path)
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, MATRIX)
    assert table.vectors.flags.c_contiguous
    for limit in (1, 3, 5, 99):
        part = open_table(path, limit=limit)
        assert part.words == WORDS[:limit]
        np.testing.assert_array_equal(part.vectors, MATRIX[:limit])
    assert open_table(tmp_path).words == WORDS  # the folder


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int64"])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_types_of_numbers(tmp_path, dtype, numbers):
    matrix = (MATRIX * 10).astype(dtype)
    write(table_of(numbers, matrix=matrix), tmp_path / "t", "parquet")
    np.testing.assert_array_equal(open_table(tmp_path / "t").vectors, matrix.astype("f"))


VIEWS = [pa.string_view()] if hasattr(pa, "string_view") else []  # since pyarrow 16


@pytest.mark.parametrize("kind", [pa.large_string(), *VIEWS, pa.dictionary(pa.int32(), pa.string())])
def test_types_of_words(tmp_path, kind):
    table = table_of().set_column(0, "w", pa.array(WORDS).cast(kind))
    assert open_table(write(table, tmp_path / "t", "arrow")).words == WORDS


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream", "feather"])
def test_pyarrow_15_knows_no_views(tmp_path, monkeypatch, form):
    monkeypatch.delattr(pa.types, "is_string_view", raising=False)
    assert open_table(write(table_of("columns"), tmp_path / "t", form)).words == WORDS


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_tables_of_pandas(tmp_path, form):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(MATRIX.astype("f8"), columns=["x", "y", "z"]).assign(word=WORDS)[2:]
    getattr(frame.reset_index(drop=True), f"to_{form}")(tmp_path / "t")
    assert open_table(tmp_path / "t").words == WORDS[2:]
    if form == "parquet":  # whose index is a column
        frame.to_parquet(tmp_path / "t")
        assert open_table(tmp_path / "t").width == 3
        frame.set_index("word").rename_axis(None).to_parquet(tmp_path / "t")
        assert open_table(tmp_path / "t").words == WORDS[2:]


LISTS = pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"v": pa.array([[1.0], [2.0]], LISTS)}, "0 columns of strings: none"),
        ({"w": ["a", "b"], "x": ["c", "d"], "v": [1.0, 2.0]}, "2 columns of strings: w, x"),
        ({"w": ["a", "b"]}, "no columns of numbers beside its words.*npy matrix"),
        ({"w": ["a", "b"], "x": [[1.0], [2.0]], "v": [[1.0], [2.0]]}, "2 columns of lists of numbers: x, v"),
        ({"w": ["a", "b"], "x": [1.0, 2.0], "count": [1, 2]}, r"columns of whole numbers \(count\)"),
        ({"w": ["a", None], "v": [[1.0], [2.0]]}, r"column 'w' is empty \(null\) in row 2"),
        ({"w": ["a", "b"], "v": [[1.0], None]}, r"column 'v' is empty \(null\) in row 2"),
        ({"w": ["a", "b"], "v": [[1.0], [None]]}, "column 'v' is without a number in row 2"),
        ({"w": ["a", "b"], "v": [1.0, None]}, r"column 'v' is empty \(null\) in row 2"),
        ({"w": ["a", "b"], "v": [[1.0], [2.0, 3.0]]}, "'v' is a list of 2 numbers in row 2.*lists of 1 numbers"),
        ({"w": ["a", "b"], "v": [[1.0], [float("nan")]]}, "the vector of 'b'.*not finite"),
        ({"w": ["a", "b"], "v": [1.0, 1e60]}, "the vector of 'b'.*not finite"),
        ({"w": pa.array([], pa.string()), "v": pa.array([], LISTS)}, "empty"),
        ({"w": ["a", "b"], "v": pa.array([[], []], LISTS)}, "empty"),
        ({"w": ["a", "b"], "v": [True, False]}, "no columns of numbers"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_other_columns(tmp_path, form, columns, message):
    path = write(pa.table(columns), tmp_path / "t", form)
    with pytest.raises(ModelFormatError, match=message) as caught:
        open_table(path)
    assert str(path) in str(caught.value)


def test_columns_of_one_name(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array([1.0]), pa.array([2.0])], names=["w", "x", "x"])
    with pytest.raises(ModelFormatError, match="two of its columns have one name"):
        open_table(write(table, tmp_path / "t", "parquet"))


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@pytest.mark.parametrize("form", ["parquet", "arrow", "stream", "feather"])
@damages
@given(st.data())
def test_damage_is_named(tmp_path, form, data):
    table = table_of(data.draw(st.sampled_from(NUMBERS)))
    (tmp_path / "t").write_bytes(damage(data, write(table, tmp_path / "whole", form).read_bytes()))
    read_or_refused(tmp_path / "t")
