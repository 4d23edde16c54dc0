"""errors/messages.py and errors/warnings.py: every text says what is wrong, what is accepted and what to do.

Here too: errors/training_messages.py, errors/corpus_messages.py, errors/warnings.py.
"""

import string

import pytest

from spacy_ctx_embed.errors import Errors, Warnings

TEMPLATES = {
    key: getattr(templates, key)
    for letter, templates in (("E", Errors), ("W", Warnings))
    for key in dir(templates)
    if key[0] == letter and key[1:].isdigit()
}


def test_there_are_templates():
    assert len(TEMPLATES) > 10
    assert {key[0] for key in TEMPLATES} == {"E", "W"}


@pytest.mark.parametrize("key", sorted(TEMPLATES))
def test_each_template_has_code_value_choices_and_fix(key):
    template = TEMPLATES[key]
    assert template.startswith(f"[C{key}] ")
    assert [name for _, name, _, _ in string.Formatter().parse(template) if name]
    assert "Accepted: " in template
    assert "Fix: " in template.split("Accepted: ")[1]
