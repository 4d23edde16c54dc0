"""What comes after the pooling of a model, as plain data on a Doc: a dense layer by its digest, all else in full.

The weights of dense layers are not on each Doc. They stay in the process that loaded them, some MB for each model, as
Docs outlive the pipeline that made them; and they are needed for Spans alone, as the Doc's own vector is stored.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Protocol
from weakref import WeakSet

from spacy_ctx_embed.data import Dense, TextHead
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.head import dense_digest

_LOADED: Dict[str, Dense] = {}


class Source(Protocol):
    """A component that can load the model of Docs that another process made."""

    name: str

    def text_head(self) -> Optional[TextHead]:
        """Give what comes after the pooling, loading the model; ``None`` where ``doc_pooling`` is another."""


_SOURCES: WeakSet[Any] = WeakSet()


def offer(source: Source) -> None:
    """Have a component asked for dense layers that a Doc needs and no model in this process has loaded.

    :param source: the component.
    """
    _SOURCES.add(source)


def describe(head: TextHead) -> Dict[str, Any]:
    """Make plain data of a head, and keep its dense layers at hand.

    :param head: what comes after the pooling.
    :return: the data, for ``user_data``.
    """
    steps: List[Any] = []
    for step in head.steps:
        if isinstance(step, Dense):
            digest = dense_digest(step)
            _LOADED[digest] = step
            steps.append({"dense": digest})
        else:
            steps.append(step)
    return {"modes": list(head.modes), "steps": steps}


def restore(name: str, plain: Dict[str, Any]) -> TextHead:
    """Make a head of plain data.

    :param name: the component that stored it.
    :param plain: what :func:`describe` gave.
    :return: the head.
    :raises ValueError: if a dense layer is needed that no component in this process has.
    """
    steps = [_dense(name, step["dense"]) if isinstance(step, dict) else step for step in plain["steps"]]
    return TextHead(tuple(plain["modes"]), tuple(steps))


def _dense(name: str, digest: str) -> Dense:
    if digest not in _LOADED:
        for source in [source for source in _SOURCES if source.name == name]:
            head = source.text_head()
            if head is not None:
                describe(head)
    found = _LOADED.get(digest)
    if found is None:
        raise ValueError(Errors.E028.format(name=name))
    return found
