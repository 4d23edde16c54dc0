"""What an encoder offers beyond Thinc's ``Model[List[Doc], List[Floats2d]]``: one typed object, found by one function.

A component asks it for rows with their statuses; a model without such an object (spaCy's own ``tok2vec``) is run as any
Thinc model is. What holds a loaded network, and so saves and caches, is found by ``encoders.shim.encoder_shims``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from spacy_ctx_embed.data import TokenRows

_ATTRIBUTE = "spacy_ctx_embed.encoder"  # of a model; functions in it, so Thinc does not save it and the config decides


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


@dataclass(frozen=True)
class Encoder:
    """The functions of an encoder; each is of a module, not a closure, and takes the model first.

    :param encode: rows and statuses of a batch of Docs, on the CPU and without a graph.
    :param learns: whether a gradient changes anything in the model.
    :param mixed_layers: what a scalar mix mixes: the name of the model or component whose layers they are, and their
        numbers; ``None`` for another mix.
    :param settings: the config values, where no loaded network holds them.
    """

    encode: Callable[[Model, Sequence[Doc]], List[TokenRows]]
    learns: Callable[[Model], bool] = learns_nothing
    mixed_layers: Optional[Callable[[Model], Optional[Tuple[str, List[int]]]]] = None
    settings: Any = None

    @property
    def attrs(self) -> Dict[str, Any]:
        """The ``attrs`` of a model that offers this."""
        return {_ATTRIBUTE: self}


def encoder_of(model: Model) -> Optional[Encoder]:
    """Find what an encoder offers.

    :param model: any model.
    :return: the object; ``None`` if the model is no encoder of ours or of a package that extends ours.
    """
    found = model.attrs.get(_ATTRIBUTE)
    return found if isinstance(found, Encoder) else None
