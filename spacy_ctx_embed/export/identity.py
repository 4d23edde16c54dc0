"""What a pipeline is, so that rows of two pipelines are never in one dataset, and a reader knows whose they are.

Enters: a pipeline. Leaves: a plain description for the files' metadata, and one fingerprint of all that rows depend on.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Dict, List, Optional, Sequence, Tuple

from spacy.language import Language

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import refused
from spacy_ctx_embed.export.columns import vector_of
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.pipeline.component import EmbeddingComponent

_PACKAGES = ("spacy-ctx-embed", "spacy", "numpy", "torch", "transformers", "pyarrow")


def find_components(nlp: Language, names: Optional[Sequence[str]] = None) -> List[EmbeddingComponent]:
    """Find the components whose vectors are exported.

    :param nlp: the pipeline.
    :param names: their names, in the order of the columns; all embedding components if not given.
    :return: the components.
    :raises ValueError: if a name is no such component, there is none, or one has state that goes from Doc to Doc.
    """
    found = {name: pipe for name, pipe in nlp.pipeline if isinstance(pipe, EmbeddingComponent)}
    wanted = list(found) if not names else list(dict.fromkeys(names))
    accepted = ", ".join(map(repr, found)) or "a pipeline with static_, elmo_, bert_ or stacked_embeddings"
    for name in wanted or ["(none)"]:
        if name not in found:
            raise refused(
                OWNER, "--component", name, "is no embedding component of the pipeline", accepted, "name one of those"
            )
    for name in wanted:
        if any(shim.settings.stateful for shim in encoder_shims(found[name].model)):
            told = "has stateful = true, so that rows depend on the documents before"
            fix = "set stateful = false in the config"
            raise refused(OWNER, "--component", name, told, "components whose rows depend on the document alone", fix)
    return [found[name] for name in wanted]


def find_widths(nlp: Language, components: Sequence[EmbeddingComponent], kind: str = "token") -> Tuple[int, ...]:
    """Find how wide rows are, by running the pipeline: those of stacked components depend on the others, and those of
    texts and their parts may be narrower or wider than those of tokens.

    :param nlp: the pipeline.
    :param components: what :func:`find_components` found.
    :param kind: what a row stands for.
    :return: columns of each.
    """
    doc = nlp("word")
    records = [storage.read(doc, pipe.name) for pipe in components]
    return tuple(len(vector_of(record, kind, slice(0, len(doc)))) for record in records)


def describe(
    nlp: Language, components: Sequence[EmbeddingComponent], widths: Sequence[int], pipeline: str
) -> Dict[str, Any]:
    """Describe a pipeline for the metadata of its dataset.

    :param nlp: the pipeline.
    :param components: what :func:`find_components` found.
    :param widths: columns of each.
    :param pipeline: its name or path, as it was given.
    :return: plain data.
    """
    return {
        "pipeline": pipeline,
        "name": f"{nlp.meta['lang']}_{nlp.meta['name']}" if nlp.meta.get("name") else nlp.meta["lang"],
        "version": nlp.meta.get("version", ""),
        "pipe_names": list(nlp.pipe_names),
        "components": [_component(nlp, *pair) for pair in zip(components, widths)],
        "packages": dict(filter(None, map(_version, _PACKAGES))),
        "fingerprint": fingerprint(nlp),
    }


def fingerprint(nlp: Language) -> str:
    """Hash all that the rows of a pipeline depend on.

    :param nlp: a pipeline that was loaded.
    :return: SHA-256 (hex) of its files, and of its models' files, which may be elsewhere.
    """
    found = [] if nlp.path is None else [checksum(nlp.path)]
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, EmbeddingComponent):
            found += [shim.network().checksum for shim in encoder_shims(pipe.model)]
    return hashlib.sha256("\n".join(found).encode("ascii")).hexdigest()


def _component(nlp: Language, pipe: EmbeddingComponent, width: int) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "name": pipe.name,
        "factory": nlp.get_pipe_meta(pipe.name).factory,
        "width": width,
        "doc_pooling": pipe.doc_pooling,
        "models": [],
    }
    for shim in encoder_shims(pipe.model):
        network, settings = shim.network(), shim.settings
        model: Dict[str, Any] = {"kind": network.kind, "name": settings.name, "checksum": network.checksum}
        if isinstance(settings, ContextualSettings):
            model.update(layers=settings.layers, layer_mix=settings.layer_mix, precision=settings.precision)
        found["models"].append(model)
    return found


def _version(package: str) -> Optional[Tuple[str, str]]:
    try:
        return package, version(package)
    except PackageNotFoundError:
        return None
