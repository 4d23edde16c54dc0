"""What is known of an upstream component before it has run: the width and number of its layers.

Only spacy-transformers tells a listener its width, and neither tells who feeds it; a model is built without the
pipeline that it goes into. So the component is looked for among the objects of this process, once, when a pipeline is
initialised.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import Any, Optional, Sequence

from spacy.tokens import Doc
from thinc.api import Model

CURATED_KEY = "all_layer_outputs = true"
TRANSFORMERS_KEY = 'transformer_config = {"output_hidden_states": true} in its model'
_KINDS = (
    ("spacy_transformers.pipeline_component", "Transformer"),
    ("spacy_curated_transformers.pipeline.transformer", "CuratedTransformer"),
)


@dataclass(frozen=True)
class Upstream:
    """What an upstream component will give.

    :param width: of its rows.
    :param n_layers: how many layers it gives, 1 if only its last; ``None`` if that is not known before it has run.
    :param config_key: setting that makes it give all.
    """

    width: int
    n_layers: Optional[int]
    config_key: str


def find_upstream(listener: Model, name: str, docs: Sequence[Doc]) -> Optional[Upstream]:
    """Look for the component that feeds a listener, or else for one of that name in the pipeline of the Docs.

    :param listener: the node that it registers.
    :param name: the component's name, or ``"*"`` for any.
    :param docs: Docs of the pipeline.
    :return: what it gives; ``None`` if it is not there or not initialised.
    """
    kinds = tuple(getattr(sys.modules[module], kind) for module, kind in _KINDS if module in sys.modules)
    if not kinds:
        return None
    components = [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]
    found = [c for c in components if any(node is listener for node in c.listeners)]
    if not found:
        found = [c for c in components if name in ("*", c.name) and any(doc.vocab is c.vocab for doc in docs)]
    described = {what for what in map(_describe, found) if what is not None}
    return described.pop() if len(described) == 1 else None


def _describe(component: Any) -> Optional[Upstream]:
    model = component.model
    if not model.has_dim("nO"):
        return None
    if hasattr(component, "all_layer_outputs"):
        n_layers = _curated_layers(model) if component.all_layer_outputs else 1
        return Upstream(model.get_dim("nO"), n_layers, CURATED_KEY)
    config = getattr(getattr(model, "transformer", None), "config", None)
    n_layers = None
    if config is not None:
        hidden = getattr(config, "num_hidden_layers", None)
        all_layers = getattr(config, "output_hidden_states", False)
        n_layers = 1 if not all_layers else hidden + 1 if isinstance(hidden, int) else None
    return Upstream(model.get_dim("nO"), n_layers, TRANSFORMERS_KEY)


def _curated_layers(model: Model) -> Optional[int]:
    shims = model.get_ref("transformer").shims
    encoder: Any = getattr(getattr(shims[0], "_model", None), "curated_encoder", None) if shims else None
    n_layers = getattr(encoder, "num_hidden_layers", None)  # of ALBERT, whose layers share weights
    if n_layers is None and hasattr(encoder, "layers"):
        n_layers = len(encoder.layers)
    return None if n_layers is None else int(n_layers) + 1
