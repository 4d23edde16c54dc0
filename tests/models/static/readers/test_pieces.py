"""models/static/readers/pieces.py: folders of model2vec and of StaticEmbedding give the rows of their own libraries.

Here too: models/static/tables/pieces.py and encoders/static/parts.py. model2vec is not in the test environment: what
its ``encode`` does is written down again, and was compared with the library itself.
"""

import json
import pickle
import shutil

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from spacy.tokens import Doc
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from spacy_ctx_embed.cli.tables.convert_vectors import convert_vectors
from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.static import parts
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.ask import most_similar
from spacy_ctx_embed.models.static.formats import open_table
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from tests.models.static.damage import damage, damages, read_or_refused

PIECES = ["[PAD]", "[UNK]", "the", "river", "bank", "##s", "##ing", "s", "a", "b", "##a", "##b", "naive", ","]
WIDTH = 6
KNOWN = ["the", "rivers", "Banks", "banking", "ab", "abba", "bank,", "Naïve", "the river"]
UNKNOWN = ["xyz", "日本", "🙂"]
PARTLY = ["the zzz", "river, 🙂"]


def tokenizer_of(kind="wordpiece"):
    if kind == "unigram":
        vocab = [
            ("<unk>", 0.0),
            *((piece.removeprefix("##"), -1.0 - place / 10) for place, piece in enumerate(PIECES[2:])),
        ]
        made = Tokenizer(models.Unigram(list(dict.fromkeys(vocab)), unk_id=0))
    elif kind == "bpe":
        vocab = {piece: place for place, piece in enumerate("a b n k s e h t the ba ban bank i r v er".split())}
        made = Tokenizer(models.BPE(vocab, [("b", "a"), ("ba", "n"), ("ban", "k"), ("e", "r")]))
    else:
        made = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.enable_padding(length=8)
    return made


def rows_of(n, dtype="float32"):
    rows = np.random.default_rng(n).normal(size=(n, WIDTH))
    return (40 * rows).clip(-127, 127).astype(dtype) if dtype == "int8" else rows.astype(dtype)


def save_model2vec(folder, *, kind="wordpiece", dtype="float32", mapped=False, normalize=True, **config):
    tokenizer = tokenizer_of(kind)
    n = tokenizer.get_vocab_size()
    arrays = {"embeddings": rows_of(n, dtype)}
    if mapped:  # vocabulary quantisation
        arrays = {"embeddings": rows_of(5, dtype), "mapping": np.arange(n) * 3 % 5, "weights": rows_of(n)[:, 0] + 3}
    folder.mkdir(exist_ok=True)
    save_file(arrays, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    srsly.write_json(folder / "config.json", {"model_type": "model2vec", "normalize": normalize, **config})
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    if normalize:
        modules += [{"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}]
    srsly.write_json(folder / "modules.json", modules)
    return folder


def by_model2vec(folder, words):
    # StaticModel.encode, written down again
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    arrays, config = load_file(folder / "model.safetensors"), srsly.read_json(folder / "config.json")
    model = json.loads(tokenizer.to_str())["model"]
    unknown = model.get("unk_id", tokenizer.token_to_id(model.get("unk_token") or ""))
    rows = []
    for word in words:
        ids = [place for place in tokenizer.encode(word, add_special_tokens=False).ids if place != unknown]
        ids = ids[: config.get("max_length", 512)]
        found = arrays["embeddings"][arrays["mapping"][ids] if "mapping" in arrays else ids].astype("f8")
        if "weights" in arrays:
            found *= arrays["weights"][ids, None]
        row = found.mean(axis=0) if len(ids) else np.zeros(WIDTH)
        rows.append(row / (np.linalg.norm(row) + 1e-32) if config["normalize"] else row)
    return np.array(rows, "f4")


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bpe"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "float64"])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_rows_are_model2vecs(tmp_path, kind, dtype, mapped, normalize):
    folder = save_model2vec(tmp_path / "m", kind=kind, dtype=dtype, mapped=mapped, normalize=normalize)
    table = open_table(folder)
    words = [*KNOWN, *PARTLY, *UNKNOWN]
    expected = by_model2vec(folder, words)
    rows, known = table.word_parts.rows(words)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)
    if kind == "wordpiece":
        assert known.tolist() == [True] * len(KNOWN + PARTLY) + [False] * len(UNKNOWN)
    (tmp_path / "saved").mkdir()
    write_table(tmp_path / "saved", table)
    for saved in (read_table(tmp_path / "saved"), pickle.loads(pickle.dumps(table))):
        np.testing.assert_array_equal(saved.subwords.rows(words)[0], rows)
        assert saved.digest() == table.digest()
        for word, row, is_known in zip(words, rows, known):
            found = saved.subwords.row(word)
            assert (found is not None) == is_known
            np.testing.assert_array_equal(found if is_known else np.zeros(WIDTH), row)


@pytest.mark.parametrize("max_length", [2, None])
def test_long_words_are_cut_as_model2vec_cuts(tmp_path, max_length):
    folder = save_model2vec(tmp_path / "m", max_length=max_length)
    expected = by_model2vec(folder, ["ab" if max_length else "abab", "the"])
    rows, _ = open_table(folder).subwords.rows(["abab", "the"])
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_modules", [1, 2])
@pytest.mark.parametrize("source", ["own", "model2vec"])
def test_rows_are_those_of_sentence_transformers(tmp_path, n_modules, source):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    if source == "own":
        modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
        made = [modules.StaticEmbedding(tokenizer_of(), embedding_weights=rows_of(len(PIECES))), modules.Normalize()]
        model = sentence_transformers.SentenceTransformer(modules=made[:n_modules], device="cpu")
        model.save(str(tmp_path / "m"))
    else:
        save_model2vec(tmp_path / "m", normalize=n_modules == 2, mapped=True)
        model = sentence_transformers.SentenceTransformer(str(tmp_path / "m"), device="cpu")
    words = [*KNOWN, *(PARTLY if source == "own" else [])]  # model2vec leaves unknown pieces out
    rows, known = open_table(tmp_path / "m").subwords.rows([*words, *UNKNOWN])
    np.testing.assert_allclose(rows[: len(words)], model.encode(words), rtol=1e-5, atol=1e-5)
    assert known.tolist() == [True] * len(words) + [False] * len(UNKNOWN)


def test_bfloat16(tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    folder = save_model2vec(tmp_path / "m")
    save_torch({"embeddings": torch.tensor(rows_of(len(PIECES))).bfloat16()}, folder / "model.safetensors")
    rows, _ = open_table(folder).subwords.rows(KNOWN)
    np.testing.assert_allclose(rows, open_table(save_model2vec(tmp_path / "n")).subwords.rows(KNOWN)[0], atol=1e-2)


# In a pipeline


def pipeline_of(folder, **settings):
    nlp = spacy.blank("xx")
    nlp.add_pipe("static_embeddings", config={"model": {"name": str(folder), **settings}})
    return nlp


def test_tokens_of_a_pipeline(tmp_path):
    folder = save_model2vec(tmp_path / "m")
    nlp = pipeline_of(folder)
    words = ["the", "Banks", "\n", "xyz", "the", "banking"]
    docs = list(nlp.pipe([Doc(nlp.vocab, words), Doc(nlp.vocab, words[::-1]), Doc(nlp.vocab, [])]))
    expected = by_model2vec(folder, words)
    expected[2] = 0
    for doc, order in zip(docs, (slice(None), slice(None, None, -1))):
        np.testing.assert_allclose([token._.vector for token in doc], expected[order], rtol=1e-5, atol=1e-6)
        assert [token._.vector_status for token in doc] == ["ok", "ok", "space", "oov", "ok", "ok"][order]
    nlp.to_disk(tmp_path / "saved")
    shutil.rmtree(folder)
    again = spacy.load(tmp_path / "saved")("the Banks xyz")
    np.testing.assert_array_equal(
        [token._.vector for token in again], [token._.vector for token in nlp("the Banks xyz")]
    )


@pytest.mark.parametrize(
    ("settings", "status", "word"),
    [
        ({"lowercase": "fallback"}, "fallback", "naive"),
        ({"lowercase": "never"}, "oov", None),
        ({"lowercase": "always"}, "ok", "naive"),
        ({"lowercase": "never", "oov": "mean"}, "fallback", "mean"),
        ({"lowercase": "never", "oov": "subword"}, "oov", None),
    ],
)
def test_policies(tmp_path, settings, status, word):
    folder = save_model2vec(tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()  # which keeps capitals
    tokenizer.save(str(folder / "tokenizer.json"))
    token = pipeline_of(folder, **settings)("NAIVE")[0]
    assert token._.vector_status == status
    table = open_table(folder)
    expected = table.mean() if word == "mean" else np.zeros(WIDTH) if word is None else table.subwords.row(word)
    np.testing.assert_array_equal(token._.vector, expected)


@damages
@given(st.lists(st.lists(st.sampled_from([*KNOWN, *UNKNOWN, " ", "x1", "ba"]), max_size=8), max_size=6))
def test_what_is_remembered_changes_no_row(tmp_path_factory, batches):
    folder = save_model2vec(tmp_path_factory.mktemp("m") / "m", mapped=True)
    memory = pytest.MonkeyPatch()
    with memory.context() as patch:
        patch.setattr(parts, "_MOST_BYTES", 3 * 4 * WIDTH)  # three rows
        nlp = pipeline_of(folder, lowercase="never")
        table = open_table(folder)
        for words in batches:
            doc = nlp(Doc(nlp.vocab, words))
            rows, known = table.subwords.rows(words)
            for token, row, is_known in zip(doc, rows, known):
                np.testing.assert_array_equal(token._.vector, row)
                expected = Status.SPACE if token.text.isspace() else Status.OK if is_known else Status.OOV
                assert token._.vector_status == expected.label


def test_smaller_numbers(tmp_path):
    from spacy_ctx_embed.models.static.shrink import shrink

    table = open_table(save_model2vec(tmp_path / "m", mapped=True))
    for dtype, width in (("float16", None), ("int8", None), ("float32", 3)):
        small = shrink(table, dtype=dtype, width=width)
        rows, known = small.subwords.rows(KNOWN)
        assert known.all()
        assert rows.shape == (len(KNOWN), width or WIDTH)
        if width is None:
            np.testing.assert_allclose(rows, table.subwords.rows(KNOWN)[0], atol=0.03)


def test_the_commands(tmp_path):
    folder = save_model2vec(tmp_path / "m")
    report = convert_vectors(str(folder), tmp_path / "out", dtype="int8", price=True)
    assert (report["words"], report["width"], report["dtype"]) == (0, WIDTH, "int8")
    assert [price["test"] for price in report["price"]][:2] == ["wordsim353", "simlex999"]
    table = read_table(tmp_path / "out")
    expected = by_model2vec(folder, KNOWN)
    np.testing.assert_allclose(table.subwords.rows(KNOWN)[0], expected, atol=0.03)
    with pytest.raises(ValueError, match="CE001.*the row of every word is made of parts"):
        most_similar(table, ["the"])


# Damage


def put(folder, **arrays):
    save_file(arrays, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: (m / "tokenizer.json").unlink(), "CE012.*tokenizer.json"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "CE012.*tokenizer.json"),
        (lambda m: (m / "model.safetensors").unlink(), "CE012.*model.safetensors"),
        (lambda m: (m / "model.safetensors").write_bytes(b"x" * 50), "CE012.*model.safetensors"),
        (lambda m: (m / "config.json").write_text("{"), "CE012.*config.json"),
        (lambda m: (m / "config.json").write_text("[]"), "CE012.*config.json.*no object"),
        (lambda m: (m / "config.json").write_text('{"max_length": "x"}'), "max_length is 'x'"),
        (lambda m: put(m, other=rows_of(3)), "no array 'embeddings' or 'embedding.weight', but other"),
        (lambda m: put(m, embeddings=rows_of(3)), "3 rows, too few for the 14 pieces"),
        (lambda m: put(m, embeddings=rows_of(14)[0]), "too few"),
        (lambda m: put(m, embeddings=np.zeros((14, 0), "f4")), "CE013.*empty"),
        (lambda m: put(m, embeddings=rows_of(14) * np.float32("nan")), "CE013.*part 1 .*not finite"),
        (lambda m: put(m, embeddings=rows_of(14) > 0), "of type bool"),
        (lambda m: put(m, embeddings=rows_of(3), mapping=np.arange(14)), "3 rows, too few"),
        (lambda m: put(m, embeddings=rows_of(3), mapping=np.arange(3)), r"its mapping has shape \(3,\)"),
        (lambda m: put(m, embeddings=rows_of(3), mapping=np.ones(14)), "its mapping is of type float64"),
        (lambda m: put(m, embeddings=rows_of(14), weights=np.ones(3)), r"its weights has shape \(3,\)"),
        (lambda m: put(m, embeddings=rows_of(14), weights=np.full(14, np.inf)), "weights is not finite"),
        (
            lambda m: (m / "modules.json").write_text(
                json.dumps([{"type": "x.StaticEmbedding", "path": "."}, {"type": "x.Dense", "path": "1"}])
            ),
            "it has a module x.Dense",
        ),
    ],
)
def test_folders_that_do_not_fit(tmp_path, change, message):
    folder = save_model2vec(tmp_path / "m")
    change(folder)
    with pytest.raises(ModelFormatError, match=message) as caught:
        open_table(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@damages
@given(st.data())
def test_damage_is_named(tmp_path, data):
    folder = save_model2vec(tmp_path / "m", mapped=True)
    file = folder / data.draw(st.sampled_from(["model.safetensors", "tokenizer.json", "config.json", "modules.json"]))
    file.write_bytes(damage(data, file.read_bytes(), 0))
    read_or_refused(folder)


def test_a_bert_folder_is_none(tmp_path):
    save_file({"embeddings.word_embeddings.weight": rows_of(14)}, tmp_path / "model.safetensors")
    tokenizer_of().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelFormatError, match="0 tables in it"):
        open_table(tmp_path)


def test_a_saved_folder_whose_tokenizer_is_damaged(tmp_path):
    table = open_table(save_model2vec(tmp_path / "m"))
    write_table(tmp_path, table)
    file = tmp_path / "tokenizer.json"
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(ModelFormatError, match="CE012.*tokenizer.json"):
        read_table(tmp_path).subwords.row("the")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelFormatError, match="CE012"):
        read_table(tmp_path)
