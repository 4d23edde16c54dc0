"""Settings on the wrong level: the encoder's given to its component, or the component's to its encoder.

Enters: the config of a component as a user wrote it. Leaves: an error that says where the setting goes. spaCy checks
configs too, with one hole: ``name`` at the level of the component is taken out before a factory sees it, with a warning
about pipe names (W119), and ``bert_embeddings`` would run its default model where another was asked for. So
``Language.add_pipe`` looks at the configs of our factories first; nothing else of it changes.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Dict, Mapping, Optional, Set, Tuple

from spacy import registry
from spacy.language import Language

from spacy_ctx_embed.errors import Errors

# factory -> its own settings, and the architecture of its default model
_FACTORIES: Dict[str, Tuple[Set[str], str]] = {}


def watch(factory: str, settings: Set[str], architecture: str) -> None:
    """Check the configs of a factory from now on, before spaCy reads them.

    :param factory: its name.
    :param settings: the settings of the component itself.
    :param architecture: registered name of the encoder that it has where the config names none.
    """
    if not _FACTORIES:
        Language.add_pipe = _checked(Language.add_pipe)  # type: ignore[method-assign]
    _FACTORIES[factory] = settings, architecture


def check_levels(factory: str, owner: str, config: Mapping[str, Any]) -> None:
    """Refuse settings that stand on the wrong level.

    :param factory: name of the factory.
    :param owner: name of the component.
    :param config: its config, in which defaults may be missing.
    :raises ValueError: if a setting of the encoder is given to the component, or the other way round.
    """
    model = config.get("model", {})
    if not isinstance(model, Mapping):
        return  # a model, or a mistake that spaCy names
    own, default = _FACTORIES[factory]
    outside, inside = config.keys() - own - {"model", "factory"}, model.keys() & own
    if not (outside or inside):
        return
    architecture = model.get("@architectures", default)
    encoders = _parameters(architecture)
    for key in sorted(outside & encoders):
        where, fix = f"the encoder, {architecture}", f'config={{"model": {{{key!r}: {config[key]!r}}}}}'
        _refuse(owner, key, config[key], where, fix, f"[components.{owner}.model]")
    for key in sorted(inside - encoders if encoders else ()):
        _refuse(owner, key, model[key], "the component", f"config={{{key!r}: {model[key]!r}}}", f"[components.{owner}]")


def _refuse(owner: str, key: str, value: Any, where: str, fix: str, section: str) -> None:
    raise ValueError(Errors.E006.format(owner=owner, key=key, value=value, where=where, fix=fix, section=section))


def _parameters(architecture: Any) -> Set[str]:
    # None at all of what is not registered, which spaCy names.
    if not isinstance(architecture, str) or not registry.has("architectures", architecture):
        return set()
    return set(inspect.signature(registry.get("architectures", architecture)).parameters)


def _checked(add_pipe: Any) -> Any:
    @functools.wraps(add_pipe)
    def checked(self: Language, factory_name: str, name: Optional[str] = None, **settings: Any) -> Any:
        config = settings.get("config")
        if isinstance(config, Mapping) and settings.get("source") is None and factory_name in _FACTORIES:
            check_levels(factory_name, name or factory_name, config)
        return add_pipe(self, factory_name, name, **settings)

    return checked
