"""What is compared: each layer alone, their mean, and a mix that is learnt; each as a change of the training config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from thinc.api import Config

LISTENER = "spacy_ctx_embed.EmbeddingListener.v1"
MEAN, LEARNED = "mean", "learned mix"


@dataclass(frozen=True)
class Variant:
    """One choice of layers.

    :param name: "layer 0", "layer 1", …, "mean" or "learned mix".
    :param layer: the layer's number where it is a single one, else ``None``.
    :param layer_mix: the encoder's setting.
    """

    name: str
    layer: Optional[int]
    layer_mix: str

    @property
    def settings(self) -> Dict[str, Any]:
        """Settings of the encoder."""
        return {"layers": "all" if self.layer is None else [self.layer], "layer_mix": self.layer_mix}


def make_variants(n_layers: int) -> Tuple[Variant, ...]:
    """List all variants of an encoder. Their rows are equally wide, so that the task component is the same in all.

    :param n_layers: how many layers it has, the context-independent layer 0 included.
    :return: ``n_layers + 2`` variants, single layers first.
    """
    single = [Variant(f"layer {number}", number, "last") for number in range(n_layers)]
    return (*single, Variant(MEAN, None, "mean"), Variant(LEARNED, None, "scalar_mix"))


def vary(config: Config, embeddings: str, section: Dict[str, Any], variant: Variant, seed: int) -> Config:
    """Change a training config to a variant and a seed.

    The embedding component gets no cache of its own, and is not frozen, for its mix could not be learnt then. Listeners
    take the width that comes.

    :param config: the config, not interpolated; it is not changed.
    :param embeddings: the embedding component.
    :param section: its section with all defaults filled in.
    :param variant: the variant.
    :param seed: seed of the run.
    :return: the changed config.
    """
    changed = config.copy()
    model = {**section["model"], **variant.settings}
    changed["components"][embeddings] = {**section, "model": model, "cache_mb": 0, "cache_dir": None}
    for listener in _listeners(changed["components"], embeddings):
        listener["width"] = None
    if "seed" in changed.get("system", {}):
        changed["system"]["seed"] = seed
    training = changed.setdefault("training", {})
    training["seed"] = seed
    frozen = training.get("frozen_components", [])
    if isinstance(frozen, list):  # else the name of a variable
        training["frozen_components"] = [name for name in frozen if name != embeddings]
    return changed


def _listeners(section: Dict[str, Any], upstream: str) -> List[Dict[str, Any]]:
    found = []
    if section.get("@architectures") == LISTENER and section.get("upstream") == upstream:
        found.append(section)
    for value in section.values():
        if isinstance(value, dict):
            found.extend(_listeners(value, upstream))
    return found
