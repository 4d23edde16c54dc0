"""Files cut short and with other bytes in them, by Hypothesis; and what reading such a one may end in."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.static.formats import open_table

damages = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def damage(data, content, start=8):
    """Change bytes behind the first ones, which tell the format."""
    content = bytearray(content)
    for place in data.draw(st.lists(st.integers(start, len(content) - 1), max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    return bytes(content[: data.draw(st.integers(start, len(content)))])


def read_or_refused(path, **options):
    """A table, which a change of its numbers leaves it, or a message that names file and fix; nothing else."""
    try:
        return open_table(path, **options)
    except ModelFormatError as error:
        message = str(error)
    assert str(path) in message
    assert "Fix:" in message
    return None
