"""What papers found on the geometry of contextual vectors, and whether it holds of the layers measured here.

Enters: the measures of the layers of a pipeline. Leaves: for each component the findings, and whether it agrees. Most
of the papers' figures are plots, so what stands here is what they say in words, with the one number of an abstract.
Their models are not those of most pipelines; a finding says whether it was made on the same model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from spacy_ctx_embed.measures.geometry import Geometry
from spacy_ctx_embed.measures.word_pairs import spearman

MOST_EXPLAINED = 0.05  # of the variance, by one static vector for each word: Ethayarajh 2019, abstract
_ETHAYARAJH = "Ethayarajh 2019, arXiv:1909.00512"
_TIMKEY = "Timkey and van Schijndel 2021, arXiv:2109.04404"
_RUDMAN = "Rudman et al. 2022, arXiv:2108.07344"
_MODELS = {_ETHAYARAJH: ("elmo-original", "elmo-original-tf", "bert-base-cased", "gpt2")}
_DOMINANT = 0.5  # of the mean cosine: more than all other dimensions together
_SAME_ORDER = -0.9  # rank correlation below which one measure says what the other does
_Layers = Sequence[Geometry]


@dataclass(frozen=True)
class Finding:
    """A finding of a paper, beside a component.

    :param component: the embedding component.
    :param paper: authors, year and arXiv number.
    :param claim: what the paper says.
    :param here: what was measured, in words and numbers.
    :param agrees: whether it holds here; ``None`` where the Docs or the layers are too few to tell.
    :param same_model: whether the paper is known to have this model; elsewhere it speaks of another one.
    """

    component: str
    paper: str
    claim: str
    here: str
    agrees: Optional[bool]
    same_model: bool


def findings(rows: Iterable[Geometry]) -> List[Finding]:
    """Compare layers with what papers found.

    :param rows: measures, the layers of a component together and in order.
    :return: findings of each component with more than one layer; static vectors have no layers to compare.
    """
    found = []
    for component, group in groupby(rows, key=lambda row: row.component):
        layers = list(group)
        if len(layers) < 2:
            continue
        for paper, claim, check in _CLAIMS:
            here, agrees = check(layers)
            same = _is_one_of(layers[0].model, _MODELS.get(paper, ()))
            found.append(Finding(component, paper, claim, here, agrees, same))
    return found


def _is_one_of(model: str, names: Sequence[str]) -> bool:
    # "hub:google-bert/bert-base-cased" is bert-base-cased.
    return model.rsplit(":", 1)[-1].rsplit("/", 1)[-1] in names


def _anisotropic(layers: _Layers) -> Tuple[str, Optional[bool]]:
    ends = [row.intervals.get("mean_cosine") for row in layers]
    lows = [end[0] for end in ends if end is not None]
    if len(lows) < len(ends):
        return "too few Docs", None
    return f"lowest end of the intervals of the mean cosine: {min(lows):.3f}", min(lows) > 0


def _more_anisotropic(layers: _Layers) -> Tuple[str, Optional[bool]]:
    return _trend([row.mean_cosine for row in layers], "mean cosine", rises=True)


def _less_alike(layers: _Layers) -> Tuple[str, Optional[bool]]:
    values = [row.adjusted_self_similarity for row in layers]
    return _trend(values, "adjusted self-similarity", rises=False)


def _nearer_to_itself(layers: _Layers) -> Tuple[str, Optional[bool]]:
    values = [row.adjusted_self_similarity for row in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "too few uses of words", None
    return f"smallest adjusted self-similarity: {min(known):.3f}", min(known) > 0


def _little_explained(layers: _Layers) -> Tuple[str, Optional[bool]]:
    values = [row.adjusted_explained for row in layers]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "too few uses of words", None
    return f"adjusted share: {min(known):.3f} to {max(known):.3f}", max(known) < MOST_EXPLAINED


def _rogue(layers: _Layers) -> Tuple[str, Optional[bool]]:
    known = [(row.dominant_3, row.layer) for row in layers if row.dominant_3 is not None]
    if not known:
        return "no mean cosine above 0", None
    share, layer = max(known)
    return f"largest share of three dimensions: {share:.3f}, layer {layer}", share > _DOMINANT


def _no_measure(layers: _Layers) -> Tuple[str, Optional[bool]]:
    known = [(row.mean_cosine, row.iso_score) for row in layers]
    pairs = [(mean, score) for mean, score in known if mean is not None and score is not None]
    if len(pairs) < 3:
        return "too few layers or Docs", None
    rho = spearman(*_columns(pairs))
    return f"rank correlation of mean cosine and IsoScore over layers: {rho:.2f}", rho > _SAME_ORDER


def _trend(values: Sequence[Optional[float]], name: str, *, rises: bool) -> Tuple[str, Optional[bool]]:
    pairs = [(float(layer), value) for layer, value in enumerate(values) if value is not None]
    if len(pairs) < 3:
        return "too few layers or Docs", None
    rho = spearman(*_columns(pairs))
    return f"rank correlation of layer and {name}: {rho:.2f}", rho > 0 if rises else rho < 0


def _columns(pairs: Sequence[Tuple[float, float]]) -> Tuple[np.ndarray, np.ndarray]:
    left, right = np.array(pairs).T
    return left, right


_CLAIMS: List[Tuple[str, str, Callable[[_Layers], Tuple[str, Optional[bool]]]]] = [
    (_ETHAYARAJH, "vectors are not isotropic in any layer", _anisotropic),
    (_ETHAYARAJH, "upper layers are generally more anisotropic", _more_anisotropic),
    (_ETHAYARAJH, "upper layers are more context-specific: words less like themselves", _less_alike),
    (_ETHAYARAJH, "uses of one word are more alike than of two words", _nearer_to_itself),
    (_ETHAYARAJH, "one vector for all uses explains less than 5 % of a word's variance", _little_explained),
    (_TIMKEY, "often 1 to 3 dimensions dominate the cosine", _rogue),
    (_RUDMAN, "the mean cosine does not measure isotropy", _no_measure),
]
