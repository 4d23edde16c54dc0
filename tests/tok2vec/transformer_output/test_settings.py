"""transformer_output/settings.py: layers that the upstream does not give, or can't train, are refused."""

from __future__ import annotations

import pytest

from tests.tok2vec.transformer_output.upstreams import (
    both_kinds,
    make_encoder,
    make_examples,
    needs_transformers,
    tagger_config,
)


@both_kinds
@pytest.mark.parametrize("settings", [{"layer_mix": "mean"}, {"layers": [1]}, {"layers": [-2, -1], "layer_mix": "sum"}])
def test_layers_that_the_upstream_does_not_give_are_an_error_that_names_its_setting(kind, settings, make_upstream):
    nlp = make_upstream(kind)
    nlp.add_pipe("tagger", config=tagger_config(kind, **settings))
    key = "all_layer_outputs = true" if kind == "curated" else "output_hidden_states"
    nlp.initialize(lambda: make_examples(nlp))
    for run in (lambda: nlp.update(make_examples(nlp)), lambda: nlp("the bank")):
        with pytest.raises(ValueError, match=f"CE073.*{key}.*config of 'trf'"):
            run()


@both_kinds
def test_a_layer_that_does_not_exist_is_named(kind, initialized):
    nlp = initialized(kind, all_layers=True)
    with pytest.raises(ValueError, match=r"'layers' is \[3\].*-3 to 2"):
        make_encoder(layers=[3]).predict([nlp("the bank")])


@needs_transformers
def test_training_other_layers_of_spacy_transformers_is_refused(make_upstream):
    nlp = make_upstream("transformers", all_layers=True)
    nlp.add_pipe("tagger", config=tagger_config("transformers", layer_mix="mean"))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match="CE074.*grad_factor = 0"):
        nlp.update(examples)
    nlp.update(make_examples(nlp), exclude=["trf"], annotates=["trf"])  # reading them is fine
