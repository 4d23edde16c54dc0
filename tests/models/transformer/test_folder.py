"""models/transformer/folder.py: the folder of sentence-transformers, of today and of 2019."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.files import read_transformer
from spacy_ctx_embed.models.transformer.folder import transformer_folder
from tests.models.transformer.tiny_transformers import change


def _saved_by_sentence_transformers(root, tiny_bert, path, kind="Transformer"):
    inside = root / path if path else root
    shutil.copytree(tiny_bert, inside, dirs_exist_ok=True)
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 16}')
    if path:
        (root / "config.json").write_text('{"__version__": "0.2.5.1"}')
    modules = [
        {"idx": 0, "name": "0", "path": path, "type": f"sentence_transformers.models.{kind}"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (root / "modules.json").write_text(json.dumps(modules))
    return inside


@pytest.mark.parametrize(
    ("path", "kind"),
    [("", "Transformer"), ("0_Transformer", "Transformer"), ("0_BERT", "BERT"), ("a/b", "Transformer")],
)
def test_the_transformer_of_sentence_transformers_is_read(path, kind, tiny_bert, tmp_path):
    inside = _saved_by_sentence_transformers(tmp_path, tiny_bert, path, kind)
    assert transformer_folder(tmp_path) == inside
    model, tokenizer = read_transformer(tmp_path, {}, {})
    expected, _ = read_transformer(tiny_bert, {}, {})
    np.testing.assert_array_equal(*(m.get_input_embeddings().weight.detach() for m in (model, expected)))
    assert tokenizer.is_fast


def test_a_model_of_2019_whose_config_names_no_type_is_read_by_the_type_of_its_module(tiny_bert, tmp_path):
    inside = _saved_by_sentence_transformers(tmp_path, tiny_bert, "0_BERT", "BERT")
    change(inside / "config.json", model_type=None, architectures=None, torchscript=False, pruned_heads={})
    (inside / "tokenizer.json").unlink()
    (inside / "tokenizer_config.json").write_text('{"do_lower_case": true, "max_len": 64}')
    (inside / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nriver\n")
    model, tokenizer = read_transformer(tmp_path, {}, {"hidden_dropout_prob": 0.25})
    assert (model.config.model_type, model.config.hidden_dropout_prob) == ("bert", 0.25)
    assert tokenizer.backend_tokenizer.encode("River").tokens == ["[CLS]", "river", "[SEP]"]


def test_a_module_that_is_not_there_is_named(tiny_bert, tmp_path):
    shutil.rmtree(_saved_by_sentence_transformers(tmp_path, tiny_bert, "0_Transformer"))
    with pytest.raises(ModelFormatError, match=r"\[CE012\].*0_Transformer: it has no config.json"):
        read_transformer(tmp_path, {}, {})


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "[]", "[3]", '[{"path": 3}]', '[{"path": "../x"}]', '[{"path": "/x"}]']
)
def test_what_is_no_list_of_modules_is_passed_over(content, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    (folder / "modules.json").write_text(content)
    assert transformer_folder(folder) == folder
    read_transformer(folder, {}, {})


def test_a_model_that_was_moved_out_of_its_module_is_read_where_it_is(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    (folder / "modules.json").write_text('[{"path": "0_BERT", "type": "sentence_transformers.models.BERT"}]')
    assert transformer_folder(folder) == folder
