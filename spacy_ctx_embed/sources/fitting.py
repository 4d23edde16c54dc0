"""Fits the ``correction`` of the embedding components of a pipeline on Docs, apart from any training.

Enters: a pipeline and Docs. Leaves: the same pipeline, in which the setting is on and fitted; what it gives is then
saved and loaded as any pipeline is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.pipeline.component import CORRECTIONS, EmbeddingComponent

OWNER = "embed fit-correction"


@dataclass(frozen=True)
class Fitted:
    """What was fitted of one component.

    :param component: its name.
    :param correction: the kind.
    :param n_rows: tokens with a vector that were seen.
    :param width: columns of a row.
    """

    component: str
    correction: str
    n_rows: int
    width: int


def fit_correction(
    nlp: Language,
    docs: Callable[[], Iterable[Doc]],
    correction: Optional[str] = None,
    *,
    components: Optional[Sequence[str]] = None,
) -> List[Fitted]:
    """Fit the corrections of components in the order of the pipeline, and set them in its config.

    With ``doc_pooling = "sif"`` that is fitted anew on the same Docs, as its vectors come from the corrected rows.

    :param nlp: the pipeline; of it only embedding components are run.
    :param docs: gives the Docs, once for each component; twice more with ``doc_pooling = "sif"``.
    :param correction: "center", "standardize", "abtt" or "whiten"; the setting that each component has if not given.
    :param components: names of components; all embedding components if not given, or without ``correction`` all that
        have the setting.
    :return: what was fitted, component by component.
    :raises ValueError: if there is no such component or setting, or there are fewer than two Docs with vectors; what
        was fitted before the component at fault stays fitted.
    """
    check_one_of(OWNER, "correction", correction, CORRECTIONS)
    chosen = _chosen(nlp, correction, components)
    return [_fit(nlp, component, docs, kind) for component, kind in chosen]


def set_corrections(nlp: Language) -> Dict[str, str]:
    """List the settings that a pipeline has.

    :param nlp: the pipeline.
    :return: kind by name of the component; those with null are left out.
    """
    return {name: str(component.correction) for name, component in _components(nlp).items() if component.correction}


def _components(nlp: Language) -> Dict[str, EmbeddingComponent]:
    return {name: pipe for name, pipe in nlp.pipeline if isinstance(pipe, EmbeddingComponent)}


def _chosen(
    nlp: Language, correction: Optional[str], names: Optional[Sequence[str]]
) -> List[tuple[EmbeddingComponent, str]]:
    found, have = _components(nlp), set_corrections(nlp)
    for name in names or ():
        if name not in found:
            accepted = ", ".join(map(repr, found)) or "a pipeline with an embedding component"
            raise ValueError(Errors.E001.format(owner=OWNER, key="component", value=name, accepted=accepted))
    wanted = [name for name in found if (name in names if names is not None else correction or name in have)]
    missing = [name for name in wanted if not correction and name not in have]
    if missing or not wanted:
        accepted = f"one of {', '.join(map(repr, CORRECTIONS[1:]))}, where a component has correction = null"
        if not found:
            accepted = "a pipeline with an embedding component"
        value = correction if found else nlp.pipe_names
        key = "correction" if found else "pipeline"
        raise ValueError(Errors.E001.format(owner=OWNER, key=key, value=value, accepted=accepted))
    return [(found[name], correction or have[name]) for name in wanted]


def _fit(nlp: Language, component: EmbeddingComponent, docs: Callable[[], Iterable[Doc]], kind: str) -> Fitted:
    before, component.correction = component.correction, kind
    if not component.fit(docs, nlp):
        component.correction = before
        raise ValueError(
            Errors.E086.format(
                owner=OWNER,
                key="component",
                value=component.name,
                reason="gives vectors to fewer than two Docs of the corpus",
                accepted="a corpus with two Docs or more that have vectors, and better thousands",
                fix="give a larger corpus, or a larger --limit",
            )
        )
    nlp.get_pipe_config(component.name)["correction"] = kind
    fitted = component.fitted_correction
    assert fitted is not None
    return Fitted(component.name, kind, fitted.n_rows, fitted.width)
