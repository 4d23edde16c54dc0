"""A table as spaCy's own vectors: as spaCy's class, which has the same words and rows.

Here too: encoders/static/vocab_vectors.py, encoders/static/vocab_words.py, models/static/tables/packed.py.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vectors import Vectors

from spacy_ctx_embed.encoders.static.vocab_table import VocabTable, table_of_vocab
from spacy_ctx_embed.encoders.static.vocab_vectors import create_table_vectors_v1
from spacy_ctx_embed.encoders.static.vocab_words import KeyToRow
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.tables.folder import write_table
from spacy_ctx_embed.models.static.tables.index import word_ids
from spacy_ctx_embed.models.static.tables.packed import packed, unpacked
from tests.models.static.gensim_tables import DATA

FASTTEXT = DATA / "lee_fasttext_new.bin"
WORDS = ["the", "bank", "river", "NOUN", "qqq", "The", "🙂", " ", "x" * 1000, "dog"]


def blank(name, **settings):
    vectors = {"@vectors": "spacy_ctx_embed.TableVectors.v1", "name": str(name), **settings}
    return spacy.blank("xx", config={"nlp": {"vectors": vectors}})


@pytest.fixture(scope="module")
def ours(tiny_static):
    return blank(tiny_static, lowercase="never")


@pytest.fixture(scope="module")
def theirs(tiny_static):
    nlp, table = spacy.blank("xx"), open_table(tiny_static)
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=table.vectors.copy(), keys=table.words)
    return nlp


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_it_is_spacys(ours, theirs, words):
    mine, other = (nlp(Doc(nlp.vocab, words=words)) for nlp in (ours, theirs))
    for one, two in zip(mine, other):
        np.testing.assert_array_equal(one.vector, two.vector)
        assert (one.has_vector, one.is_oov, one.rank) == (two.has_vector, two.is_oov, two.rank)
        assert one.vector_norm == two.vector_norm and one.lex.vector.tolist() == two.lex.vector.tolist()
    np.testing.assert_array_equal(mine.vector, other.vector)
    assert mine.has_vector == other.has_vector
    if len(words) > 2:
        np.testing.assert_array_equal(mine[1:].vector, other[1:].vector)
    keys = [token.orth for token in mine]
    rows = ours.vocab.vectors.find(keys=keys).tolist()
    assert rows == theirs.vocab.vectors.find(keys=keys).tolist()
    np.testing.assert_array_equal(
        ours.vocab.vectors.get_batch(keys),
        np.where(np.array(rows)[:, None] < 0, 0, theirs.vocab.vectors.data[rows]).reshape(-1, 8),
    )


def test_sizes_and_words_are_spacys(ours, theirs):
    mine, other = ours.vocab.vectors, theirs.vocab.vectors
    for name in ("shape", "size", "n_keys", "is_full"):
        assert getattr(mine, name) == getattr(other, name)
    assert len(mine) == len(other) and set(mine) == set(other) and sorted(mine.keys()) == sorted(other.keys())
    assert dict(mine.key2row) == other.key2row and isinstance(mine.key2row, KeyToRow)
    assert mine.find(key="bank") == other.find(key="bank") and mine.find(key="qqq") == -1
    assert mine.find(row=3) == other.find(row=3)
    assert ours.meta["vectors"]["width"] == 8 and mine["bank"].tolist() == other["bank"].tolist()
    assert 7 not in mine and "qqq" not in mine and "bank" in mine
    with pytest.raises(KeyError, match="qqq"):
        mine["qqq"]


def test_the_nearest_are_spacys(ours, theirs):
    queries = np.random.default_rng(1).normal(size=(5, 8)).astype("f")
    keys, rows, scores = ours.vocab.vectors.most_similar(queries, n=4, batch_size=2)
    expected = theirs.vocab.vectors.most_similar(queries, n=4)
    assert keys.tolist() == expected[0].tolist() and rows.tolist() == expected[1].tolist()
    np.testing.assert_allclose(scores, expected[2], atol=2e-4)
    assert ours.vocab.vectors.most_similar(queries[:0], n=2)[0].shape == (0, 2)
    with pytest.raises(ValueError, match="CE001.*'n' is 5000"):
        ours.vocab.vectors.most_similar(queries, n=5000)


def test_lower_case_and_ngrams(tiny_static):
    nlp = blank(tiny_static)
    doc = nlp("The BANK")
    assert all(token.has_vector for token in doc)
    np.testing.assert_array_equal(doc[1].vector, nlp("bank")[0].vector)
    nlp, table = blank(FASTTEXT, oov="subword"), open_table(FASTTEXT)
    doc = nlp(Doc(nlp.vocab, words=["the", "unheardof", " "]))
    np.testing.assert_allclose(doc[1].vector, table.subwords.row("unheardof"), rtol=1e-6)
    assert [token.has_vector for token in doc] == [True, True, False]
    assert not blank(FASTTEXT)("unheardof")[0].has_vector


@pytest.mark.parametrize("how", ["as opened", "disk", "bytes", "pickle"])
def test_a_folder_cut_by_a_limit(tiny_static, tmp_path, how):
    write_table(tmp_path, open_table(tiny_static))
    words, nlp = open_table(tiny_static).words, blank(tmp_path, limit=5)
    expected = blank(tiny_static, limit=5)
    if how == "disk":
        nlp.to_disk(tmp_path / "nlp")
        nlp = spacy.load(tmp_path / "nlp")
    elif how != "as opened":
        nlp("the")
        nlp = (
            pickle.loads(pickle.dumps(nlp)) if how == "pickle" else blank(tmp_path, limit=5).from_bytes(nlp.to_bytes())
        )
    vectors, others = nlp.vocab.vectors, expected.vocab.vectors
    assert vectors.n_keys == 5 and dict(vectors.key2row) == dict(others.key2row)
    assert vectors.keys().tolist() == others.keys().tolist()
    np.testing.assert_array_equal(vectors.get_batch(words), others.get_batch(words))
    assert [word in vectors for word in words] == [True] * 5 + [False] * (len(words) - 5)
    with pytest.raises(ValueError, match="CE001.*at most 5"):
        vectors.most_similar(vectors.get_batch(words[:1]), n=6)


@pytest.mark.parametrize("ask", ["in", "[]", "find", "get_batch"])
def test_a_word_needs_no_string_store(tiny_static, ask):
    nlp, expected = blank(tiny_static), open_table(tiny_static)
    vectors, row = nlp.vocab.vectors, expected.take(expected.word_index.find(word_ids(["bank"])))[0]
    if ask == "in":
        assert "Bank" in vectors and "" not in vectors and "qqq" not in vectors
    elif ask == "find":
        assert vectors.find(key="Bank") == expected.words.index("bank")
        assert vectors.find(keys=iter(["Bank", "qqq", ""])).tolist() == [expected.words.index("bank"), -1, -1]
    else:
        found = vectors["Bank"] if ask == "[]" else vectors.get_batch(key for key in ["Bank", "qqq"])[0]
        np.testing.assert_array_equal(found, row)
    np.testing.assert_array_equal(nlp("Bank")[0].vector, row)


def test_an_id_without_a_string_is_not_settled(tiny_static):
    nlp, orth = blank(tiny_static), get_string_id("Bank")
    vectors = nlp.vocab.vectors
    assert orth not in nlp.vocab.strings
    assert orth not in vectors and vectors.find(key=orth) == -1 and not vectors.get_batch([orth]).any()
    assert vectors.find(keys=[orth, "Bank"]).tolist() == [vectors.find(key="bank")] * 2
    assert nlp("Bank")[0].has_vector and orth in vectors


def test_parts_of_a_word_need_no_string_store():
    vectors, table = blank(FASTTEXT, oov="subword").vocab.vectors, open_table(FASTTEXT)
    orth = get_string_id("unheardof")
    assert not vectors.get_batch([orth]).any() and orth not in vectors
    expected = table.subwords.row("unheardof")
    np.testing.assert_allclose(vectors.get_batch(["unheardof"])[0], expected, rtol=1e-6)
    assert not vectors.get_batch(np.array([orth])).any()  # its parts are not known from its id
    np.testing.assert_allclose(vectors["unheardof"], expected, rtol=1e-6)


def test_the_empty_string_has_no_vector(tiny_static):
    nlp = blank(tiny_static)
    for _ in range(2):
        assert not nlp.vocab.has_vector("") and not nlp.vocab.get_vector("").any()
        assert nlp.vocab.vectors.find(keys=[0, 0]).tolist() == [-1, -1]


@pytest.mark.parametrize("how", ["disk", "bytes", "pickle"])
def test_a_saved_pipeline_needs_nothing_else(tiny_static, tmp_path, how):
    source = tmp_path / "t.txt"
    source.write_bytes(tiny_static.read_bytes())
    nlp = blank(source)
    nlp.vocab.vectors.name = "mine"
    expected = nlp("the bank qqq").vector
    saved = pickle.dumps(nlp) if how == "pickle" else nlp.to_bytes()
    nlp.to_disk(tmp_path / "nlp")
    source.unlink()
    if how == "pickle":
        again = pickle.loads(saved)
    elif how == "bytes":
        again = blank(source).from_bytes(saved)
    else:
        again = spacy.load(tmp_path / "nlp")
    np.testing.assert_array_equal(again("the bank qqq").vector, expected)
    assert again.vocab.vectors.name == "mine" and again.vocab.vectors == nlp.vocab.vectors
    assert not again.vocab.vectors.data.flags.owndata  # mapped


def test_a_table_that_is_nowhere_is_named_when_a_row_is_wanted(tmp_path):
    nlp = blank(tmp_path / "none")
    assert nlp.meta["vectors"]["width"] == 0
    with pytest.raises(ModelNotFoundError, match=r"CE010.*TableVectors\.v1"):
        nlp.vocab.vectors.get_batch(["the"])


@pytest.mark.parametrize(
    ("key", "value"),
    [("lowercase", "always"), ("oov", "mean"), ("limit", 0), ("allow_pickle", None), ("cache", "yes")],
)
def test_settings_are_checked(key, value):
    with pytest.raises(ValueError, match=f"CE001.*'{key}' is {value!r}"):
        create_table_vectors_v1("x", **{key: value})


def test_ngrams_that_are_not_there(tiny_static):
    with pytest.raises(ValueError, match="CE001.*'oov'.*fastText"):
        blank(tiny_static, oov="subword").vocab.vectors.get_batch(["the"])


def test_no_word_can_be_added(ours):
    with pytest.raises(ValueError, match="CE001.*embed convert-vectors"):
        ours.vocab.vectors.add("new", vector=np.zeros(8, "f"))


def test_processes_give_the_same_rows(tiny_static):
    nlp = blank(tiny_static)
    nlp.add_pipe("sentencizer")
    texts = ["the bank", "river qqq"] * 3
    docs = list(nlp.pipe(texts, n_process=2, batch_size=2))
    for doc, text in zip(docs, texts):
        np.testing.assert_array_equal(doc.vector, nlp(text).vector)


def test_spacys_components_train_on_it(tiny_static, tmp_path):
    nlp = blank(tiny_static)
    model = {
        "@architectures": "spacy.Tagger.v2",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 8,
            "depth": 1,
            "embed_size": 50,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": True,
        },
    }
    nlp.add_pipe("tagger", config={"model": model})
    doc = nlp.make_doc("the bank of qqq")
    example = Example.from_dict(doc, {"tags": ["A", "B", "C", "B"]})
    optimizer = nlp.initialize(lambda: [example])
    losses = []
    for _ in range(100):
        found = {}
        nlp.update([example], sgd=optimizer, losses=found)
        losses.append(found["tagger"])
    assert losses[-1] < losses[0] / 2
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert [token.tag_ for token in again("the bank of qqq")] == [token.tag_ for token in nlp("the bank of qqq")]


def test_the_component_reads_them_too(tiny_static):
    nlp = blank(tiny_static)
    nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    doc = nlp("The bank qqq")
    assert [token._.vector_status for token in doc] == ["fallback", "ok", "oov"]
    np.testing.assert_array_equal(doc[1]._.vector, nlp.vocab.vectors["bank"])
    assert table_of_vocab(nlp.vocab) is nlp.vocab.vectors.table and table_of_vocab(spacy.blank("xx").vocab) is None


def test_vectors_of_other_tables_are_others(tiny_static):
    one, same, other = blank(tiny_static), blank(tiny_static), blank(tiny_static, limit=3)
    assert one.vocab.vectors == same.vocab.vectors != other.vocab.vectors
    assert one.vocab.vectors != spacy.blank("xx").vocab.vectors
    assert isinstance(one.vocab.vectors, VocabTable)


def test_a_table_as_bytes():
    table = open_table(FASTTEXT)
    again = unpacked(packed(table))
    assert list(again.words) == table.words and again.digest() == table.digest()
    np.testing.assert_array_equal(again.subwords.row("unheardof"), table.subwords.row("unheardof"))


def test_bytes_that_name_files_elsewhere_are_refused(tmp_path):
    files = srsly.msgpack_loads(packed(open_table(FASTTEXT)))
    for place in (tmp_path / "x", "../x"):
        with pytest.raises(ModelFormatError, match="CE013.*the saved table"):
            unpacked(srsly.msgpack_dumps({**files, str(place): b"x"}))
    assert list(tmp_path.iterdir()) == []
