"""encoders/bert/source.py: pipelines with weights in them that are saved by reference again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import spacy
from spacy.language import Language

from spacy_ctx_embed.errors import ModelFormatError

TEXT = "the bank of the river"
REFERENCE = {"components": {"bert": {"serialize": "reference"}}}


def pipeline(name: Path, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(name), "overlap": 8, **settings}
    nlp.add_pipe("bert_embeddings", name="bert", config={"model": model})
    return nlp


def from_disk(nlp: Language, folder: Path) -> Language:
    nlp.to_disk(folder)
    return spacy.load(folder, config=REFERENCE)


def from_bytes(nlp: Language, folder: Path) -> Language:
    config = nlp.config.copy()
    config["components"]["bert"]["serialize"] = "reference"
    return spacy.util.load_model_from_config(config).from_bytes(nlp.to_bytes())


def from_disk_twice(nlp: Language, folder: Path) -> Language:
    nlp.to_disk(folder)
    return from_disk(spacy.load(folder), folder)


@pytest.mark.parametrize("way", [from_disk, from_bytes, from_disk_twice])
def test_what_was_loaded_with_its_weights_can_be_saved_as_a_reference(
    way: Callable[[Language, Path], Language], tiny_bert: Path, tmp_path: Path
) -> None:
    name = shutil.copytree(tiny_bert, tmp_path / "model")
    nlp = pipeline(name)
    expected = nlp(TEXT)._.embeddings["bert"]
    way(nlp, tmp_path / "with").to_disk(tmp_path / "without")
    assert not list((tmp_path / "without").rglob("*.safetensors"))
    np.testing.assert_array_equal(spacy.load(tmp_path / "without")(TEXT)._.embeddings["bert"], expected)
    config = json.loads((name / "config.json").read_text(encoding="utf8"))
    (name / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}), encoding="utf8")
    with pytest.raises(ModelFormatError, match="CE015"):
        spacy.load(tmp_path / "without")(TEXT)


def test_weights_that_were_learnt_are_not_those_of_the_model(tiny_bert: Path, tmp_path: Path) -> None:
    nlp = pipeline(tiny_bert, trainable=True)
    nlp.initialize()
    nlp.to_disk(tmp_path / "learnt")
    model = {"trainable": False}
    frozen = spacy.load(
        tmp_path / "learnt", config={"components": {"bert": {"serialize": "reference", "model": model}}}
    )
    frozen.to_disk(tmp_path / "without")
    with pytest.raises(ModelFormatError, match="CE015"):
        spacy.load(tmp_path / "without")(TEXT)


def test_files_that_are_gone_are_no_reason_not_to_save(tiny_bert: Path, tmp_path: Path) -> None:
    name = shutil.copytree(tiny_bert, tmp_path / "model")
    nlp = pipeline(name)
    expected = nlp(TEXT)._.embeddings["bert"]
    shutil.rmtree(name)
    nlp.to_disk(tmp_path / "nlp")
    np.testing.assert_array_equal(spacy.load(tmp_path / "nlp")(TEXT)._.embeddings["bert"], expected)
