"""What a training config lets us probe: the encoder, the component that listens to it, its score.

Enters: a config. Leaves: a :class:`Plan`, or an error that says what the config lacks. Nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, cast

from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Config, Model

from spacy_ctx_embed.encoders.shim import ContextualShim, EncoderShim
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.pipeline.component import EmbeddingComponent
from spacy_ctx_embed.probing.variants import Variant, make_variants
from spacy_ctx_embed.tok2vec.listener import find_link

OWNER = "embed probe"


@dataclass(frozen=True)
class Plan:
    """What is probed.

    :param config: the training config, not interpolated.
    :param embeddings: name of the embedding component.
    :param section: its section of the config, all defaults filled in.
    :param component: name of the component whose score counts.
    :param score: key of that score.
    :param max_steps: steps of each training.
    :param variants: what is compared.
    :param checksum: of the encoder's files: a name may come to stand for other weights.
    """

    config: Config
    embeddings: str
    section: Dict[str, Any]
    component: str
    score: str
    max_steps: int
    variants: Tuple[Variant, ...]
    checksum: str


def make_plan(
    config: Config,
    *,
    component: Optional[str] = None,
    embeddings: Optional[str] = None,
    score: Optional[str] = None,
    max_steps: Optional[int] = None,
) -> Plan:
    """Look at a config. The encoder's network is opened, to count its layers.

    :param config: a training config, not interpolated.
    :param component: the component whose score counts; ``None`` for the first that listens.
    :param embeddings: the embedding component; ``None`` for the first with several layers that is listened to.
    :param score: key of the score; ``None`` for the one of the component with the highest weight in
        ``training.score_weights``.
    :param max_steps: steps of each training; ``None`` for those of the config.
    :return: the plan.
    :raises ValueError: if the config has nothing to probe, or its steps have no end.
    """
    nlp = load_model_from_config(config, auto_fill=True)
    name = _find_embeddings(nlp, config, embeddings, component)
    upstream = cast(EmbeddingComponent, nlp.get_pipe(name))
    shim = _encoder_shim(upstream)
    if shim.settings.trainable:
        accepted = "false, as the layers are computed once for all trainings"
        raise ValueError(Errors.E001.format(owner=name, key="trainable", value=True, accepted=accepted))
    task = _find_component(nlp, upstream, component)
    return Plan(
        config=config,
        embeddings=name,
        section=dict(nlp.config["components"][name]),
        component=task,
        score=score or _default_score(nlp, task),
        max_steps=_find_steps(nlp, max_steps),
        variants=make_variants(shim.network().n_layers),
        checksum=shim.network().checksum,
    )


def _find_embeddings(nlp: Language, config: Config, wanted: Optional[str], component: Optional[str]) -> str:
    def refuse(reason: str) -> ValueError:
        return ValueError(Errors.E080.format(owner=OWNER, reason=reason))

    if wanted is not None and wanted not in nlp.pipe_names:
        raise refuse(f"there is no component {wanted!r} in {nlp.pipe_names}")
    found: Dict[str, List[str]] = {}  # who listens to each
    for name in nlp.pipe_names if wanted is None else [wanted]:
        pipe = nlp.get_pipe(name)
        if isinstance(pipe, EmbeddingComponent) and _has_layers(pipe):
            found[name] = pipe.listening_components
    if not found:
        raise refuse(f"{wanted!r} is none with layers" if wanted else f"none with layers in {nlp.pipe_names}")
    served = [name for name, heard_by in found.items() if component in heard_by]
    heard = [name for name, heard_by in found.items() if heard_by]
    name = (served or heard or list(found))[0]
    if "source" in config["components"][name]:
        raise refuse(f"{name!r} is taken from another pipeline by 'source'")
    return name


def _has_layers(pipe: EmbeddingComponent) -> bool:
    return any(isinstance(shim, EncoderShim) and shim.settings.has_layers for shim in pipe.model.shims)


def _encoder_shim(pipe: EmbeddingComponent) -> ContextualShim:
    return cast(ContextualShim, pipe.model.shims[0])


def _find_component(nlp: Language, upstream: EmbeddingComponent, wanted: Optional[str]) -> str:
    frozen = nlp.config.interpolate()["training"]["frozen_components"]
    listening = [name for name in upstream.listening_components if name in nlp.pipe_names]
    able = [name for name in listening if name not in frozen and _sends_gradient(nlp.get_pipe(name), upstream.name)]
    if wanted is None and able:
        return able[0]
    name = wanted or (listening[0] if listening else nlp.pipe_names[-1])
    if name in able:
        return name
    if name not in nlp.pipe_names:
        reason = "is not in the pipeline"
    elif name not in listening:
        reason = f"does not listen to {upstream.name!r}"
    elif name in frozen:
        reason = "is one of training.frozen_components"
    else:
        reason = "listens with grad_factor = 0, so that no mix is learnt"
    accepted = ", ".join(map(repr, able)) or "none in this config"
    raise ValueError(Errors.E081.format(owner=OWNER, component=name, reason=reason, accepted=accepted))


def _sends_gradient(pipe: Any, upstream: str) -> bool:
    links = [find_link(node) for node in cast(Model, pipe.model).walk()]
    return any(link is not None and link.upstream_name == upstream and link.grad_factor > 0 for link in links)


def _default_score(nlp: Language, component: str) -> str:
    weights = {key: value or 0.0 for key, value in nlp.config["training"]["score_weights"].items()}
    own: List[str] = [key for key in nlp.get_pipe_meta(component).scores if key in weights]
    candidates = own if any(weights[key] for key in own) else list(weights)
    if not candidates:
        raise ValueError(
            Errors.E083.format(owner=OWNER, component=component, score=None, accepted="a key of its scores")
        )
    return max(candidates, key=lambda key: weights[key])


def _find_steps(nlp: Language, max_steps: Optional[int]) -> int:
    training = nlp.config.interpolate()["training"]
    steps = training["max_steps"] if max_steps is None else max_steps
    if not isinstance(steps, int) or steps < 0 or (steps == 0 and training["max_epochs"] < 1):
        accepted = "a number of at least 1, or 0 where training.max_epochs ends the training"
        raise ValueError(Errors.E001.format(owner="training", key="max_steps", value=steps, accepted=accepted))
    return steps
