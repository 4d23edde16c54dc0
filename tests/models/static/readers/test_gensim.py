"""models/static/readers/gensim.py: gensim's pickles, loaded only where the config allows it."""

import pickle
import shutil

import gensim
import numpy as np
import pytest
from gensim.models import FastText, Word2Vec

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table
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


@pytest.mark.parametrize("name", ["model-from-gensim-3.8.0.w2v", "word2vec_3.3", "ft_kv_3.6.0.model.gz"])
def test_pickles_of_older_gensims(name):
    try:
        expected = gensim.utils.SaveLoad.load(str(DATA / name))
    except Exception:
        with pytest.raises(ModelFormatError, match="CE012"):
            open_table(DATA / name, allow_pickle=True)
    else:
        assert open_table(DATA / name, allow_pickle=True).words == list(getattr(expected, "wv", expected).index_to_key)


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
