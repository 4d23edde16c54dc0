"""tok2vec/transformer_output: rows of one forward pass, their width, and what is saved, for both packages.

For a ``curated_transformer`` and, where it is installed, a ``transformer`` of spacy-transformers: the environment of
``make test-transformers`` has both.
"""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from tests.tok2vec.transformer_output.upstreams import (
    TEXTS,
    both_kinds,
    embedding_config,
    initialize_upstream,
    make_encoder,
    make_examples,
    needs_transformers,
    network,
    rows_by_hand,
    tagger_config,
)


@both_kinds
def test_a_tagger_an_embedding_component_and_the_upstream_share_one_forward_pass(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.add_pipe("bert_embeddings", config=embedding_config())
    nlp.initialize(lambda: make_examples(nlp))
    calls = []
    network(nlp).register_forward_hook(lambda *args: calls.append(1))
    doc = nlp("the dog runs")
    assert len(calls) == 1
    np.testing.assert_allclose(doc[1]._.vector, rows_by_hand(nlp, doc)[1].detach().numpy(), atol=1e-5)


@both_kinds
def test_an_embedding_component_serves_the_rows_and_says_which_have_none(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("bert_embeddings", config=embedding_config())
    initialize_upstream(nlp)
    assert nlp("")._.embeddings["bert_embeddings"].shape == (0, 16)
    doc = nlp("the  bank \x00")
    assert [token._.vector_status for token in doc][:3] == ["ok", "space", "ok"]
    assert not doc[1]._.vector.any() and not doc[1]._.has_vector and doc[0]._.has_vector
    assert [token._.vector_status for token in nlp(" \n ")] == ["space"]


# width, saving


@both_kinds
@pytest.mark.parametrize(
    ("settings", "width"),
    [({}, 16), ({"layer_mix": "mean"}, 16), ({"layer_mix": "concat", "layers": [0, 1]}, 32)],
)
def test_the_width_is_known_when_the_pipeline_is_initialised(kind, settings, width, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config(kind, **settings))
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("tagger").model.layers[0].get_dim("nO") == width


@both_kinds
@pytest.mark.parametrize(("layers", "n_weights"), [([0, -1], 2), ("all", None)])
def test_a_scalar_mix_has_its_weights_as_soon_as_the_number_of_layers_is_known(kind, layers, n_weights, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config(kind, layer_mix="scalar_mix", layers=layers))
    nlp.initialize(lambda: make_examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    assert (encoder.get_param("mix_weights").shape[0] if encoder.has_param("mix_weights") else None) == n_weights
    nlp("the bank")
    assert encoder.get_param("mix_weights").shape == (n_weights or 3,)


@both_kinds
def test_concatenating_all_layers_is_refused_at_initialisation(kind, make_upstream):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config(kind, layer_mix="concat"))
    with pytest.raises(ValueError, match="CE071.*Fix: name the layers as a list"):
        nlp.initialize(lambda: make_examples(nlp))


@both_kinds
def test_a_width_that_is_not_that_of_the_upstream_is_refused(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind, width=17))

    def first_doc():
        # a transformer tells its width here, a curated one with its first rows
        nlp.initialize(lambda: make_examples(nlp))
        nlp("the bank")

    with pytest.raises(ValueError, match="CE072.*16 columns.*17.*set width = 16"):
        first_doc()


@needs_transformers
def test_a_component_without_width_is_named_at_initialisation(make_upstream):
    nlp = make_upstream("transformers")
    nlp.add_pipe("bert_embeddings", config=embedding_config(width=None))
    with pytest.raises(ValueError, match="CE071.*width is null.*Fix: set width"):
        nlp.initialize(lambda: make_examples(nlp))


@both_kinds
def test_a_saved_pipeline_gives_the_same_rows(kind, make_upstream, tmp_path):
    nlp = make_upstream(kind, all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config(kind, layer_mix="scalar_mix", grad_factor=0))
    nlp.add_pipe("bert_embeddings", config=embedding_config(layer_mix="scalar_mix"))
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    encoder = loaded.get_pipe("tagger").model.layers[0]
    assert encoder.get_dim("nO") == 16
    assert encoder.get_param("mix_weights").any()
    for text in TEXTS:
        docs = [nlp(text), loaded(text)]
        rows = [p.get_pipe("tagger").model.layers[0].predict([d])[0] for p, d in zip((nlp, loaded), docs)]
        assert np.array_equal(*rows)
        assert np.array_equal(*(doc._.embeddings["bert_embeddings"] for doc in docs))
    assert encoder.layers[0] in loaded.get_pipe("trf").listeners


@both_kinds
def test_a_doc_that_was_saved_gives_the_same_rows(kind, initialized):
    nlp = initialized(kind)
    doc = nlp(TEXTS[0])
    twin = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert np.array_equal(make_encoder().predict([twin])[0], make_encoder().predict([doc])[0])


@both_kinds
def test_an_encoder_can_be_pickled(kind, initialized):
    nlp = initialized(kind)
    docs = list(nlp.pipe(TEXTS))
    encoder = make_encoder()
    rows = encoder.predict(docs)
    twin = pickle.loads(pickle.dumps(encoder))
    assert all(np.array_equal(a, b) for a, b in zip(twin.predict(docs), rows))


# mistakes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upstream", ""),
        ("subword_pooling", "median"),
        ("layers", "last"),
        ("layers", []),
        ("layer_mix", "max"),
        ("grad_factor", -1),
        ("grad_factor", "1"),
        ("width", 0),
        ("width", "16"),
    ],
)
def test_a_bad_setting_is_refused_when_built(key, value):
    with pytest.raises(ValueError, match=f"'{key}' is "):
        make_encoder(**{key: value})


def test_importing_the_module_imports_neither_package():
    code = (
        "import sys, spacy_ctx_embed.tok2vec.transformer_output.model\n"
        "assert not {'spacy_transformers', 'spacy_curated_transformers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@both_kinds
def test_a_copy_in_a_listening_component_reads_the_same_upstream(kind, make_upstream, tmp_path):
    nlp = make_upstream(kind)
    nlp.add_pipe("bert_embeddings", name="rows", config=embedding_config(layers=[-1], layer_mix="scalar_mix"))
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": "rows"}
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}})
    nlp.initialize(lambda: make_examples(nlp))
    before = nlp.get_pipe("tagger").model.predict([nlp(TEXTS[0])])[0]
    nlp.replace_listeners("rows", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("rows")
    after = nlp.get_pipe("tagger").model.predict([nlp(TEXTS[0])])[0]
    np.testing.assert_allclose(after, before, atol=1e-5)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)  # where the upstream finds the listener in it, and it learns
    again.update(make_examples(again), sgd=again.resume_training())
    np.testing.assert_allclose(
        spacy.load(tmp_path).get_pipe("tagger").model.predict([nlp(TEXTS[0])])[0], after, atol=1e-5
    )
