"""What goes wrong inside an encoder, with the component, its model and the config key around it.

Enters: an exception of torch, transformers or another library, or one of ours that does not know the component. Leaves:
an error that a user of a pipeline with several components can act on.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from typing import Any, Iterator

from thinc.api import Model

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import EncoderError, Errors, reason_of

_CODED = re.compile(r"^\W*\[C?E\d+\]")  # our errors, and spaCy's


@contextlib.contextmanager
def named(component: str, model: Model[Any, Any]) -> Iterator[None]:
    """Run an encoder for a component.

    :param component: the component's name.
    :param model: its encoder; exceptions that did not pass through code of ours stay as they are.
    :yields: nothing.
    :raises EncoderError: in place of an exception that has no code; the exception is its cause. One with a code is
        raised as it is, with a note of the component.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if _CODED.match(str(error)):
            if component not in str(error):
                error.add_note(f"Raised in the component {component!r}.")
            raise
        if not _passed_our_encoders(error):
            raise  # of a user's function or another package's encoder, which say what they have to say
        names = [shim.settings.name for shim in encoder_shims(model)]
        raise EncoderError(
            Errors.E094.format(owner=component, value=names[0] if len(names) == 1 else names, reason=reason_of(error))
        ) from error


def _passed_our_encoders(error: BaseException) -> bool:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(str(frame.f_globals.get("__name__")).startswith("spacy_ctx_embed.encoders.") for frame in frames)
