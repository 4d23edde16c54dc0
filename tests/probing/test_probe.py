"""probing/: from a config to results.

Here too: probing/plan.py, probing/results.py.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from spacy_ctx_embed.encoders.bert.model import BertNetwork
from spacy_ctx_embed.encoders.elmo.network import ElmoNetwork
from spacy_ctx_embed.probing.probe import Reporter, probe
from spacy_ctx_embed.probing.significance import f_score
from tests.probing.tiny import make_config, make_docs, write_config, write_corpus
from tests.writers.elmo import write_random_elmo

N_TRAIN, N_DEV = 12, 6
VARIANTS = ["layer 0", "layer 1", "layer 2", "mean", "learned mix"]


@pytest.fixture
def corpora(tmp_path):
    return write_corpus(tmp_path / "train.spacy", N_TRAIN), write_corpus(tmp_path / "dev.spacy", N_DEV, seed=1)


@pytest.fixture
def run_tokens(monkeypatch):
    """How many tokens the networks ran over."""
    counted = []

    def count(cls):
        run = cls.run

        def counting(self, segments, layers):
            counted.append(sum(len(segment.tokens) for segment in segments))
            return run(self, segments, layers)

        monkeypatch.setattr(cls, "run", counting)

    count(BertNetwork)
    count(ElmoNetwork)
    return counted


def _probe(tmp_path, corpora, config, **settings):
    return probe(write_config(tmp_path / "config.cfg", config), *corpora, **{"seeds": [0], **settings})


def _n_tokens(*sizes):
    """Tokens of the distinct texts in corpora of (texts, seed): the same words in the same order are one text."""
    docs = {doc.text: len(doc) for n, seed in sizes for doc in make_docs(n, seed)}
    return sum(docs.values())


class _Interrupted(Reporter):
    def __init__(self, after):
        self.after = after

    def ran(self, run):
        self.run = run
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


def test_each_variant_is_trained_with_each_seed(tmp_path, corpora, tiny_bert):
    probed = _probe(tmp_path, corpora, make_config(tiny_bert), max_steps=3, seeds=[0, 1])
    assert [(run.variant, run.seed) for run in probed.runs] == [(name, seed) for seed in (0, 1) for name in VARIANTS]
    assert {run.n_steps for run in probed.runs} == {3}
    assert [row.variant for row in probed.rows] == VARIANTS
    assert probed.plan.score == "ents_f" and probed.plan.component == "ner"
    for run in probed.runs:
        assert run.counts is not None and run.counts.shape == (N_DEV, 1, 3)
        assert f_score(run.counts.sum(axis=0)) == pytest.approx(run.score)
        assert (run.mix is not None) == (run.variant == "learned mix")


@pytest.mark.parametrize("encoder", [{}, {"layer_mix": "concat"}])
def test_the_network_runs_over_the_data_once(tmp_path, corpora, tiny_bert, run_tokens, encoder):
    probed = _probe(tmp_path, corpora, make_config(tiny_bert, encoder=encoder), max_steps=7, seeds=[0, 1])
    distinct = _n_tokens((N_TRAIN, 0), (N_DEV, 1))
    assert distinct <= sum(run_tokens) <= sum(len(doc) for doc in [*make_docs(N_TRAIN), *make_docs(N_DEV, 1)])
    assert probed.n_again == 0


def test_texts_that_no_step_reaches_are_not_run(tmp_path, corpora, tiny_bert, run_tokens):
    one_batch = make_config(tiny_bert, batcher={"@batchers": "spacy.batch_by_sequence.v1", "size": 1})
    with pytest.raises(KeyboardInterrupt):
        _probe(tmp_path, corpora, one_batch, max_steps=1, reporter=_Interrupted(1))
    n_dev = sum(len(doc) for doc in make_docs(N_DEV, 1))
    n_initial = sum(len(doc) for doc in make_docs(N_TRAIN)[:10])  # which spaCy's components are initialised with
    assert sum(run_tokens) <= n_dev + n_initial + 7


def test_an_elmo_encoder_can_be_probed_too(tmp_path, corpora, run_tokens):
    elmo = write_random_elmo(tmp_path / "elmo")
    config = make_config(tmp_path, task="tagger", annotating_components=["sentencizer"])
    config["components"]["bert_embeddings"] = {
        "factory": "elmo_embeddings",
        "model": {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(elmo)},
    }
    config["components"]["sentencizer"] = {"factory": "sentencizer"}
    config["nlp"]["pipeline"] = ["sentencizer", "bert_embeddings", "tagger"]
    probed = _probe(tmp_path, corpora, config, max_steps=8)
    assert [run.variant for run in probed.runs] == VARIANTS
    assert probed.plan.score == "tag_acc" and probed.n_again == 0
    n_initial = sum(len(doc) for doc in make_docs(10))  # spaCy initialises with Docs that have no sentences yet
    assert sum(run_tokens) <= n_initial + sum(len(doc) for doc in [*make_docs(N_TRAIN), *make_docs(N_DEV, 1)])


def test_the_encoder_of_the_factory_needs_no_section(tmp_path, corpora):
    config = make_config(tmp_path, task="tagger")
    config["components"]["bert_embeddings"] = {"factory": "elmo_embeddings"}
    probed = _probe(tmp_path, corpora, config, max_steps=1)
    assert probed.plan.section["model"]["name"] == "elmo-mini" and len(probed.runs) >= 4


def test_a_variant_scores_as_spacy_train_does(tmp_path, corpora, tiny_bert):
    from spacy.training.loop import train

    config = make_config(tiny_bert, encoder={"layers": [1]}, task="tagger", eval_frequency=4, patience=0)
    probed = _probe(tmp_path, corpora, config, max_steps=5, seeds=[5])
    overrides = {"paths.train": str(corpora[0]), "paths.dev": str(corpora[1]), "training.max_steps": 4}
    nlp = init_nlp(load_config(tmp_path / "config.cfg", overrides=overrides, interpolate=False))
    with (tmp_path / "log").open("w") as log:
        train(nlp, stdout=log, stderr=log)  # spaCy's step 4 is its fifth
    assert nlp.meta["performance"]["tag_acc"] == pytest.approx(probed.runs[1].score)


def test_the_same_seed_gives_the_same_scores(tmp_path, corpora, tiny_bert):
    one, other = (_probe(tmp_path, corpora, make_config(tiny_bert, task="tagger"), seeds=[3]) for _ in range(2))
    assert [run.score for run in one.runs] == [run.score for run in other.runs]
    assert any(run.score != one.runs[0].score for run in one.runs)


def test_the_mix_is_learnt_though_the_config_freezes_its_component(tmp_path, corpora, tiny_bert):
    frozen = {"frozen_components": ["bert_embeddings"], "annotating_components": ["bert_embeddings"]}
    probed = _probe(tmp_path, corpora, make_config(tiny_bert, task="tagger", **frozen), max_steps=10)
    mix = probed.runs[-1].mix
    assert mix is not None and sum(mix) == pytest.approx(1) and np.ptp(mix) > 1e-4


def test_a_listener_in_a_stacked_tok2vec_is_found(tmp_path, corpora, tiny_bert):
    config = make_config(tiny_bert, task="tagger")
    listener = config["components"]["tagger"]["model"]["tok2vec"]
    stacked = {
        "@architectures": "spacy_ctx_embed.StackedTok2Vec.v1",
        "width": 8,
        "embeddings": {"bert": {**listener, "width": 16}},
    }
    config["components"]["tagger"]["model"]["tok2vec"] = stacked
    assert len(_probe(tmp_path, corpora, config, max_steps=2).runs) == 5


@pytest.mark.parametrize(("score", "kind"), [(None, "cats_score"), ("cats_micro_f", "cats_micro_f")])
def test_a_score_can_be_chosen(tmp_path, corpora, tiny_bert, score, kind):
    config = make_config(tiny_bert, task="textcat")
    probed = _probe(tmp_path, corpora, config, max_steps=2, score=score)
    assert probed.plan.score == kind and all(run.counts is not None for run in probed.runs)


# Results


def test_a_rerun_goes_on_where_it_was_stopped(tmp_path, corpora, tiny_bert, run_tokens):
    config, out = make_config(tiny_bert, task="tagger"), tmp_path / "deep" / "out.json"
    with pytest.raises(KeyboardInterrupt):
        _probe(tmp_path, corpora, config, output=out, reporter=_Interrupted(3))
    assert [run["variant"] for run in json.loads(out.read_text())["runs"]] == VARIANTS[:3]
    again = _probe(tmp_path, corpora, config, output=out)
    whole = _probe(tmp_path, corpora, config)
    assert [(run.variant, run.seed, run.score) for run in again.runs] == [
        (run.variant, run.seed, run.score) for run in whole.runs
    ]
    assert [row.mean for row in again.rows] == [row.mean for row in whole.rows]
    run_tokens.clear()
    assert _probe(tmp_path, corpora, config, output=out).rows == whole.rows
    assert not run_tokens


def test_more_seeds_are_added_to_the_file(tmp_path, corpora, tiny_bert):
    config, out = make_config(tiny_bert, task="tagger"), tmp_path / "out.json"
    _probe(tmp_path, corpora, config, output=out, max_steps=1)
    assert {row.n_seeds for row in _probe(tmp_path, corpora, config, output=out, seeds=[1], max_steps=1).rows} == {2}


@pytest.mark.parametrize("change", ["config", "train", "max_steps", "score", "model", "junk"])
def test_results_of_other_settings_are_kept(tmp_path, corpora, tiny_bert, change):
    bert = shutil.copytree(tiny_bert, tmp_path / "bert")
    config, out = make_config(bert, task="tagger"), tmp_path / "out.json"
    settings = {"output": out, "max_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        _probe(tmp_path, corpora, config, **settings, reporter=_Interrupted(1))
    if change == "config":
        config = make_config(bert, task="tagger", dropout=0.3)
    elif change == "model":  # trained further, under the same name
        file = bert / "model.safetensors"
        save_file({name: part + 0.1 for name, part in load_file(file).items()}, file, metadata={"format": "pt"})
    elif change == "train":
        write_corpus(corpora[0], 5, seed=8)
    elif change == "junk":
        out.write_text("[]")
    else:
        settings[change] = 2 if change == "max_steps" else "tag_micro"
    before = out.read_text()
    with pytest.raises(FileExistsError, match="something else" if change == "junk" else change):
        _probe(tmp_path, corpora, config, **settings)
    assert out.read_text() == before


def test_a_folder_serves_the_next_time(tmp_path, corpora, tiny_bert, run_tokens):
    config = make_config(tiny_bert, task="tagger")
    settings = {"cache_dir": tmp_path / "layers", "cache_mb": 0, "max_steps": 6}
    first = _probe(tmp_path, corpora, config, **settings)
    assert run_tokens
    run_tokens.clear()
    assert [run.score for run in _probe(tmp_path, corpora, config, **settings).runs] == [
        run.score for run in first.runs
    ]
    assert not run_tokens


def test_a_cache_that_is_too_small_is_told(tmp_path, corpora, tiny_bert):
    config = make_config(tiny_bert, task="tagger")
    assert _probe(tmp_path, corpora, config, cache_mb=0, max_steps=2).n_again > 0


# Errors


def _without_layers(config, static):
    model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(static)}
    config["components"]["bert_embeddings"] = {"factory": "static_embeddings", "model": model}


def _with_own_tok2vec(config):
    config["components"]["ner"]["model"]["tok2vec"] = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "width": 8,
        "depth": 1,
        "embed_size": 10,
        "window_size": 1,
        "maxout_pieces": 1,
        "subword_features": False,
        "pretrained_vectors": None,
    }


def _fails(tmp_path, corpora, config, parts, error=ValueError, **settings):
    with pytest.raises(error) as caught:
        _probe(tmp_path, corpora, config, **settings)
    for part in ("Accepted: ", "Fix: ", *parts):
        assert part in str(caught.value)


def test_a_config_without_layers_is_refused(tmp_path, corpora, tiny_bert, tiny_static):
    config = make_config(tiny_bert)
    _without_layers(config, tiny_static)
    _fails(tmp_path, corpora, config, ["CE080", "none with layers"])
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE080", "'nobody'"], embeddings="nobody")
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE080", "'ner' is none"], embeddings="ner")


def test_an_encoder_that_is_trained_is_refused(tmp_path, corpora, tiny_bert):
    config = make_config(tiny_bert, encoder={"trainable": True})
    _fails(tmp_path, corpora, config, ["CE001", "'trainable' is True", "false"])


def test_a_component_that_does_not_listen_is_refused(tmp_path, corpora, tiny_bert):
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE081", "'tagger'", "'ner'"], component="tagger")
    config = make_config(tiny_bert)
    _with_own_tok2vec(config)
    _fails(tmp_path, corpora, config, ["CE081", "does not listen", "none in this config"])
    frozen = make_config(tiny_bert, frozen_components=["ner"])
    _fails(tmp_path, corpora, frozen, ["CE081", "frozen_components"])
    deaf = make_config(tiny_bert)
    deaf["components"]["ner"]["model"]["tok2vec"]["grad_factor"] = 0.0
    _fails(tmp_path, corpora, deaf, ["CE081", "grad_factor = 0"])


@pytest.mark.parametrize("which", [0, 1])
def test_an_empty_corpus_is_refused(tmp_path, corpora, tiny_bert, which):
    write_corpus(corpora[which], 0)
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE082", corpora[which].name, ["train on", "evaluate"][which]])


def test_an_unknown_score_is_refused_before_anything_is_trained(tmp_path, corpora, tiny_bert):
    reporter = _Interrupted(1)
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE083", "'ents_x'"], score="ents_x", reporter=reporter)
    assert reporter.after == 1


def test_steps_without_an_end_are_refused(tmp_path, corpora, tiny_bert):
    _fails(tmp_path, corpora, make_config(tiny_bert, max_steps=0), ["CE001", "max_steps"])
    _fails(tmp_path, corpora, make_config(tiny_bert), ["CE001", "seeds"], seeds=[])


def test_epochs_end_a_training_too(tmp_path, corpora, tiny_bert):
    config = make_config(tiny_bert, task="tagger", max_steps=0, max_epochs=2)
    reporter = _Interrupted(1)
    with pytest.raises(KeyboardInterrupt):
        _probe(tmp_path, corpora, config, reporter=reporter)
    assert reporter.run.n_steps == 2 * 3


def test_a_missing_corpus_is_named(tmp_path, corpora, tiny_bert):
    with pytest.raises(FileNotFoundError, match="nothing.spacy"):
        _probe(tmp_path, (corpora[0], tmp_path / "nothing.spacy"), make_config(tiny_bert))


def test_the_pipeline_of_another_component_is_trained_as_well(tmp_path, corpora, tiny_bert):
    config = make_config(tiny_bert, task="tagger")
    config["components"]["ner"] = make_config(tiny_bert)["components"]["ner"]
    config["nlp"]["pipeline"].append("ner")
    probed = _probe(tmp_path, corpora, config, max_steps=1, component="ner")
    assert probed.plan.component == "ner" and probed.plan.score == "ents_f"
