"""models/static/readers/spacy_vectors.py: rows are those of spaCy's Vectors, of both modes.

Here too: models/static/tables/floret.py.
"""

import contextlib
import gzip
import pickle
import shutil

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training.initialize import convert_vectors
from spacy.vectors import Vectors

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.shrink import shrink
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from spacy_ctx_embed.models.static.tables.table import VectorTable
from spacy_ctx_embed.sources.layers import find_sources
from spacy_ctx_embed.sources.table import near_words
from tests.models.static.damage import damage, damages, read_or_refused
from tests.models.static.gensim_tables import WORDS

ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype("f")
FLORET = np.random.default_rng(1).normal(size=(40, 5)).astype("f")
HOW = {"minn": 2, "maxn": 4, "hash_count": 2, "hash_seed": 2166136261, "bow": "<", "eow": ">"}


def pipeline_of(**settings):
    nlp = spacy.blank("en")
    if settings.pop("floret", False):
        nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, mode="floret", data=FLORET.copy(), **{**HOW, **settings})
        return nlp
    for word in WORDS:
        nlp.vocab[word]
    keys = [nlp.vocab.strings[word] for word in WORDS]
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=ROWS.copy(), keys=keys)
    return nlp


@pytest.mark.parametrize("inside", ["", "vocab"])
def test_words_and_rows(tmp_path, inside):
    nlp = pipeline_of()
    nlp.to_disk(tmp_path)
    table = open_table(tmp_path / inside)
    assert table.words == WORDS  # "NOUN" and "nsubj", whose ids are no hashes, included
    np.testing.assert_array_equal(table.vectors, nlp.vocab.vectors.get_batch(WORDS))
    assert open_table(tmp_path, limit=3).words == WORDS[:3]


def test_vectors_alone_and_the_package_of_a_pipeline(tmp_path):
    nlp = pipeline_of()
    (tmp_path / "alone").mkdir()
    nlp.vocab.vectors.to_disk(tmp_path / "alone")
    assert open_table(tmp_path / "alone").words == WORDS
    (tmp_path / "en_x").mkdir()
    nlp.to_disk(tmp_path / "en_x" / "en_x-1.0")
    (tmp_path / "en_x" / "meta.json").write_text("{}")
    assert open_table(tmp_path / "en_x").words == WORDS


def test_a_pruned_table(tmp_path):
    nlp = pipeline_of()
    nlp.vocab.prune_vectors(4)
    nlp.to_disk(tmp_path)
    table = open_table(tmp_path)
    assert set(table.words) == set(WORDS)
    assert table.vectors.shape == (4, 5)
    (tmp_path / "table").mkdir()
    write_table(tmp_path / "table", table)
    for each in (
        table,
        read_table(tmp_path / "table"),
        open_table(tmp_path, limit=7),
        read_table(tmp_path / "table", 7),
    ):
        places = np.arange(len(each.words))
        expected = nlp.vocab.vectors.get_batch(list(each.words))
        np.testing.assert_array_equal(each.take(places), expected)
        np.testing.assert_array_equal(np.concatenate([block for _, block in each.blocks()]), expected)
        np.testing.assert_allclose(each.mean(), expected.mean(axis=0), atol=1e-6)
        assert each.digest() == VectorTable(list(each.words), each.vectors, shared=each.shared).digest()
    assert len(read_table(tmp_path / "table", 7).words) == 7
    for words in (WORDS[:3], WORDS, [WORDS[0]]):
        small = shrink(table, words=words, width=5)
        assert set(small.words) == set(words)
        kept = shrink(table, words=words, dtype="float16")
        np.testing.assert_allclose(
            kept.take(np.arange(len(words))), nlp.vocab.vectors.get_batch(list(kept.words)), atol=2e-3
        )
        assert len(kept.vectors) <= min(4, len(words))


def test_near_words_of_a_pruned_table(tmp_path):
    nlp = pipeline_of()
    nlp.vocab.prune_vectors(4)
    nlp.to_disk(tmp_path)
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(tmp_path), "lowercase": "never"}})
    doc = nlp(Doc(nlp.vocab, WORDS))
    np.testing.assert_array_equal([token._.vector for token in doc], nlp.vocab.vectors.get_batch(WORDS))
    found = dict(near_words(find_sources(nlp, owner="test")[0], doc[0]._.vector, 9))
    twins = [word for word in WORDS if (nlp.vocab[word].vector == doc[0]._.vector).all()]
    assert len(found) == 9 and all(found[word] > 0.999 for word in twins)


def test_words_that_have_no_name_are_counted(tmp_path):
    pipeline_of().to_disk(tmp_path)
    file = tmp_path / "vocab" / "strings.json"
    srsly.write_json(file, [word for word in srsly.read_json(file) if word not in WORDS[3:5]])
    with pytest.warns(UserWarning, match="CW009.*of the 10 words with a vector 1 are not in it"):
        table = open_table(tmp_path)
    assert table.words == [*WORDS[:4], *WORDS[5:]]  # spaCy knows "nsubj" without a file


# floret


TEXTS = ["river", "riverbank", "a", "日本語", "🙂", "Über", "x" * 200, "NOUN", "e\u0301", "'s"]


@pytest.mark.parametrize("settings", [{}, {"minn": 1, "maxn": 1, "hash_count": 4}, {"bow": "<<", "hash_seed": 7}])
def test_rows_of_floret_are_spacys(tmp_path, settings):
    nlp = pipeline_of(floret=True, **settings)
    nlp.to_disk(tmp_path / "nlp")
    table = open_table(tmp_path / "nlp")
    write_table(tmp_path, table)
    for each in (table, read_table(tmp_path), pickle.loads(pickle.dumps(table))):
        rows, known = each.word_parts.rows([*TEXTS, ""])
        expected = nlp.vocab.vectors.get_batch([*TEXTS, ""])
        np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)
        assert known.tolist() == [True] * len(TEXTS) + [False]
        assert each.digest() == table.digest()
        for word, row in zip(TEXTS, rows):
            np.testing.assert_array_equal(each.subwords.row(word), row)
    assert table.subwords.row("") is None
    small = shrink(table, dtype="float16")
    np.testing.assert_allclose(small.subwords.rows(TEXTS)[0], table.subwords.rows(TEXTS)[0], atol=2e-3)


@damages
@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12), min_size=1, max_size=20)
)
def test_any_word_has_spacys_row(tmp_path, words):
    nlp = pipeline_of(floret=True)
    nlp.to_disk(tmp_path / "nlp")
    rows, _ = open_table(tmp_path / "nlp").subwords.rows(words)
    np.testing.assert_allclose(rows, nlp.vocab.vectors.get_batch(words), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lowercase", ["never", "fallback", "always"])
@pytest.mark.parametrize("attr", ["ORTH", "LOWER"])
def test_tokens_are_those_of_the_vocab(tmp_path, lowercase, attr):
    nlp = pipeline_of(floret=True, attr=attr)
    nlp.to_disk(tmp_path / "nlp")
    for name in ("vocab", str(tmp_path / "nlp")):
        model = {"name": name, "lowercase": lowercase}
        nlp.add_pipe("static_embeddings", name=f"of_{len(nlp.pipe_names)}", config={"model": model})
    for doc in nlp.pipe([Doc(nlp.vocab, [*TEXTS, " ", "\n"]), Doc(nlp.vocab, TEXTS[::-1])]):
        first, second = storage.read(doc, nlp.pipe_names[0]), storage.read(doc, nlp.pipe_names[1])
        np.testing.assert_allclose(first.rows, second.rows, rtol=1e-5, atol=1e-5)
        assert first.status.tolist() == second.status.tolist()


def write_floret(path, rows=FLORET, header=None, how=HOW):
    header = header or " ".join(map(str, [*rows.shape, *how.values()]))
    lines = [f"{place} {' '.join(map(repr, row.tolist()))} " for place, row in enumerate(rows)]
    path.write_text("\n".join([header, *lines, ""]), encoding="utf8")
    return path


@pytest.mark.parametrize("how", ["plain", "gz"])
def test_a_text_file_of_floret(tmp_path, how):
    path = write_floret(tmp_path / "x.floret")
    assert sniff(path) == "floret"
    nlp = spacy.blank("en")
    convert_vectors(nlp, path, truncate=0, prune=0, mode="floret")
    if how == "gz":
        path = tmp_path / "x.gz"
        path.write_bytes(gzip.compress((tmp_path / "x.floret").read_bytes()))
    rows, _ = open_table(path).subwords.rows(TEXTS)
    np.testing.assert_allclose(rows, nlp.vocab.vectors.get_batch(TEXTS), rtol=1e-5, atol=1e-5)


def test_numbers_alone_are_no_floret(tmp_path):
    (tmp_path / "t").write_text("50 6 2 4 2 7 1 2\n51 6 2 4 2 7 1 2\n")
    assert sniff(tmp_path / "t") == "glove"


# Damage


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("41 5 2 4 2 7 < >", FLORET, "CE013.*40 rows of 5 numbers.*rows 0 to 40 of 5"),
        ("40 6 2 4 2 7 < >", FLORET, "CE013"),
        ("40 5 4 2 2 7 < >", FLORET, "CE012.*settings are none of floret's"),
        ("40 5 2 4 5 7 < >", FLORET, "CE012.*settings are none of floret's"),
        ("0 5 2 4 2 7 < >", FLORET[:0], "CE013"),
        (None, np.where(FLORET > 2, np.nan, FLORET), "CE013.*the vector of part"),
        (None, FLORET.astype("f8") * 1e60, "CE013.*the vector of part"),
    ],
)
def test_floret_files_that_do_not_fit(tmp_path, header, rows, message):
    with pytest.raises(ModelFormatError, match=message):
        open_table(write_floret(tmp_path / "t", rows, header))


def test_rows_of_floret_that_are_not_in_order(tmp_path):
    lines = write_floret(tmp_path / "t").read_text().split("\n")
    (tmp_path / "t").write_text("\n".join([*lines[:5], lines[6], lines[5], *lines[7:]]))
    with pytest.raises(ModelFormatError, match="not in order"):
        open_table(tmp_path / "t")


@pytest.mark.filterwarnings("ignore:.CW00")
@damages
@given(st.data())
def test_damage_to_text_is_named(tmp_path, data):
    content = write_floret(tmp_path / "whole").read_bytes()
    (tmp_path / "t").write_bytes(damage(data, content, 30))
    read_or_refused(tmp_path / "t")


@pytest.mark.filterwarnings("ignore:.CW00")
@damages
@given(st.data())
def test_damage_to_a_folder_is_named(tmp_path, data):
    shutil.rmtree(tmp_path / "nlp", ignore_errors=True)
    pipeline_of(floret=data.draw(st.booleans())).to_disk(tmp_path / "nlp")
    folder = tmp_path / "nlp" / "vocab"
    file = folder / data.draw(st.sampled_from(["vectors", "key2row", "vectors.cfg", "strings.json"]))
    content = file.read_bytes()
    if data.draw(st.booleans()):
        file.unlink()
    else:
        file.write_bytes(damage(data, content, 0))
    with contextlib.suppress(UserWarning):
        read_or_refused(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vectors.cfg", b'{"mode": "other"}', "CE012.*its mode is none of spaCy's"),
        ("vectors.cfg", b"[]", "CE012.*its mode"),
        ("vectors.cfg", b'{"mode": "floret"}', "CE012.*settings are none of floret's"),
        ("strings.json", b"{}", "CE012.*no list of strings"),
        ("strings.json", b"[1]", "CE012.*no list of strings"),
        ("strings.json", b'["NOUN"]', "CE012.*none of the words"),
        ("key2row", srsly.msgpack_dumps([1]), "CE012.*key2row"),
        ("key2row", srsly.msgpack_dumps({1: "x"}), "CE012.*key2row"),
        ("key2row", srsly.msgpack_dumps({90: 1 << 30}), "CE012.*a word has row 1073741824, and there are 10"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, file, content, message):
    pipeline_of().to_disk(tmp_path)
    if content == b'["NOUN"]':
        (tmp_path / "vocab" / "key2row").write_bytes(srsly.msgpack_dumps({1 << 63: 0}))
    (tmp_path / "vocab" / file).write_bytes(content)
    with pytest.raises(ModelFormatError, match=message):
        open_table(tmp_path)


def test_a_pipeline_without_vectors(tmp_path):
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(ModelFormatError, match="CE012.*the pipeline has no vectors"):
        open_table(tmp_path)
