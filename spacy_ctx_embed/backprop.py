"""Backward passes of what learns nothing, once for all rooms."""

from __future__ import annotations

from typing import List

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d


def no_gradient(d_rows: List[Floats2d]) -> List[Doc]:
    """Pass nothing on: Docs have no gradient, and prediction keeps no graph.

    :param d_rows: gradient of the rows, one ``(n_tokens, width)`` array per Doc.
    :return: an empty list.
    """
    return []


def learns_nothing(model: Model) -> bool:
    """Say of an encoder that no gradient changes anything in it.

    :param model: the encoder.
    :return: false.
    """
    return False
