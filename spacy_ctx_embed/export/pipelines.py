"""The pipeline of an export, opened the same way in every process."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Optional

from spacy.language import Language

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.export.identity import fingerprint
from spacy_ctx_embed.export.selection import OWNER

_NEED_MEMORY = {"parser", "ner"}  # they are why spaCy limits the length of a text


def open_same(name: str, code: Optional[str], expected: str) -> Language:
    """Load a pipeline in a process of its own, perhaps on another machine.

    :param name: its path, or the name of an installed one.
    :param code: Python file to import first.
    :param expected: its fingerprint where the export was begun.
    :return: the pipeline.
    :raises ValueError: if it is another one.
    """
    nlp = open_pipeline(name, code)
    found = fingerprint(nlp)
    if found != expected:
        values = {"folder": name, "key": "the pipeline", "before": expected, "now": f"{found} on {platform.node()}"}
        raise ValueError(Errors.E110.format(owner=OWNER, **values))
    return nlp


def open_pipeline(name: str, code: Optional[str] = None) -> Language:
    """Load a pipeline.

    :param name: its path, or the name of an installed one.
    :param code: Python file to import first, as in ``spacy train``.
    :return: the pipeline; of long texts too, where none of its components needs 1 GB for 100,000 characters.
    :raises OSError: if there is none of that name.
    """
    import spacy
    from spacy.cli._util import import_code

    import_code(Path(code) if code else None)
    nlp = spacy.load(name)
    if not _NEED_MEMORY & {nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names}:
        nlp.max_length = 1 << 30
    return nlp
