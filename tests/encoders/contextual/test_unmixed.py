"""encoders/contextual/unmixed.py and content_key.py: the cache changes no row, and knows what the layers depend on.

Here too: encoders/contextual/content_key.py, encoders/contextual/layers.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language

from spacy_ctx_embed.encoders.shim import EncoderShim
from tests.writers.elmo import write_random_elmo

TEXTS = ["the bank of the river", "", " \n ", "we sat on the bank 😀 \n", "dog", "the bank of the  river", "a" * 100]


@pytest.fixture(scope="module")
def names(tiny_bert, tmp_path_factory) -> Dict[str, str]:
    return {"bert": str(tiny_bert), "elmo": str(write_random_elmo(tmp_path_factory.mktemp("elmo") / "model"))}


def pipeline(family: str, name: str, *, cache_mb: int = 10, cache_dir: Any = None, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    own = {"overlap": 8} if family == "bert" else {}
    architecture = f"spacy_ctx_embed.{family.capitalize()}.v1"
    model = {"@architectures": architecture, "name": name, **own, **settings}
    folder = None if cache_dir is None else str(cache_dir)
    config = {"model": model, "cache_mb": cache_mb, "cache_dir": folder}
    nlp.add_pipe(f"{family}_embeddings", name="vectors", config=config)
    return nlp


def shim_of(nlp: Language) -> EncoderShim:
    return nlp.get_pipe("vectors").model.shims[0]


def count_runs(nlp: Language) -> List[int]:
    # Tokens of every batch that the network runs from now on.
    network, runs = shim_of(nlp).network(), []
    run = network.run

    def counted(segments: Any, layers: Any) -> Any:
        runs.append(sum(len(segment.tokens) for segment in segments))
        return run(segments, layers)

    network.run = counted
    return runs


def rows_of(nlp: Language, texts: List[str]) -> List[np.ndarray]:
    return [doc._.embeddings["vectors"] for doc in nlp.pipe(texts)]


@pytest.mark.parametrize("family", ["bert", "elmo"])
@pytest.mark.parametrize("layer_mix", ["last", "mean", "concat", "scalar_mix"])
def test_rows_and_statuses_are_the_same_with_the_cache_cold_warm_and_on_disk(family, layer_mix, names, tmp_path):
    plain = pipeline(family, names[family], cache_mb=0, layer_mix=layer_mix)
    cached = pipeline(family, names[family], cache_dir=tmp_path / "cache", layer_mix=layer_mix)
    expected = list(plain.pipe(TEXTS))
    for nlp in (cached, cached, pipeline(family, names[family], cache_dir=tmp_path / "cache", layer_mix=layer_mix)):
        for one, two in zip(expected, nlp.pipe(TEXTS)):
            np.testing.assert_allclose(one._.embeddings["vectors"], two._.embeddings["vectors"], atol=1e-5)
            assert [t._.vector_status for t in one] == [t._.vector_status for t in two]
    assert expected[3][5]._.vector_status == ("unknown" if family == "bert" else "ok")


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.sampled_from(TEXTS) | st.text("the bankriv \n.", max_size=40), max_size=6))
def test_any_texts_give_the_rows_that_they_give_without_cache(names, texts):
    cached = pipeline("bert", names["bert"])
    expected = rows_of(pipeline("bert", names["bert"], cache_mb=0), texts)
    for _ in range(2):
        for one, two in zip(expected, rows_of(cached, texts)):
            np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_the_network_runs_once_for_each_text(family, names):
    nlp = pipeline(family, names[family])
    runs = count_runs(nlp)
    first = rows_of(nlp, TEXTS)
    n_runs = len(runs)
    assert n_runs > 0
    second = rows_of(nlp, list(reversed(TEXTS)))
    assert len(runs) == n_runs
    for one, two in zip(first, reversed(second)):
        np.testing.assert_array_equal(one, two)


def test_another_process_finds_the_layers_on_disk(names, tmp_path):
    rows = rows_of(pipeline("bert", names["bert"], cache_mb=0, cache_dir=tmp_path / "cache"), TEXTS)
    later = pipeline("bert", names["bert"], cache_mb=0, cache_dir=tmp_path / "cache")
    runs = count_runs(later)
    for one, two in zip(rows, rows_of(later, TEXTS)):
        np.testing.assert_array_equal(one, two)
    assert runs == []


def test_a_chosen_layer_is_served_from_the_layers_of_all(names, tmp_path):
    rows_of(pipeline("bert", names["bert"], cache_dir=tmp_path / "cache", layer_mix="scalar_mix"), TEXTS)
    one = pipeline("bert", names["bert"], cache_dir=tmp_path / "cache", layers=[1], layer_mix="last")
    runs = count_runs(one)
    plain = pipeline("bert", names["bert"], cache_mb=0, layers=[1], layer_mix="last")
    for left, right in zip(rows_of(one, TEXTS), rows_of(plain, TEXTS)):
        np.testing.assert_allclose(left, right, atol=1e-5)
    assert runs == []


@pytest.mark.parametrize("layers", [[2, 2], [-1, 0, 2]])
def test_a_layer_may_be_named_twice(layers, names):
    cached = pipeline("bert", names["bert"], layers=layers, layer_mix="concat")
    plain = pipeline("bert", names["bert"], cache_mb=0, layers=layers, layer_mix="concat")
    for _ in range(2):
        for left, right in zip(rows_of(cached, TEXTS), rows_of(plain, TEXTS)):
            np.testing.assert_allclose(left, right, atol=1e-5)


def test_other_settings_and_other_weights_are_other_entries(names, tmp_path):
    folder = tmp_path / "cache"
    rows_of(pipeline("bert", names["bert"], cache_dir=folder), TEXTS)
    as_special = {"tokenizer_config": {"split_special_tokens": False}}
    others = [{"subword_pooling": "first"}, {"window": 20, "overlap": 2}, as_special]
    for other in others:
        nlp = pipeline("bert", names["bert"], cache_dir=folder, **other)
        runs = count_runs(nlp)
        rows_of(nlp, TEXTS)
        assert runs, other
    changed = pipeline("bert", names["bert"], cache_dir=folder)
    with torch.no_grad():
        shim_of(changed).network().module.model.embeddings.word_embeddings.weight[10] += 1
    runs = count_runs(changed)
    rows_of(changed, TEXTS)
    assert runs


def test_a_copy_of_the_model_in_another_folder_is_the_same_model(names, tmp_path):
    rows_of(pipeline("bert", names["bert"], cache_dir=tmp_path / "cache"), TEXTS)
    elsewhere = shutil.copytree(names["bert"], tmp_path / "elsewhere")
    nlp = pipeline("bert", str(elsewhere), cache_dir=tmp_path / "cache")
    runs = count_runs(nlp)
    rows_of(nlp, TEXTS)
    assert runs == []


def test_sentences_matter_to_elmo_and_not_to_bert(names):
    for family, again in (("elmo", True), ("bert", False)):
        nlp = pipeline(family, names[family])
        runs = count_runs(nlp)
        text = "the bank . the river"
        nlp(text)
        n_runs = len(runs)
        doc = nlp.make_doc(text)
        for i, token in enumerate(doc):
            token.is_sent_start = i in (0, 3)
        nlp.get_pipe("vectors")(doc)
        assert (len(runs) > n_runs) is again


def test_words_and_spaces_matter(names):
    nlp = pipeline("bert", names["bert"])
    runs = count_runs(nlp)
    for words, spaces in ((["can", "not"], [False, False]), (["can", "not"], [True, False]), (["cannot"], [False])):
        nlp.get_pipe("vectors")(spacy.tokens.Doc(nlp.vocab, words=words, spaces=spaces))
    assert len(runs) == 3


def test_a_saved_pipeline_finds_what_the_original_left(names, tmp_path):
    nlp = pipeline("elmo", names["elmo"], cache_dir=tmp_path / "cache", initial_state="warm")
    nlp.initialize()
    rows = rows_of(nlp, TEXTS)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    runs = count_runs(again)
    for one, two in zip(rows, rows_of(again, TEXTS)):
        np.testing.assert_array_equal(one, two)
    assert runs == []


def test_a_cache_smaller_than_the_texts_changes_no_row(names):
    nlp = pipeline("bert", names["bert"], cache_mb=1, layer_mix="concat")
    texts = [f"the bank of {' '.join(['river'] * 50)} number {i}" for i in range(60)]
    plain = rows_of(pipeline("bert", names["bert"], cache_mb=0, layer_mix="concat"), texts)
    for _ in range(2):
        for one, two in zip(plain, rows_of(nlp, texts)):
            np.testing.assert_allclose(one, two, atol=1e-5)
    assert shim_of(nlp).cache.n_bytes <= 1_000_000


@pytest.mark.parametrize("setting", [{"trainable": True}, {"stateful": True}])
def test_what_changes_the_layers_cannot_be_cached(setting, names):
    with pytest.raises(ValueError, match="'cache_mb' is 10.*cache_mb = 0.*Fix:"):
        pipeline("elmo", names["elmo"], **setting)


def test_a_file_in_place_of_the_cache_folder_is_a_clear_error(names, tmp_path):
    file: Path = tmp_path / "cache"
    file.write_text("not a folder")
    nlp = pipeline("bert", names["bert"], cache_dir=file)
    with pytest.raises(ValueError, match="cache.*Accepted: .*Fix:"):
        nlp("the bank")
