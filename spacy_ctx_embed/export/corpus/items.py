"""What a corpus gives, one after another: texts with a name, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

import srsly
from spacy.tokens import Doc


@dataclass(frozen=True)
class Item:
    """One document.

    :param name: its own id, or file and number: ``books.txt:17``.
    :param text: its text; ``None`` where it is a Doc.
    :param doc: a Doc as :func:`pack_doc` gives it; ``None`` where it is a text.
    """

    name: str
    text: Optional[str] = None
    doc: Optional[bytes] = None

    @property
    def size(self) -> int:
        """Characters of the text; bytes of a Doc."""
        return len(self.text) if self.text is not None else len(self.doc or b"")


@dataclass(frozen=True)
class Failure:
    """Something that could not be read, or that the pipeline failed on.

    :param name: which document, or which file from where on.
    :param reason: why.
    """

    name: str
    reason: str


Found = Union[Item, Failure]


def pack_doc(doc: Doc) -> bytes:
    """Give what ``Doc.to_bytes`` gives, but the same bytes in every process: its strings are a set.

    :param doc: the Doc.
    :return: bytes for ``Doc.from_bytes``, without ``user_data``.
    """
    content = doc.to_dict(exclude=["user_data"])
    content["strings"] = sorted(content.get("strings", ()))
    packed: bytes = srsly.msgpack_dumps(content)
    return packed
