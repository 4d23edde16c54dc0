"""The one trainable pipe: runs an encoder over Docs and attaches its rows.

Enters: Docs. Leaves: the same Docs with rows in ``user_data``, read through the extension attributes. The four
factories make this class with different encoders.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Union, cast

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from spacy_ctx_embed.attach import attributes, hooks, storage
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.data import TokenRows
from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.networks.device import in_pipe_worker, limit_threads
from spacy_ctx_embed.pipeline import caching, failures, saving, unknown_words
from spacy_ctx_embed.pipeline import gpu as gpu_setting
from spacy_ctx_embed.pipeline.correction import HasCorrection
from spacy_ctx_embed.pipeline.doc_vectors import HasDocVectors, check_pooling
from spacy_ctx_embed.pipeline.files import SavedAsFiles
from spacy_ctx_embed.pipeline.foreign import foreign_rows
from spacy_ctx_embed.pipeline.listeners import HasListeners
from spacy_ctx_embed.rows.correction import KINDS
from spacy_ctx_embed.tok2vec.listener import Link, find_link
from spacy_ctx_embed.tok2vec.training_batch import TrainingBatch

DTYPES = ("float32", "float16")
CORRECTIONS = (None, *KINDS)
SERIALIZE = ("weights", "reference")
# A batch of a stream also ends where its rows reach so many bytes, whatever the Docs are.
_STREAM_BYTES = 32 << 20
_UNKNOWN_WIDTH = 1024  # of an encoder that is not open yet


class EmbeddingComponent(HasListeners, HasDocVectors, HasCorrection, SavedAsFiles, TrainablePipe):
    """Attaches the rows of an encoder to ``Doc``, ``Span`` and ``Token``.

    :param vocab: the pipeline's vocabulary.
    :param model: the encoder: ours, or any ``Model[List[Doc], List[Floats2d]]``.
    :param name: the component's name, under which its rows are found.
    :param doc_pooling: "mean", "max", "sum", "first" or "sif" of the rows that have a vector, for Spans and Docs; with
        ``Bert.v1`` also "cls", the Doc's first piece, or "model", as its ``modules.json`` says: what
        sentence-transformers gives.
    :param set_hooks: also serve spaCy's own ``.vector``, ``.has_vector``, ``.vector_norm`` and ``.similarity``.
    :param dtype: "float32" or "float16", stored on the Doc.
    :param gpu: "follow" spaCy's device, "prefer" a GPU where there is one, or "require" one.
    :param gpu_id: which GPU, for "prefer" and "require".
    :param cache_mb: memory for the un-mixed layers of Docs seen before, in MB; for a frozen ELMo or BERT.
    :param cache_dir: folder that keeps them across runs and processes.
    :param correction: "center", "standardize", "abtt" (all but the top) or "whiten" what is read on the Doc, fitted by
        ``initialize`` or ``embed fit-correction``; components that learn get the rows without it, and "cls" and "model"
        their own vectors.
    :param serialize: "weights" saves a self-contained pipeline, "reference" the model's name and checksum.
    :raises ValueError: if a setting has a value that is not accepted, or another package took an attribute's name.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], Any],
        name: str,
        *,
        doc_pooling: str,
        set_hooks: bool,
        dtype: str,
        gpu: str,
        gpu_id: int,
        cache_mb: int,
        cache_dir: Optional[str],
        correction: Optional[str],
        serialize: str,
    ) -> None:
        check_pooling(name, model, doc_pooling)
        check_one_of(name, "set_hooks", set_hooks, (True, False))
        check_one_of(name, "dtype", dtype, DTYPES)
        check_one_of(name, "correction", correction, CORRECTIONS)
        check_one_of(name, "serialize", serialize, SERIALIZE)
        caching.install(name, model, cache_mb, cache_dir)
        saving.check(name, model, serialize)
        attributes.install()
        gpu_setting.activate(name, model, gpu, gpu_id)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: Dict[str, Any] = {}
        self.doc_pooling = doc_pooling
        self.set_hooks = set_hooks
        self.dtype = dtype
        self.correction = correction
        self.serialize = serialize
        self._batch: Optional[TrainingBatch] = None
        self.listener_map = {}
        self.start_pooling()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        attributes.install()  # the process that reads a pickle may have built no component
        self.start_pooling()

    def predict(self, docs: Iterable[Doc]) -> List[TokenRows]:
        """Run the encoder. The Docs are not changed.

        :param docs: a batch of Docs.
        :return: rows and statuses, one :class:`TokenRows` per Doc.
        :raises ModelNotFoundError: at first use, if the encoder's model is found nowhere.
        :raises ModelFormatError: at first use, if its files are broken.
        :raises EncoderError: if the encoder fails for a reason that has no error of its own.
        """
        batch = list(docs)
        encoder = encoder_of(self.model)
        if encoder is not None:
            with failures.named(self.name, self.model):
                return unknown_words.noted(self, batch, encoder.encode(self.model, batch))
        arrays = self.model.predict(batch)
        return [foreign_rows(self.name, doc, self.model.ops.to_numpy(array)) for doc, array in zip(batch, arrays)]

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Process a stream of Docs. What a Doc's rows are does not depend on how the stream is cut.

        :param stream: the Docs.
        :param batch_size: Docs per batch at most; a batch of long Docs has fewer, except where state is carried from
            batch to batch (ELMo's ``stateful``).
        :yields: the Docs, in order.
        :raises EncoderError: in a worker of ``n_process``, if the encoder is on a GPU.
        """
        gpu_setting.refuse_workers(self.name, self.model)
        limit_threads(os.getpid())  # of a worker, before the components in front run: one may be a transformer
        handle = self.get_error_handler()
        for docs in self._batches(stream, batch_size):
            try:
                self.set_annotations(docs, self.predict(docs))
            except Exception as error:  # spaCy's way: the pipeline's error handler decides whether to go on
                handle(self.name, self, docs, error)
            else:
                yield from docs
            del docs  # the rows of a batch go before those of the next are computed

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[TokenRows]) -> None:
        """Put rows on Docs.

        :param docs: the Docs.
        :param scores: what :meth:`predict` gave for them.
        :raises ValueError: if a ``correction`` or ``doc_pooling = "sif"`` was not fitted.
        """
        hooked = self.set_hooks and not in_pipe_worker()
        for doc, rows in zip(docs, scores):
            storage.write(
                doc,
                self.name,
                rows,
                pooling=self.doc_pooling,
                hooks=self.set_hooks,
                dtype=self.dtype,
                extra=self.pooling_data(doc, rows.rows.shape[1]),
                corrected=self.corrected(rows),
            )
            if hooked:
                hooks.install(doc)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Union[Optimizer, None, bool] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Send the rows of a batch to the components that listen, and learn from the gradients that they send back.

        The component has no loss of its own. What learns is the scalar mix, and the network where ``trainable`` is
        true; a frozen network is not run through backwards.

        :param examples: a batch of Examples.
        :param drop: dropout of layers that follow spaCy's setting.
        :param sgd: optimizer, to learn at once from the gradients of the batch before.
        :param losses: record of losses, extended by the sum of squares of the gradients, as for spaCy's ``tok2vec``.
        :return: that record.
        """
        examples = list(examples)
        validate_examples(examples, "EmbeddingComponent.update")
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        self._finish_batch()
        listeners = self.listeners
        if not examples or not listeners:
            return losses
        docs = [example.predicted for example in examples]
        set_dropout_rate(self.model, drop)
        learning = [node.id for node in listeners if cast(Link, find_link(node)).grad_factor]
        encoder = encoder_of(self.model)
        wanted = bool(learning) and (encoder is None or encoder.learns(self.model))  # another tok2vec always may
        with failures.named(self.name, self.model):
            rows, backprop = self.model.begin_update(docs) if wanted else (self.model.predict(docs), None)
        self._batch = TrainingBatch(docs, rows, backprop, learning, partial(_add_loss, losses, self.name))
        for node in listeners:
            cast(Link, find_link(node)).receive(self._batch)
        if isinstance(sgd, Optimizer):
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Change what is learnt by the gradients collected so far.

        :param sgd: the optimizer.
        """
        if self._batch is not None and self._batch.has_gradient:
            self._finish_batch()
        self.model.finish_update(sgd)

    def find_width(self) -> Optional[int]:
        """Give the width of the rows, opening the encoder's model.

        :return: columns; ``None`` where it depends on components that have not run.
        """
        if not self.model.has_dim("nO"):
            self.model.initialize(X=[Doc(self.vocab, words=["word"])])
        return self.model.get_dim("nO") if self.model.has_dim("nO") else None

    def initialize(self, get_examples: Callable[[], Iterable[Example]], *, nlp: Optional[Language] = None) -> None:
        """Open the encoder's model, which first use does too, and fit ``correction`` and ``doc_pooling = "sif"``.

        :param get_examples: gives sample Examples.
        :param nlp: the pipeline.
        """
        for node in self.listeners:  # a pipeline that was pickled brings its listeners without what they listen to
            cast(Link, find_link(node)).upstream = self
        sample = [example.reference for example in islice(get_examples(), 10)]
        with failures.named(self.name, self.model):
            self.model.initialize(X=sample or [Doc(self.vocab, words=["word"])])
        self.fit(lambda: (example.reference for example in get_examples()), nlp)

    def fit(self, docs: Callable[[], Iterable[Doc]], nlp: Optional[Language]) -> bool:
        """Fit what the settings ask for: a ``correction``, then ``doc_pooling = "sif"`` on rows that have it.

        :param docs: gives the Docs; fewer than two with vectors change nothing.
        :param nlp: the pipeline, where this component reads what others before it leave on a Doc.
        :return: whether there is a correction to fit, and it was.
        """
        fitted = self.correction is not None and self.fit_correction(docs(), nlp)
        if self.doc_pooling == "sif" and (fitted or self.correction is None):
            self.fit_sif(docs, nlp)
        return fitted

    def _finish_batch(self) -> None:
        # Gradients that came without those of all other listeners, some of which may be frozen.
        if self._batch is not None:
            self._batch.finish()
            self._batch = None

    def _batches(self, stream: Iterable[Doc], n_docs: int) -> Iterator[List[Doc]]:
        # Lists of at most n_docs Docs with at most _STREAM_BYTES of rows, or of one Doc with more.
        in_order = any(shim.settings.stateful for shim in encoder_shims(self.model))
        batch: List[Doc] = []
        n_tokens = 0
        for doc in stream:
            width = self.model.get_dim("nO") if self.model.has_dim("nO") else _UNKNOWN_WIDTH
            full = not in_order and (n_tokens + len(doc)) * width * 4 > _STREAM_BYTES
            if batch and (full or len(batch) == n_docs):
                yield batch
                batch, n_tokens = [], 0
            batch.append(doc)
            n_tokens += len(doc)
        if batch:
            yield batch


def _add_loss(losses: Dict[str, float], name: str, loss: float) -> None:
    losses[name] += loss
