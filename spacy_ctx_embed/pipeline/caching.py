"""``cache_mb`` and ``cache_dir``: gives the frozen encoders of a component a cache of their un-mixed layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from thinc.api import Model

from spacy_ctx_embed.checks import check_positive
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import Errors


def install(owner: str, model: Model, cache_mb: int, cache_dir: Optional[str]) -> None:
    """Give the encoders of a component a cache. Opens no file.

    :param owner: the component, for messages.
    :param model: its encoder.
    :param cache_mb: memory in MB (a million bytes); 0 for none.
    :param cache_dir: a folder, shared with other models, runs and processes; null for none.
    :raises ValueError: if a value is not accepted, or nothing in the component can be cached.
    """
    check_positive(owner, "cache_mb", cache_mb, minimum=0)
    if cache_dir is not None and (not isinstance(cache_dir, (str, Path)) or not str(cache_dir)):
        _refuse(owner, "cache_dir", cache_dir, "null, or the path of a folder")
    if cache_mb == 0 and cache_dir is None:
        return
    from spacy_ctx_embed.cache.layer_cache import LayerCache

    key, value = ("cache_mb", cache_mb) if cache_mb else ("cache_dir", cache_dir)
    shims = [shim for shim in encoder_shims(model) if shim.settings.has_layers]
    if not shims:
        _refuse(owner, key, value, "cache_mb = 0 and cache_dir = null for this encoder, whose rows are only looked up")
    for shim in shims:
        if shim.settings.trainable:
            _refuse(owner, key, value, "cache_mb = 0 and cache_dir = null where trainable = true changes the layers")
        if shim.settings.stateful:
            _refuse(owner, key, value, "cache_mb = 0 and cache_dir = null where stateful = true carries state along")
    cache = LayerCache(cache_mb * 1_000_000, Path(cache_dir) if cache_dir is not None else None)
    for shim in shims:
        shim.use_cache(cache)


def _refuse(owner: str, key: str, value: Any, accepted: str) -> None:
    raise ValueError(Errors.E001.format(owner=owner, key=key, value=value, accepted=accepted))
