"""``correction``: rows are read with less of what all of them share; what learns from rows gets them without it.

Enters: rows of an encoder. Leaves: the rows that a Doc shows. What is taken out is fitted once, on training Docs by
``initialize`` or on any Docs by ``embed fit-correction``, and saved with the component.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence

import srsly
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctx_embed.data import Floats2d, Status, TokenRows, covered
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.correction import Correction, CorrectionFit

_FEWEST = 2  # Docs to fit on: a single one, as the sample that spaCy makes up, says nothing of what all rows share


class HasCorrection:
    """Base of a component whose rows are corrected when they are read.

    ``correction`` is the setting, ``fitted_correction`` what was fitted.
    """

    name: str
    correction: Optional[str]
    fitted_correction: Optional[Correction] = None
    predict: Callable[[Iterable[Doc]], List[TokenRows]]
    _batches: Callable[[Iterable[Doc], int], Iterator[List[Doc]]]
    _ready: Callable[[Sequence[Doc], Optional[Language]], List[Doc]]

    def corrected(self, found: TokenRows) -> Optional[Floats2d]:
        """Correct the rows of a Doc. Zero rows of tokens without a vector stay zero.

        :param found: what the encoder gave.
        :return: ``(n_tokens, width)``; ``None`` where ``correction`` is null.
        :raises ValueError: if the correction was not fitted, or as another one, or on rows of another width.
        """
        if self.correction is None:
            return None
        fitted, width = self.fitted_correction, found.rows.shape[1]
        reason = ""
        if fitted is None:
            reason = "has not been fitted"
        elif fitted.kind != self.correction:
            reason = f"has not been fitted, but {fitted.kind!r} has"
        elif fitted.width != width:
            reason = f"was fitted on rows of {fitted.width} columns, and these have {width}"
        if fitted is None or reason:
            raise ValueError(Errors.E026.format(owner=self.name, value=self.correction, reason=reason))
        return fitted.apply_where(found.rows, covered(found.status) | (found.status == Status.UNKNOWN))

    def fit_correction(self, docs: Iterable[Doc], nlp: Optional[Language]) -> bool:
        """Fit the correction that the setting names, in one pass over Docs. Only tokens with a vector count.

        :param docs: the Docs; of fewer than two with vectors nothing is learnt, and what was fitted before stays.
        :param nlp: the pipeline, where this component reads what others before it leave on a Doc.
        :return: whether it was fitted.
        """
        assert self.correction is not None
        fit, n_docs = CorrectionFit(self.correction), 0
        for batch in self._batches(docs, 128):
            for found in self.predict(self._ready(batch, nlp)):
                has = covered(found.status)
                fit.add(found.rows[has])
                n_docs += bool(has.any())
        if n_docs < _FEWEST:
            return False
        self.fitted_correction = fit.find()
        return True

    def correction_to_bytes(self) -> bytes:
        """Serialise what was fitted.

        :return: the bytes.
        """
        assert self.fitted_correction is not None
        return bytes(srsly.msgpack_dumps(self.fitted_correction.state()))

    def correction_to_disk(self, path: Path) -> None:
        """Save what was fitted.

        :param path: the file.
        """
        path.write_bytes(self.correction_to_bytes())

    def correction_from_bytes(self, content: bytes) -> None:
        """Load what :meth:`correction_to_bytes` made.

        :param content: the bytes.
        """
        state: Any = srsly.msgpack_loads(content)
        self.fitted_correction = Correction(**state)
