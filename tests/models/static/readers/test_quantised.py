"""models/static/readers/quantised.py: fastText's .ftz, with norms apart and n-grams pruned, or not.

The writer below is after fastText's ``QuantMatrix::save``; files of fastText itself were compared with its own
``get_word_vector`` when this was written.
"""

import struct

import numpy as np
import pytest
from gensim.models.fasttext import ft_ngram_hashes
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table, sniff
from spacy_ctx_embed.models.static.tables.folder import read_table, write_table
from tests.models.static.damage import damage, damages, read_or_refused

WORDS = ["</s>", "the", "landlord", "straße", "日本語", "I"]
BUCKETS, MIN_N, MAX_N = 40, 2, 4
UNKNOWN = ["landlady", "strassen", "🙂", "x"]


def quantiser_bytes(centroids, width, size):
    stretches = -(-width // size)
    last = width - size * (stretches - 1)
    return struct.pack("<4i", width, stretches, size, last) + centroids.astype("<f4").tobytes()


def model_of(*, width=7, size=3, norms=True, pruned=None, labels=2, ns=(MIN_N, MAX_N), version=12, seed=0):
    """Bytes of a model, and its matrix as fastText's addRowToVector gives it, row by row."""
    random = np.random.default_rng(seed)
    n_rows = len(WORDS) + (BUCKETS if pruned is None else len(pruned))
    stretches = -(-width // size)
    codes, centroids = random.integers(0, 256, (n_rows, stretches)), random.normal(size=width * 256).astype("f4")
    norm_codes, norm_centroids = random.integers(0, 256, n_rows), random.normal(size=256).astype("f4")
    matrix = np.zeros((n_rows, width), "f4")
    for row in range(n_rows):
        for stretch in range(stretches):
            last = stretch == stretches - 1
            n = width - size * stretch if last else size
            start = stretch * 256 * size + codes[row, stretch] * n
            matrix[row, stretch * size : stretch * size + n] = centroids[start : start + n]
        matrix[row] *= norm_centroids[norm_codes[row]] if norms else 1
    n_bucket = BUCKETS if ns[1] else 0
    parts = [struct.pack("<2i", 793712314, version)]
    parts.append(struct.pack("<12id", width, 5, 5, 1, 5, 1, 2, 3, n_bucket, *ns, 100, 1e-4))
    parts.append(
        struct.pack("<3iqq", len(WORDS) + labels, len(WORDS), labels, 99, -1 if pruned is None else len(pruned))
    )
    parts += [word.encode() + b"\0" + struct.pack("<qb", 9, 0) for word in WORDS]
    parts += [b"__label__%d\0" % place + struct.pack("<qb", 9, 1) for place in range(labels)]
    parts += [struct.pack("<2i", bucket, row) for bucket, row in (pruned or {}).items()]
    parts.append(struct.pack("<?", True) + struct.pack("<?qqi", norms, n_rows, width, codes.size))
    parts += [codes.astype("u1").tobytes(), quantiser_bytes(centroids, width, size)]
    parts += [norm_codes.astype("u1").tobytes(), quantiser_bytes(norm_centroids, 1, 1)] if norms else []
    parts.append(struct.pack("<?qq", False, labels, width) + bytes(4 * labels * width))  # of the labels
    return b"".join(parts), matrix


def expected_of(word, matrix, pruned, ns):
    hashes = ft_ngram_hashes(word, *ns, BUCKETS) if ns[1] and word != "</s>" else []
    places = hashes if pruned is None else [pruned[place] for place in hashes if place in pruned]
    rows = [matrix[WORDS.index(word)]] if word in WORDS else []
    rows += [matrix[len(WORDS) + place] for place in places]
    return np.mean(rows, axis=0) if rows else None


PRUNED = {31: 2, 4: 0, 17: 1, 0: 4, 39: 3, 8: 5}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("pruned", [None, PRUNED, {}])
def test_words_and_rows(tmp_path, size, norms, pruned):
    content, matrix = model_of(size=size, norms=norms, pruned=pruned)
    (tmp_path / "m.ftz").write_bytes(content)
    assert sniff(tmp_path / "m.ftz") == "fasttext"
    table = open_table(tmp_path / "m.ftz")
    assert table.words == WORDS
    write_table(tmp_path, table)
    for each in (table, read_table(tmp_path)):
        for row, word in enumerate(WORDS):
            expected = expected_of(word, matrix, pruned, (MIN_N, MAX_N))
            np.testing.assert_allclose(each.take(np.array([row]))[0], expected, rtol=1e-5, atol=1e-6)
        for word in UNKNOWN:
            expected = expected_of(word, matrix, pruned, (MIN_N, MAX_N))
            found = None if each.subwords is None else each.subwords.row(word)
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (table.subwords is None) == (pruned == {})
    assert open_table(tmp_path / "m.ftz", subwords=False).subwords is None
    np.testing.assert_array_equal(open_table(tmp_path / "m.ftz", limit=2).vectors, table.vectors[:2])


def test_classifiers_of_older_versions_have_no_ngrams(tmp_path):
    content, matrix = model_of(version=11)
    (tmp_path / "m.ftz").write_bytes(content)
    table = open_table(tmp_path / "m.ftz")
    assert table.subwords is None
    np.testing.assert_allclose(table.vectors, matrix[: len(WORDS)], rtol=1e-6)


def test_a_large_block(tmp_path, monkeypatch):
    from spacy_ctx_embed.models.static.readers import quantised

    content, _ = model_of()
    (tmp_path / "m.ftz").write_bytes(content)
    whole = open_table(tmp_path / "m.ftz")
    monkeypatch.setattr(quantised, "_BLOCK", 4)
    np.testing.assert_array_equal(open_table(tmp_path / "m.ftz").vectors, whole.vectors)


# Damage


@pytest.mark.filterwarnings("ignore:.CW00")  # a damaged word may be one that is no UTF-8, or there before
@damages
@given(st.data())
def test_damage_is_named(tmp_path, data):
    content, _ = model_of(norms=data.draw(st.booleans()), pruned=data.draw(st.sampled_from([None, PRUNED])))
    (tmp_path / "m.ftz").write_bytes(damage(data, content[:-9], 64))
    read_or_refused(tmp_path / "m.ftz")


def test_every_cut_is_named(tmp_path):
    content, _ = model_of(pruned=PRUNED)
    after = 17 + 4 * 2 * 7  # the matrix of the labels, which is not read
    for n_kept in range(80, len(content) - after, 97):
        (tmp_path / "m.ftz").write_bytes(content[:n_kept])
        with pytest.raises(ModelFormatError, match="CE01[23]"):
            open_table(tmp_path / "m.ftz")


@pytest.mark.parametrize(
    ("pruned", "message"),
    [({99: 0}, "index of n-grams"), ({-1: 0}, "index of n-grams"), ({1: 0, 2: 0}, "index"), ({1: 7}, "index")],
)
def test_an_index_that_does_not_fit(tmp_path, pruned, message):
    content, _ = model_of(pruned=pruned)
    (tmp_path / "m.ftz").write_bytes(content)
    with pytest.raises(ModelFormatError, match=f"CE013.*damaged.*{message}"):
        open_table(tmp_path / "m.ftz")
