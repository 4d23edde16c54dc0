"""cli/: ``python -m spacy embed layers``."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.cli.measures.layers import find_mixes
from spacy_ctx_embed.tok2vec.transformer_output.model import make_transformer_output_v1

WEIGHTS = np.log([0.5, 0.125, 0.375]).astype("f")
HAS_CURATED = importlib.util.find_spec("spacy_curated_transformers") is not None


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["layers", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _bert(path, **settings):
    return {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(path), "layer_mix": "scalar_mix", **settings}


def _set_mixes(nlp, weights=WEIGHTS, gamma=1.5):
    for _, pipe in nlp.components:
        for node in pipe.model.walk():
            if node.has_param("mix_weights"):
                node.set_param("mix_weights", weights.copy())
                node.set_param("mix_gamma", np.array([gamma], dtype="f"))


@pytest.fixture
def nlp(tiny_bert):
    """A pipeline with three encoders that learn a mix: upstream of a tagger, in a tok2vec slot, and in a stack."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings", config={"model": _bert(tiny_bert)})
    listener = {"@architectures": "spacy_ctx_embed.EmbeddingListener.v1", "upstream": "bert_embeddings"}
    stack = {
        "@architectures": "spacy_ctx_embed.StackedTok2Vec.v1",
        "width": 4,
        "embeddings": {"own": _bert(tiny_bert, layers=[0, -1, 1]), "heard": listener},
    }
    for name, tok2vec in (("tagger", listener), ("direct", _bert(tiny_bert)), ("stack", stack)):
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
        nlp.add_pipe("tagger", name=name, config={"model": model}).add_label("N")
    nlp.initialize()
    _set_mixes(nlp)
    return nlp


@pytest.fixture
def pipeline(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_each_learned_mix_is_shown(pipeline, tiny_bert):
    result = _run(pipeline)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    heads = [line for line in lines if "spacy_ctx_embed.Bert.v1" in line]
    assert [line.split(":")[0] for line in heads] == ["bert_embeddings", "direct", "stack"]
    assert all(str(tiny_bert) in line for line in heads)
    assert "listened to by tagger, stack" in heads[0] and "in its own tok2vec" in heads[1]
    first = lines.index(heads[0])
    assert lines[first + 1 : first + 5] == [
        "  layer   0  0.5000  " + "█" * 20,
        "  layer   1  0.1250  " + "█" * 5,
        "  layer   2  0.3750  " + "█" * 15,
        "  γ = 1.5000",
    ]
    third = lines.index(heads[2])
    assert [line.split()[1] for line in lines[third + 1 : third + 4]] == ["0", "2", "1"]


def test_json_is_all_there_is(pipeline, tiny_bert):
    found = json.loads(_run(pipeline, "--json").output)
    assert [item["component"] for item in found] == ["bert_embeddings", "direct", "stack"]
    assert found[0].pop("weights") == pytest.approx([0.5, 0.125, 0.375])
    assert found[0] == {
        "component": "bert_embeddings",
        "architecture": "spacy_ctx_embed.Bert.v1",
        "model": str(tiny_bert),
        "listeners": ["tagger", "stack"],
        "layers": [0, 1, 2],
        "gamma": 1.5,
    }
    assert found[2]["layers"] == [0, 2, 1] and found[2]["listeners"] is None


def test_a_disabled_component_is_shown_too(nlp, tmp_path):
    nlp.disable_pipe("direct")
    assert [mix.component for mix in find_mixes(nlp)] == ["bert_embeddings", "direct", "stack"]


def test_a_mix_that_was_never_trained_is_that_of_the_start():
    nlp = spacy.blank("xx")
    nlp.add_pipe("elmo_embeddings")
    (mix,) = find_mixes(nlp)
    assert mix.listeners == [] and mix.model == "elmo-mini" and sum(mix.weights) == pytest.approx(1)
    assert mix.layers == list(range(len(mix.weights)))


@pytest.mark.skipif(not HAS_CURATED, reason="spacy-curated-transformers is not installed")
def test_the_mix_of_a_transformer_component_is_shown():
    nlp = spacy.blank("xx")
    encoder = make_transformer_output_v1(upstream="trf", layers=[-1, 0, 1], layer_mix="scalar_mix")
    encoder.set_param("mix_weights", WEIGHTS)
    encoder.set_param("mix_gamma", np.ones(1, dtype="f"))
    pipe = nlp.add_pipe("static_embeddings")
    pipe.model = encoder
    (mix,) = find_mixes(nlp)
    assert mix.model == "output of 'trf'" and mix.layers == [-1, 0, 1]
    assert mix.weights == pytest.approx([0.5, 0.125, 0.375])


@pytest.mark.parametrize("settings", [{"layer_mix": "mean"}, {"layer_mix": "last", "layers": [1]}])
def test_a_pipeline_without_a_learned_mix_says_what_to_set(tiny_bert, tmp_path, settings):
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings", config={"model": _bert(tiny_bert, **settings)})
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "pipeline")
    result = _run(tmp_path / "pipeline", "--plot", tmp_path / "none.png")
    assert result.exit_code == 0 and 'layer_mix = "scalar_mix"' in result.output
    assert json.loads(_run(tmp_path / "pipeline", "--json").output) == []
    assert not (tmp_path / "none.png").exists()


def test_where_a_terminal_can_not_write_bars_there_are_other_signs(pipeline):
    result = CliRunner(charset="ascii").invoke(embed_cli, ["layers", str(pipeline)])
    assert result.exit_code == 0 and "  layer   1  0.1250  #####" in result.output and "gamma = 1.5" in result.output


def test_a_plot_is_written(pipeline, tmp_path):
    pytest.importorskip("matplotlib")
    assert str(tmp_path / "layers.png") in _run(pipeline, "--plot", tmp_path / "layers.png").output.replace("\n", "")
    assert (tmp_path / "layers.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads(_run(pipeline, "--json", "--plot", tmp_path / "again.png").output)
    assert (tmp_path / "again.png").is_file()


def test_a_plot_without_matplotlib_is_an_error_that_names_the_extra(pipeline, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = _run(pipeline, "--plot", tmp_path / "layers.png")
    assert result.exit_code == 1
    for part in ("CE005", "--plot", "pip install 'spacy-ctx-embed[plot]'"):
        assert part in result.output


def test_what_is_no_pipeline_is_an_error(tmp_path):
    result = _run(tmp_path / "nowhere")
    assert result.exit_code == 1 and "Can't show the layers" in result.output and "nowhere" in result.output


def test_an_error_leaves_no_json(tmp_path):
    result = CliRunner().invoke(embed_cli, ["layers", str(tmp_path / "nowhere"), "--json"])
    assert result.exit_code == 1 and "Can't" not in result.stdout.replace("Can't find", "")
