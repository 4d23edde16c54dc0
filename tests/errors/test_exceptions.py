"""errors/exceptions.py: our types, and what is told of another library's exception."""

from pathlib import Path

import pytest

from spacy_ctx_embed.errors import MissingEmbeddingsError, ModelFormatError, first_line, reason_of, unreadable


def test_the_message_of_a_missing_component_is_not_quoted_like_a_key():
    assert str(MissingEmbeddingsError("what's wrong")) == "what's wrong"


@pytest.mark.parametrize(
    ("error", "line", "reason"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (KeyError(), "KeyError", "KeyError: no message"),
        (OSError("  \n"), "OSError", "OSError: no message"),
        (ValueError("x" * 1000), "x" * 1000, "ValueError: " + "x" * 300),
    ],
)
def test_one_line_of_an_exception(error, line, reason):
    assert first_line(error) == line
    assert reason_of(error) == reason


@pytest.mark.parametrize(("reason", "told"), [("it is empty", "it is empty"), (EOFError("short"), "EOFError: short")])
def test_what_cannot_be_read_is_named_with_choices_and_fix(reason, told):
    error = unreadable(Path("some/file"), reason, accepted="a table", fix="fetch it again")
    assert isinstance(error, ModelFormatError)
    assert str(error) == f"[CE012] Can't read {Path('some/file')}: {told}. Accepted: a table. Fix: fetch it again."
