"""Lists of words that a command is given in a file."""

from __future__ import annotations

from pathlib import Path
from typing import List


def read_words(file: Path, owner: str) -> List[str]:
    """Read a list of words.

    :param file: UTF-8 text, one word a line; blank lines are none.
    :param owner: the command, for messages.
    :return: the words, in its order.
    :raises ValueError: if there are none, or it is no such text.
    """
    from spacy_ctx_embed.errors import Errors

    try:
        words = [line.strip() for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        reason = "holds no words"
    except UnicodeDecodeError as error:
        words, reason = [], f"is no UTF-8 text ({error})"
    if words:
        return words
    accepted, fix = "a UTF-8 text file with one word a line", "write it so, or leave the option out"
    raise ValueError(
        Errors.E086.format(owner=owner, key="--words", value=str(file), reason=reason, accepted=accepted, fix=fix)
    )
