"""models/transformer/code.py: code of a repository runs only where it is trusted, and nobody is asked."""

from __future__ import annotations

import builtins
import shutil
import sys

import numpy as np
import pytest
import spacy

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.code import trusts_code
from spacy_ctx_embed.models.transformer.files import read_transformer
from tests.models.transformer.tiny_transformers import LINES, change, write_own_code

TRUST = {"trust_remote_code": True}
MODEL_KEY = 'transformer_config = {"trust_remote_code": true}'
TOKENIZER_KEY = 'tokenizer_config = {"trust_remote_code": true}'


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch):
    def ask(prompt=""):
        raise AssertionError(f"asked on a terminal: {prompt}")

    monkeypatch.setattr(builtins, "input", ask)


@pytest.fixture
def own(tmp_path):
    return write_own_code(tmp_path / "own")


@pytest.fixture
def own_both(tmp_path):
    return write_own_code(tmp_path / "own_both", tokenizer=True)


def _refused(folder, tokenizer_config=None, transformer_config=None):
    with pytest.raises(ModelFormatError, match=r"\[CE018\]") as caught:
        read_transformer(folder, tokenizer_config or {}, transformer_config or {})
    message = str(caught.value)
    assert "under [components.NAME.model]" in message
    assert "would run on this machine" in message
    return message


@pytest.mark.parametrize("settings", [{}, {"trust_remote_code": False}, {"trust_remote_code": None}])
def test_code_that_is_not_trusted_is_one_error_with_the_key(settings, own):
    message = _refused(own, settings, settings)
    assert MODEL_KEY in message
    assert TOKENIZER_KEY not in message
    assert "modeling_tiny.py" in message
    assert not [name for name in sys.modules if name.endswith("modeling_tiny") and ".own." in name]


def test_both_keys_are_named_where_both_have_code(own_both):
    message = _refused(own_both)
    assert MODEL_KEY in message
    assert TOKENIZER_KEY in message
    assert "modeling_tiny.py, tokenization_tiny.py" in message


def test_the_key_that_is_still_missing_is_named(own_both):
    message = _refused(own_both, {}, TRUST)
    assert TOKENIZER_KEY in message
    assert MODEL_KEY not in message
    message = _refused(own_both, TRUST, {})
    assert MODEL_KEY in message
    assert TOKENIZER_KEY not in message


def test_trusted_code_is_run(own, own_both):
    model, tokenizer = read_transformer(own, {}, TRUST)
    assert type(model).__name__ == "TinyModel"
    assert tokenizer.is_fast
    model, tokenizer = read_transformer(own_both, TRUST, TRUST)
    assert type(tokenizer).__name__ == "TinyTokenizerFast"


def test_what_was_trusted_once_is_not_trusted_by_another_component(own):
    read_transformer(own, {}, TRUST)
    _refused(own)


def test_a_pipeline_is_saved_with_the_code(own, tmp_path):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(own), "transformer_config": TRUST, "window": 64}
    nlp.add_pipe("bert_embeddings", config={"model": model})
    before = nlp(LINES[0])
    nlp.to_disk(tmp_path / "saved")
    shutil.rmtree(own)
    after = spacy.load(tmp_path / "saved")(LINES[0])
    np.testing.assert_allclose(after[1]._.vector, before[1]._.vector, atol=1e-6)


def test_a_type_that_transformers_knows_is_read_without_the_key(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    own = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    change(folder / "config.json", auto_map=own)
    (folder / "modeling_own.py").write_text("raise RuntimeError('run')\n")
    model, _ = read_transformer(folder, {}, {})
    assert type(model).__module__.startswith("transformers.")


def test_weights_that_only_the_code_fits_lead_to_the_key(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    change(folder / "config.json", auto_map={"AutoModel": "modeling_own.OwnModel"}, hidden_size=24)
    with pytest.raises(ModelFormatError, match=r"\[CE012\]") as caught:
        read_transformer(folder, {}, {})
    assert MODEL_KEY in str(caught.value)


def test_code_that_is_not_there_is_named(own):
    (own / "modeling_tiny.py").unlink()
    with pytest.raises(ModelFormatError, match=r"\[CE012\].*it lacks its code, modeling_tiny.py"):
        read_transformer(own, {}, TRUST)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_package\n", "no_such_package"),
        ("class TinyConfig(\n", "SyntaxError"),
        ("x = 1 / 0\n", "division"),
    ],
)
def test_code_that_fails_is_one_of_our_errors(code, says, own):
    (own / "modeling_tiny.py").write_text(code)
    with pytest.raises(ModelFormatError, match=rf"\[CE012\].*{says}"):
        read_transformer(own, {}, TRUST)


def test_code_of_another_repository_is_named_where_it_is_not_trusted(tmp_path):
    folder = write_own_code(tmp_path / "model", code="other/code")
    assert "modeling_tiny.py of the repository other/code" in _refused(folder)


def test_code_of_another_repository_that_is_not_in_the_cache_is_one_of_our_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = write_own_code(tmp_path / "model", code="no-such-org/no-such-code")
    with pytest.raises(
        ModelFormatError, match=r"\[CE012\].*another repository, no-such-org/no-such-code.*HF_HUB_OFFLINE"
    ):
        read_transformer(folder, {}, TRUST)


def test_who_trusts_code_says_so_with_true():
    assert not trusts_code(None, None)
    assert not trusts_code({}, {"trust_remote_code": False})
    assert trusts_code({"trust_remote_code": True}, None)
    assert trusts_code(None, {"trust_remote_code": True})
    with pytest.raises(ValueError, match=r"\[CE001\].*'transformer_config.trust_remote_code' is 'true'"):
        trusts_code({"trust_remote_code": True}, {"trust_remote_code": "true"})
