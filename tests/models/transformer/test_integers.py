"""models/transformer/integers.py: weights of 8-bit integers in a folder of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy
from safetensors.numpy import load_file, save_file

from spacy_ctx_embed.errors import ModelFormatError
from tests.small_transformers import SPECIAL, WORDS, write, write_model

NAME = "bert_embeddings"
TEXT = " ".join(WORDS)


@pytest.fixture
def saved(tmp_path):
    """A saved pipeline, the rows it gave, and the folder of its encoder; the model it was made from is gone."""
    folder = write_model(tmp_path / "model", "bert")
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder), "precision": "int8"}
    nlp.add_pipe(NAME, config={"model": model})
    rows = nlp(TEXT)._.embeddings[NAME]
    nlp.to_disk(tmp_path / "pipeline")
    for file in folder.iterdir():
        file.unlink()
    return tmp_path / "pipeline", rows, tmp_path / "pipeline" / NAME / "model" / "encoder0"


def test_it_loads_without_the_float32_file(saved):
    pipeline, rows, folder = saved
    assert not (folder / "model.safetensors").exists()
    np.testing.assert_array_equal(spacy.load(pipeline)(TEXT)._.embeddings[NAME], rows)


def test_it_can_be_read_in_float32(saved):
    _, rows, folder = saved
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"model": {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(folder)}})
    found = nlp(TEXT)._.embeddings[NAME]
    cosine = (found * rows).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(rows, axis=1)
    assert cosine.min() > 0.98


def test_a_tensor_of_the_model_itself_may_be_called_a_scale(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    half = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    text = {**half, "num_hidden_layers": 2, "vocab_size": len(SPECIAL) + len(WORDS), "eos_token_id": 3}
    vision = {**half, "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    nlp = spacy.blank("xx")
    settings = {"name": str(write(tmp_path / "model", model)), "precision": "int8"}
    nlp.add_pipe(NAME, config={"model": {"@architectures": "spacy_ctx_embed.Bert.v1", **settings}})
    rows = nlp(TEXT)._.embeddings[NAME]
    nlp.to_disk(tmp_path / "pipeline")
    assert "logit_scale" in load_file(tmp_path / "pipeline" / NAME / "model" / "encoder0" / "model.int8.safetensors")
    np.testing.assert_array_equal(spacy.load(tmp_path / "pipeline")(TEXT)._.embeddings[NAME], rows)


def test_what_a_model_computes_of_its_config_may_be_in_the_file(tmp_path):
    # as it is where a processor multiplies bfloat16 as fast as integers
    nlp = spacy.blank("xx")
    settings = {"name": str(write_model(tmp_path / "model", "llama", pad_token_id=0)), "precision": "int8"}
    nlp.add_pipe(NAME, config={"model": {"@architectures": "spacy_ctx_embed.Bert.v1", **settings}})
    rows = nlp(TEXT)._.embeddings[NAME]
    nlp.to_disk(tmp_path / "pipeline")
    file = tmp_path / "pipeline" / NAME / "model" / "encoder0" / "model.int8.safetensors"
    save_file({**load_file(file), "rotary_emb.inv_freq": np.ones(4, dtype=np.float32)}, file)
    np.testing.assert_array_equal(spacy.load(tmp_path / "pipeline")(TEXT)._.embeddings[NAME], rows)


def _cut(folder):
    file = folder / "model.int8.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _without(part):
    def damage(folder):
        file = folder / "model.int8.safetensors"
        tensors = load_file(file)
        name = next(name for name in tensors if name.endswith(part))
        save_file({key: value for key, value in tensors.items() if key != name}, file)

    return damage


def _other_config(folder):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intermediate_size": 52}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "damaged"),
        (_without("key.weight_scale"), "key.weight_scale"),
        (_without("layer.1.attention.self.query.weight"), "query.weight"),
        (_without("LayerNorm.weight"), "another model"),
        (_other_config, "other shapes"),
    ],
)
def test_a_damaged_file_is_one_error_that_names_it(damage, said, saved):
    pipeline, _, folder = saved
    damage(folder)
    with pytest.raises(ModelFormatError, match=said) as caught:
        spacy.load(pipeline)(TEXT)
    assert "model.int8.safetensors" in str(caught.value)
    assert "save the pipeline again" in str(caught.value)
