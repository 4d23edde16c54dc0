"""What a correction does, for the page of senses: the layers of a source before and after, side by side.

Enters: the rows of all tokens on the lines that are read. Leaves: a source more for each that is corrected, in which
each layer has a correction of its own, fitted on these tokens. It is not what a pipeline has saved: that one is fitted
on the mixed layers, which the page does not show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Sequence

import numpy as np

from spacy_ctx_embed.rows.correction import Correction, CorrectionFit
from spacy_ctx_embed.seeing.senses_uses import WordUses
from spacy_ctx_embed.sources.layers import LayerRows, Source


@dataclass(frozen=True)
class Corrected:
    """A source that was corrected.

    :param name: what it is called on the page.
    :param of: the component.
    :param kind: of the correction.
    :param n_rows: tokens that it was fitted on.
    :param width: columns of a row.
    """

    name: str
    of: str
    kind: str
    n_rows: int
    width: int


class Corrections:
    """Fits corrections while uses are collected, and applies them to the uses at the end.

    :param kinds: kind by name of the source; the others are not corrected.
    """

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._fits: Dict[str, List[CorrectionFit]] = {}
        self.made: List[Corrected] = []

    def see(self, source: Source, rows: LayerRows) -> None:
        """Take the rows of a Doc in.

        :param source: whose they are.
        :param rows: all its layers.
        """
        kind = self._kinds.get(source.name)
        if kind is not None:
            fits = self._fits.setdefault(source.name, [CorrectionFit(kind) for _ in range(source.n_layers)])
            for fit, layer in zip(fits, rows.layers):
                fit.add(layer[rows.has_vector])

    def add_to(self, found: Mapping[str, WordUses], sources: Sequence[Source]) -> List[Source]:
        """Give the words the corrected rows of their uses.

        :param found: the words, to which sources are added.
        :param sources: those that they have.
        :return: the sources, each followed by its corrected one where there is a token to fit that on.
        """
        shown = []
        for source in sources:
            shown.append(source)
            fits = self._fits.get(source.name, [])
            if not fits or not fits[0].n_rows:
                continue
            layers = [fit.find() for fit in fits]
            kind = layers[0].kind
            twin = replace(source, name=f"{source.name} + {kind}")
            shown.append(twin)
            self.made.append(Corrected(twin.name, source.name, kind, layers[0].n_rows, layers[0].width))
            for word in found.values():
                word.corrected.add(twin.name)
                rows = word.rows[source.name]
                there = iter(_applied(layers, [row for row in rows if row is not None]))
                word.rows[twin.name] = [None if row is None else next(there) for row in rows]
        return shown


def _applied(layers: Sequence[Correction], rows: Sequence[np.ndarray]) -> List[np.ndarray]:
    # (n_layers, width) each. Uses with one row keep one: a product of matrices may round equal rows differently.
    found = [np.empty_like(row) for row in rows]
    for layer, correction in enumerate(layers):
        distinct = {row[layer].tobytes(): row[layer] for row in rows}
        after = dict(zip(distinct, correction.apply(np.stack(list(distinct.values()))))) if distinct else {}
        for new, row in zip(found, rows):
            new[layer] = after[row[layer].tobytes()]
    return found
