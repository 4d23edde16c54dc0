"""Static word vectors as an encoder: Docs to rows, one vector per word type, nothing to learn.

Enters: Docs. Leaves: one ``(n_tokens, width)`` float32 array per Doc. Built from config values alone; the table is
opened at ``initialize``, ``from_disk`` or first use.
"""

from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from spacy_ctx_embed.data import TokenRows
from spacy_ctx_embed.encoder import Encoder, no_gradient
from spacy_ctx_embed.encoders.shim import EncoderShim
from spacy_ctx_embed.encoders.static.settings import StaticSettings
from spacy_ctx_embed.encoders.static.word_vectors import (
    VOCAB_MARKER,
    TableVectors,
    VocabVectors,
    WordVectors,
    no_subwords,
)
from spacy_ctx_embed.errors import Errors, ModelFormatError

OWNER = StaticSettings.owner
StaticShim = EncoderShim[StaticSettings, WordVectors]


def make_static_vectors_v1(
    *,
    name: str,
    lowercase: str = "fallback",
    fallbacks: List[str] = [],  # noqa: B006  # a config has no tuples; it is only read
    oov: str = "zero",
    normalize: bool = False,
    limit: Optional[int] = None,
    allow_pickle: bool = False,
    cache: bool = True,
) -> Model[List[Doc], List[Floats2d]]:
    """Build the encoder. Opens no file.

    :param name: the table: an alias, a path, ``package:…``, ``gensim:…``, or ``"vocab"`` for the vectors of the
        pipeline's own vocab, floret included.
    :param lowercase: "fallback" tries the word as written, then lower-cased; "always" only lower-cased; "never"
        only as written.
    :param fallbacks: what else is tried for a word that is not there, always in this order: "title" (Title Case),
        "nfkc" (compatibility characters), "accents" (without them), "digits" (each as 0), "parts" (the mean of the
        parts of a hyphenated word). ``token._.vector_status`` then has that name. Without effect on tables of parts
        (floret, model2vec, ``StaticEmbedding``), which make a row of whatever is known of a word.
    :param oov: row of a word that is not there: "zero", the table's "mean", or fastText's "subword" n-grams.
    :param normalize: give rows unit length (zero rows stay zero).
    :param limit: read only so many words, from the first on; null for all. Without effect on tables of parts, which
        have no list of words.
    :param allow_pickle: load gensim's own files, which are pickles and can run any code.
    :param cache: keep a table whose format is slow to read as a folder in the user's cache, so that it opens at once
        the next time; see :mod:`spacy_ctx_embed.models.static.tables.cached`.
    :return: the encoder; dimension nO is set when the table is opened.
    :raises ValueError: if a setting has a value that is not accepted.
    """
    settings = StaticSettings(**locals())
    return Model(
        OWNER,
        forward,
        init=init,
        dims={"nO": None},
        attrs=Encoder(encode).attrs,
        shims=[EncoderShim(settings, open_static)],
    )


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Rows of a batch of Docs.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :param is_train: not used: static vectors learn nothing.
    :return: one ``(n_tokens, nO)`` float32 array per Doc on the model's device, and a backward pass without gradient.
    """
    return [model.ops.asarray2f(cast(Floats2d, part.rows)) for part in encode(model, docs)], no_gradient


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Open the table, which sets the output width.

    :param model: the encoder.
    :param X: sample Docs; only ``name = "vocab"`` reads the vocab of the first, and waits for Docs without them.
    :param Y: not used.
    """
    _bind(model, X or ())


def encode(model: Model, docs: Sequence[Doc]) -> List[TokenRows]:
    """Rows and statuses of a batch of Docs, on the CPU.

    :param model: the encoder.
    :param docs: ``n_docs`` Docs.
    :return: one :class:`TokenRows` per Doc.
    """
    return _bind(model, docs).encode(docs)


def open_static(settings: StaticSettings, directory: Optional[Path], ops: Ops) -> WordVectors:
    """Open the table that the settings name, or the one that was saved with a pipeline.

    :param settings: the config values of :func:`make_static_vectors_v1`.
    :param directory: a folder that the network's ``save`` wrote, or ``None`` to look the name up.
    :param ops: not used: the table stays on the CPU.
    :return: the network.
    :raises ModelFormatError: if the saved folder is of the vocab's vectors and the settings are not, or vice versa.
    :raises ValueError: if ``oov = "subword"`` and the table has no n-grams.
    """
    from spacy_ctx_embed.models.places import find_model
    from spacy_ctx_embed.models.static.formats import open_table
    from spacy_ctx_embed.models.static.tables.folder import META, read_table

    name = settings.name
    if directory is not None:
        expected = VOCAB_MARKER if name == "vocab" else META
        for marker in (VOCAB_MARKER, META):
            if marker != expected and (directory / marker).exists():
                raise ModelFormatError(Errors.E016.format(owner=OWNER, file=directory, found=marker, expected=name))
    if name == "vocab":
        return VocabVectors(settings)
    if directory is not None:
        table = read_table(directory, settings.limit)
    else:
        table = open_table(
            find_model("static", name, owner=OWNER).path,
            limit=settings.limit,
            allow_pickle=settings.allow_pickle,
            subwords=settings.oov == "subword",
            cache=settings.cache,
        )
    if settings.oov == "subword" and table.subwords is None:
        raise no_subwords(OWNER, f"name = {name!r}, a table without sub-words")
    return TableVectors(table, settings)


def _bind(model: Model, docs: Sequence[Doc]) -> WordVectors:
    # Gives the network, and sets the output width as soon as it can be known.
    shim = cast(StaticShim, model.shims[0])
    network = shim.network()
    if docs:
        network.bind(docs[0].vocab)
    before = model.get_dim("nO") if model.has_dim("nO") else None
    if network.width and before is not None and before != network.width:
        name = shim.settings.name
        raise ValueError(Errors.E017.format(owner=OWNER, value=name, found=network.width, before=before))
    if network.width and before is None:
        model.set_dim("nO", network.width)
    return network
