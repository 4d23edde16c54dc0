"""errors.py: every message says what is wrong, what is accepted and what to do."""

import string

import pytest

from spacy_ctx_embed.errors import Errors, MissingEmbeddingsError

TEMPLATES = {key: value for key, value in vars(Errors).items() if key[0] == "E" and key[1:].isdigit()}


def test_there_are_templates():
    assert len(TEMPLATES) > 10


@pytest.mark.parametrize("key", sorted(TEMPLATES))
def test_each_template_has_code_value_choices_and_fix(key):
    template = TEMPLATES[key]
    assert template.startswith(f"[C{key}] ")
    assert [name for _, name, _, _ in string.Formatter().parse(template) if name]
    assert "Accepted: " in template
    assert "Fix: " in template.split("Accepted: ")[1]


def test_the_message_of_a_missing_component_is_not_quoted_like_a_key():
    assert str(MissingEmbeddingsError("what's wrong")) == "what's wrong"
