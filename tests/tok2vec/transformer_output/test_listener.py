"""transformer_output/listener.py: an upstream that is not there, or sent no batch or that of other Docs, is named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from thinc.types import Ragged

from spacy_ctx_embed.tok2vec.transformer_output import listener as transformer_output_listener
from tests.tok2vec.transformer_output.upstreams import (
    HAS_CURATED,
    TEXTS,
    both_kinds,
    make_encoder,
    make_examples,
    tagger_config,
)


@both_kinds
def test_docs_that_the_upstream_did_not_see_are_an_error_that_names_it(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.initialize(lambda: make_examples(nlp))
    with nlp.select_pipes(disable=["trf"]), pytest.raises(ValueError, match="CE070.*upstream = 'trf'.*Fix: put 'trf'"):
        nlp("other words")
    with pytest.raises(ValueError, match="CE070.*sent no batch.*annotating_components"):
        nlp.update(make_examples(nlp), exclude=["trf"])


@both_kinds
def test_samples_of_the_initialisation_have_zero_rows_until_the_upstream_has_run(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.initialize(lambda: make_examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    assert not encoder.predict([nlp.make_doc(TEXTS[0])])[0].any()
    nlp("the bank")
    with pytest.raises(ValueError, match="CE070"):
        encoder.predict([nlp.make_doc(TEXTS[0])])


@both_kinds
def test_an_upstream_that_is_not_there_is_named_at_initialisation(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind, upstream="tfr", width=None))
    with pytest.raises(ValueError, match="CE071.*'tfr'.*Fix: set width"):
        nlp.initialize(lambda: make_examples(nlp))


@both_kinds
def test_an_upstream_that_is_not_there_is_named_in_the_first_step(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind, upstream="tfr", width=16))
    nlp.initialize(lambda: make_examples(nlp))
    with pytest.raises(ValueError, match="CE070.*'tfr'.*sent no batch"):
        nlp.update(make_examples(nlp))


@both_kinds
def test_a_batch_in_another_order_is_refused(kind, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind))
    nlp.initialize(lambda: make_examples(nlp))
    encoder = nlp.get_pipe("tagger").model.layers[0]
    examples = make_examples(nlp, ["the dog runs", "we sat"])
    docs = [example.predicted for example in examples]
    for wrong, reason in ((docs[::-1], "aligned to 3 tokens, the Doc has 2"), (docs[:1], "a batch of 2 Docs")):
        nlp.get_pipe("trf").update(examples)
        with pytest.raises(ValueError, match=f"CE072.*{reason}"):
            encoder.begin_update(wrong)
    nlp.get_pipe("trf").update(examples)
    with pytest.raises(ValueError, match="CE072.*other words"):
        encoder.begin_update([nlp.make_doc("the dog barks"), docs[1]])


@both_kinds
def test_tokens_merged_after_the_upstream_ran_are_refused(kind, initialized):
    nlp = initialized(kind)
    doc = nlp("the river bank")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    with pytest.raises(ValueError, match="CE072.*aligned to 3 tokens, the Doc has 2"):
        make_encoder().predict([doc])


def test_outputs_of_another_kind_are_named(initialized):
    nlp = initialized("curated" if HAS_CURATED else "transformers")
    doc = nlp.make_doc("the bank")
    doc._.trf_data = Ragged(np.zeros((2, 16), dtype="f"), np.ones(2, dtype="i"))
    with pytest.raises(ValueError, match="CE070.*is a Ragged"):
        make_encoder().predict([doc])


def test_without_either_package_the_error_names_both_extras(monkeypatch):
    for module in ("spacy_transformers.layers.listener", "spacy_curated_transformers.models.listeners"):
        monkeypatch.setitem(sys.modules, module, None)
    transformer_output_listener.listener_class.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"CE005.*\[transformers\].*\[curated\]"):
            make_encoder()
    finally:
        transformer_output_listener.listener_class.cache_clear()
