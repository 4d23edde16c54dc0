"""One word to a user whose text is in another language than the model.

Enters: the rows that an encoder gave for a batch. Leaves: the same rows, and at most once for a component and process
the warning CW005.
"""

from __future__ import annotations

import warnings
from typing import Iterator, List, Sequence, Tuple
from weakref import WeakSet

import numpy as np
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc

from spacy_ctx_embed.data import Status, TokenRows
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import Warnings

_SPACE, _UNKNOWN = int(Status.SPACE), int(Status.UNKNOWN)  # plain numbers: an enum member is slow to compare
_DIFFERENT = 3  # so many different unknown words at least: one name or one foreign word is no other language
_warned: "WeakSet[TrainablePipe]" = WeakSet()


def noted(component: TrainablePipe, docs: Sequence[Doc], rows: List[TokenRows]) -> List[TokenRows]:
    """Warn where more than a third of the words of a batch are unknown to the model, and it has not been said before.

    Words are tokens that are not whitespace. What has no letter or digit (an emoji) is no sign of another language and
    does not count as unknown.

    :param component: the component.
    :param docs: ``n_docs`` Docs.
    :param rows: what its encoder gave for them.
    :return: the rows, as they are.
    """
    if component in _warned:
        return rows
    n_unknown = sum(np.count_nonzero(item.status == _UNKNOWN) for item in rows)
    if not n_unknown:  # as always with a static table
        return rows
    n_words = sum(np.count_nonzero(item.status != _SPACE) for item in rows)
    if 3 * n_unknown <= n_words:
        return rows
    unknown = [text for text in _unknown(zip(docs, rows)) if any(map(str.isalnum, text))]
    names = [shim.settings.name for shim in encoder_shims(component.model)]
    if names and 3 * len(unknown) > n_words and len(set(unknown)) >= _DIFFERENT:
        _warned.add(component)
        warnings.warn(
            Warnings.W005.format(
                component=component.name, model=", ".join(names), count=len(unknown), total=n_words, word=unknown[0]
            ),
            stacklevel=2,
        )
    return rows


def _unknown(items: Iterator[Tuple[Doc, TokenRows]]) -> Iterator[str]:
    for doc, item in items:
        for i in (item.status == _UNKNOWN).nonzero()[0].tolist():
            yield doc[i].text
