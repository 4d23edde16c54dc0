"""``doc_pooling``: what a component puts on a Doc so that its Spans and the Doc itself have vectors.

Most ways of pooling need nothing but rows. "cls" and "model" are vectors of the encoder's own, "model" also needs what
comes after the pooling, for Spans, and "sif" is fitted on training Docs.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import srsly
from numpy.typing import NDArray
from spacy.attrs import LOWER
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_ctx_embed.attach import attributes, heads
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.data import Floats2d, TextHead, TokenRows, covered
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.encoders.shim import EncoderShim, encoder_shims
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.pool import DOC_POOLINGS, OWN_POOLINGS
from spacy_ctx_embed.rows.sif import CommonDirection, Frequencies, Sif, sif_vector
from spacy_ctx_embed.segments.spaces import whitespace

_FEWEST = 2  # Docs to fit on: of a single one, all would be taken out
_TRANSFORMERS = ("transformer", "curated_transformer")


def check_pooling(owner: str, model: Model, doc_pooling: str) -> None:
    """Ask the encoder for vectors of whole texts where the setting says so. Opens no file.

    :param owner: the component, for messages.
    :param model: its encoder.
    :param doc_pooling: the setting.
    :raises ValueError: if its value is not accepted, or not for this encoder.
    """
    check_one_of(owner, "doc_pooling", doc_pooling, DOC_POOLINGS)
    if doc_pooling not in OWN_POOLINGS:
        return
    shim = next((shim for shim in model.shims if isinstance(shim, EncoderShim)), None)
    if shim is None or doc_pooling not in shim.settings.text_poolings:
        others = ", ".join(repr(value) for value in DOC_POOLINGS if value not in OWN_POOLINGS)
        accepted = f"{others} with this encoder; {doc_pooling!r} where the model is spacy_ctx_embed.Bert.v1"
        raise ValueError(Errors.E001.format(owner=owner, key="doc_pooling", value=doc_pooling, accepted=accepted))
    settings = shim.settings
    if doc_pooling == "model" and isinstance(settings, ContextualSettings) and settings.layer_mix == "concat":
        accepted = "another value of doc_pooling, or rows as wide as the model's layers: layer_mix other than 'concat'"
        raise ValueError(Errors.E001.format(owner=owner, key="doc_pooling", value=doc_pooling, accepted=accepted))
    shim.text_pooling = doc_pooling


class HasDocVectors:
    """Base of a component that gives Docs and Spans vectors. ``sif`` is the fitted state of ``doc_pooling = "sif"``."""

    name: str
    vocab: Vocab
    model: Model
    doc_pooling: str
    sif: Optional[Sif] = None
    predict: Callable[[Iterable[Doc]], List[TokenRows]]
    corrected: Callable[[TokenRows], Optional[Floats2d]]
    set_annotations: Callable[[Iterable[Doc], Sequence[TokenRows]], None]
    _batches: Callable[[Iterable[Doc], int], Iterator[List[Doc]]]
    _described: Optional[Tuple[TextHead, Dict[str, Any]]] = None

    def start_pooling(self) -> None:
        """Begin to serve the Spans of Docs; called when the component is built, and when it is read from a pickle."""
        self._described = None
        heads.offer(self)

    def text_head(self) -> Optional[TextHead]:
        """Give what comes after the pooling of the model, opening its files.

        :return: it; ``None`` where ``doc_pooling`` is not "model".
        """
        if self.doc_pooling != "model":
            return None
        shim: Any = encoder_shims(self.model)[0]
        head: TextHead = shim.network().texts("model").head
        return head

    def pooling_data(self, doc: Doc, width: int) -> Dict[str, Any]:
        """Give what the pooling needs on a Doc besides rows.

        :param doc: the Doc.
        :param width: of its rows.
        :return: plain data, may be empty.
        :raises ValueError: with "sif", if it was not fitted, or on rows of another width.
        """
        if self.doc_pooling == "sif":
            if self.sif is None:
                raise ValueError(Errors.E029.format(owner=self.name, reason="has not been fitted"))
            if len(self.sif.common) != width:
                reason = f"was fitted on rows of {len(self.sif.common)} columns, and these have {width}"
                raise ValueError(Errors.E029.format(owner=self.name, reason=reason))
            return {"weights": self.sif.frequencies.weights(_words(doc)), "common": self.sif.common}
        head = self.text_head()
        if head is None:
            return {}
        if self._described is None or self._described[0] is not head:
            self._described = head, {"head": heads.describe(head)}
        return self._described[1]

    def vectors_alone(self, texts: Iterable[Union[Doc, Span]]) -> Floats2d:
        """Give the vectors that Spans have as texts of their own: nothing around them is read.

        The vector that a Span has on its Doc was read in the context of that Doc. With ``doc_pooling = "model"`` this
        is ``SentenceTransformer.encode([span.text for span in texts])``.

        :param texts: Spans, such as ``doc.sents``, or Docs.
        :return: ``(n_texts, width)``, a row per Span.
        :raises ValueError: if the encoder needs what other components leave on a Doc.
        """
        vectors = list(self._vectors(map(_as_text, texts)))
        return np.stack(vectors) if vectors else np.stack(list(self._vectors([Doc(self.vocab)])))[:0]

    def _vectors(self, docs: Iterable[Doc]) -> Iterator[NDArray[Any]]:
        # Not by pipe: it leaves a batch out where the error handler of the pipeline says so.
        for batch in self._batches(docs, 128):
            self.set_annotations(batch, self.predict(batch))
            for doc in batch:
                yield attributes.vector_of(doc, self.name)

    def fit_sif(self, docs: Callable[[], Iterable[Doc]], nlp: Optional[Language]) -> None:
        """Count words, and find the direction that the vectors of Docs share: two passes over the Docs.

        :param docs: gives training Docs; of fewer than two with vectors nothing is learnt.
        :param nlp: the pipeline, where this component reads what others before it leave on a Doc.
        """
        counts: Counter[int] = Counter()
        for doc in docs():
            counts.update(_words(doc)[~whitespace(doc)].tolist())
        words = np.array(sorted(counts), dtype=np.uint64)
        frequencies = Frequencies(words, np.array([counts[int(word)] for word in words], dtype=np.int64))
        direction = CommonDirection()
        for batch in self._batches(docs(), 128):
            for doc, found in zip(batch, self.predict(self._ready(batch, nlp))):
                has = covered(found.status)
                if has.any():
                    weights, corrected = frequencies.weights(_words(doc)), self.corrected(found)
                    rows = found.rows if corrected is None else corrected
                    direction.add(sif_vector(rows[has], weights[has], None))
        if direction.n_vectors >= _FEWEST:
            self.sif = Sif(frequencies, direction.find())

    def sif_to_bytes(self) -> bytes:
        """Serialise what was fitted.

        :return: the bytes.
        """
        assert self.sif is not None
        frequencies = self.sif.frequencies
        state = {"words": frequencies.words, "counts": frequencies.counts, "common": self.sif.common}
        return bytes(srsly.msgpack_dumps(state))

    def sif_to_disk(self, path: Path) -> None:
        """Save what was fitted.

        :param path: the file.
        """
        path.write_bytes(self.sif_to_bytes())

    def sif_from_bytes(self, content: bytes) -> None:
        """Load what :meth:`sif_to_bytes` made.

        :param content: the bytes.
        """
        state = srsly.msgpack_loads(content)
        self.sif = Sif(Frequencies(state["words"], state["counts"]), state["common"])

    def _ready(self, docs: Sequence[Doc], nlp: Optional[Language]) -> List[Doc]:
        # Docs with what the encoder reads on them, where it has no network of its own.
        if nlp is None or encoder_shims(self.model):
            return list(docs)
        found: Iterable[Doc] = [doc.copy() for doc in docs]
        components: List[Tuple[str, Any]] = list(nlp.pipeline)
        for name, component in components:
            if component is self:
                break
            if isinstance(component, HasDocVectors) or nlp.get_pipe_meta(name).factory in _TRANSFORMERS:
                found = component.pipe(found)
        return list(found)


def _words(doc: Doc) -> NDArray[np.uint64]:
    # (n_tokens,) ids of the lower-cased words.
    return np.asarray(doc.to_array([LOWER]), dtype=np.uint64).reshape(-1)


def _as_text(text: Union[Doc, Span]) -> Doc:
    # A new Doc; of a Span without the space behind it.
    spaces = [bool(token.whitespace_) for token in text]
    if spaces and isinstance(text, Span):
        spaces[-1] = False
    return Doc(text.doc.vocab if isinstance(text, Span) else text.vocab, words=[t.text for t in text], spaces=spaces)
