"""models/static/readers/gensim.py: gensim's pickles, loaded only where the config allows it."""

import io
import pickle
import shutil
import warnings

import gensim
import numpy as np
import pytest
from gensim.models import FastText, Word2Vec
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.readers import gensim as reader
from tests.models.static.damage import damage, damages, read_or_refused
from tests.models.static.gensim_tables import DATA, assert_same, pack


@pytest.fixture(scope="module")
def pickles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickles")
    texts = [["steam", "train", "NOUN"], ["train", "steam"]]
    word2vec = Word2Vec(texts, vector_size=4, min_count=1, workers=1, epochs=1)
    fasttext = FastText(texts, vector_size=4, min_count=1, workers=1, epochs=1, bucket=50)
    word2vec.save(str(folder / "w2v.model"))
    word2vec.wv.save(str(folder / "w2v.kv"))
    fasttext.save(str(folder / "ft.model"))
    fasttext.wv.save(str(folder / "ft.kv"))
    word2vec.wv.save(str(folder / "apart.kv"), sep_limit=1)
    word2vec.wv.save(str(folder / "packed.kv.gz"))
    return folder, word2vec.wv, fasttext.wv


@pytest.mark.parametrize("name", ["w2v.model", "w2v.kv", "ft.model", "ft.kv", "apart.kv", "packed.kv.gz"])
def test_gensims_pickles_only_where_allowed(pickles, name):
    folder, word2vec, fasttext = pickles
    with pytest.raises(ModelFormatError, match="CE014.*allow_pickle = true"):
        open_table(folder / name)
    table = open_table(folder / name, allow_pickle=True)
    assert_same(table, fasttext if name.startswith("ft") else word2vec)
    if name.startswith("ft"):
        np.testing.assert_array_equal(table.subwords.row("trains"), fasttext["trains"])


def test_a_folder_with_a_pickle_and_its_arrays(pickles, tmp_path):
    folder, word2vec, _ = pickles
    for file in folder.glob("apart.kv*"):
        shutil.copy(file, tmp_path)
    assert len(list(tmp_path.iterdir())) > 1
    with pytest.raises(ModelFormatError, match="CE014"):
        open_table(tmp_path)
    assert_same(open_table(tmp_path, allow_pickle=True), word2vec)


OLD = [
    *DATA.glob("old_w2v_models/w2v_*.mdl"),
    *DATA.glob("old_d2v_models/d2v_*.mdl"),
    *DATA.glob("word2vec_pre_kv*_py*"),
]
OLD += [DATA / name for name in ("doc2vec_old", "doc2vec_old_sep", "word2vec_old", "word2vec_old_sep", "word2vec_3.3")]
OLD += [DATA / name for name in ("fasttext_old", "fasttext_old_sep", "ft_model_2.3.0", "ft_kv_3.6.0.model.gz")]
OLD += [DATA / name for name in ("lee_fasttext", "old_keyedvectors_320.dat", "model-from-gensim-3.8.0.w2v")]
OLD += [
    DATA / name for name in ("d2v-lee-v0.13.0", "w2v-lee-v0.12.0", "large_tag_doc_10_iter50", "small_tag_doc_5_iter50")
]
OLD = [path for path in OLD if path.suffix != ".npy"]


@pytest.mark.parametrize("path", OLD, ids=[path.name for path in OLD])
def test_pickles_of_older_gensims(path):
    table = open_table(path, allow_pickle=True)
    words, rows = reader._read_old(path)
    assert list(table.words) == words and len(words) > 2
    np.testing.assert_array_equal(table.vectors, rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = gensim.utils.SaveLoad.load(str(path))
        expected = getattr(loaded, "wv", loaded)
    except Exception:  # gensim can't load it: rows that lie beside it are those
        beside = [file for file in path.parent.glob(f"{path.name}.*npy") if ".wv.syn0.npy" in file.name]
        for file in beside:
            np.testing.assert_array_equal(np.load(file), table.vectors)
        return
    assert_same(table, expected)


def test_all_versions_are_there():
    assert len(OLD) > 40


def test_rows_of_one_corpus_are_of_one_kind():
    # the texts that gensim's old files were trained on are few: their words are the same in all versions
    words = [set(open_table(path, allow_pickle=True).words) for path in OLD if path.parent.name == "old_w2v_models"]
    assert all(each == words[0] for each in words)


class Called:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


@pytest.mark.parametrize("where", ["in a list", "as words", "as rows"])
def test_what_gensim_cant_load_calls_nothing(tmp_path, where):
    state = {"index2word": ["a"], "syn0": np.eye(1, dtype="f")}
    state |= {"in a list": {"other": [Called()]}, "as words": {"index2word": Called()}, "as rows": {"syn0": Called()}}[
        where
    ]
    stream = io.BytesIO()
    pickle.dump(state, stream)
    (tmp_path / "old").write_bytes(stream.getvalue())
    with (tmp_path / "old").open("rb") as file:
        kept = reader._Unpickler(file).load()
    assert set(kept) == set(state)
    assert reader._read_old(tmp_path / "old") is None  # a dict has no attributes


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_a_pickle_is_not_loaded_unasked(tmp_path, protocol, how):
    path = tmp_path / "bomb.kv"
    path.write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(ModelFormatError):
        open_table(pack(path, how))


def test_a_pickle_of_something_else(tmp_path):
    (tmp_path / "x.kv").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFormatError, match="holds a dict, not word vectors"):
        open_table(tmp_path / "x.kv", allow_pickle=True)


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@damages
@given(st.data())
def test_damage_is_named(pickles, tmp_path, data):
    folder, _, _ = pickles
    for name in ("w2v.kv", "ft.kv"):
        (tmp_path / name).write_bytes(damage(data, (folder / name).read_bytes(), 2)[:4000])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_or_refused(tmp_path / name, allow_pickle=True)
