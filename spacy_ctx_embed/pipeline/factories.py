"""The four factories: a commented default config each, and one call of the component's class.

spaCy finds them through entry points; importing this module registers them. Annotations of registered functions are
objects, not strings: spaCy 3.7 checks configs against them and can't read strings.
"""

from typing import Any, Callable, Dict, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Config, Model

from spacy_ctx_embed.attach.combine import StackedSettings, make_stacked_rows
from spacy_ctx_embed.pipeline import levels
from spacy_ctx_embed.pipeline.component import EmbeddingComponent

_COMPONENT = """
# How Span and Doc vectors are made: "mean", "max", "sum", "first" or "sif" (fitted by initialize) of token rows; with
# Bert.v1 also "cls" or "model", the Doc's from the model's first piece or as sentence-transformers makes it.
doc_pooling = "mean"
# Also serve spaCy's own .vector, .has_vector, .vector_norm and .similarity.
set_hooks = true
# Stored on the Doc: "float32", or "float16" for half the memory.
dtype = "float32"
# "follow" thinc's active device, or activate the GPU: "prefer" where there is one, "require" one.
gpu = "follow"
gpu_id = 0
# Cache of a frozen encoder's layers.
cache_mb = 0
cache_dir = null
# "center", "standardize", "abtt" or "whiten" what is read on the Doc, fitted by initialize or embed fit-correction.
# Listeners get the rows without it.
correction = null
# What to_disk writes: "weights" (self-contained) or "reference" (name and checksum).
serialize = "weights"
"""

_STATIC = """
[model]
@architectures = "spacy_ctx_embed.StaticVectors.v1"
name = "glove-6b-50d"
# What to do with a word that is not in the table: try it lower-cased ("fallback"), "always" or "never" lower-case.
lowercase = "fallback"
# Row of an unknown word: "zero", "mean" of the table, or "subword" (fastText).
oov = "zero"
# Scale rows to length 1.
normalize = false
# Read only the first words of the table.
limit = null
"""

_ELMO = """
[model]
@architectures = "spacy_ctx_embed.Elmo.v1"
name = "elmo-mini"
# Layer 0 is the context-independent one; scalar_mix is ELMo's weighted sum (equation 1), the mean until it is trained.
layers = "all"
layer_mix = "scalar_mix"
trainable = false
# The same sentence gives the same vectors unless state is carried on.
stateful = false
"""

_BERT = """
[model]
@architectures = "spacy_ctx_embed.Bert.v1"
name = "all-minilm-l6-v2"
revision = null
layers = "all"
layer_mix = "last"
subword_pooling = "mean"
trainable = false
precision = "float32"
# Word pieces per window (null: the model's limit), and of context on each side where a Doc needs several windows
# (null: an eighth of the window).
window = null
overlap = null
"""

_STACKED = """
# Component names, in order; null: all embedding components that ran before.
sources = null
combine = "concat"
weights = null
# Scale each source's rows to length 1 first.
normalize = false
"""

_ASSIGNS = [
    "doc._.embeddings",
    *(f"{owner}._.{key}" for owner in ("doc", "span", "token") for key in ("vectors", "vector", "has_vector")),
    "token._.vector_status",
]


def _defaults(text: str) -> Dict[str, Any]:
    # A config needs a section, a factory's defaults have none: the two texts are read under one that is dropped again.
    config = Config().from_str(f"[component]\n{_COMPONENT}\n{text.replace('[model]', '[component.model]')}")
    return dict(config["component"])


def make_embeddings(
    nlp: Language,
    name: str,
    model: Model[List[Doc], Any],
    doc_pooling: str,
    set_hooks: bool,
    dtype: str,
    gpu: str,
    gpu_id: int,
    cache_mb: int,
    cache_dir: Optional[str],
    correction: Optional[str],
    serialize: str,
) -> EmbeddingComponent:
    """Make a component that attaches the rows of an encoder; the factories differ in the encoder of their defaults.

    :param nlp: the pipeline.
    :param name: the component's name.
    :param model: the encoder.
    :param doc_pooling: "mean", "max", "sum", "first", "sif", "cls" or "model".
    :param set_hooks: also serve spaCy's own ``.vector``.
    :param dtype: "float32" or "float16".
    :param gpu: "follow", "prefer" or "require".
    :param gpu_id: which GPU.
    :param cache_mb: size of the cache of layers, in MB.
    :param cache_dir: folder of that cache.
    :param correction: null, "center", "standardize", "abtt" or "whiten".
    :param serialize: "weights" or "reference".
    :return: the component.
    """
    return EmbeddingComponent(
        nlp.vocab,
        model,
        name,
        doc_pooling=doc_pooling,
        set_hooks=set_hooks,
        dtype=dtype,
        gpu=gpu,
        gpu_id=gpu_id,
        cache_mb=cache_mb,
        cache_dir=cache_dir,
        correction=correction,
        serialize=serialize,
    )


def _factory(name: str, text: str) -> Callable[..., EmbeddingComponent]:
    defaults = _defaults(text)
    levels.watch(name, set(defaults) - {"model"}, defaults["model"]["@architectures"])
    return Language.factory(name, func=make_embeddings, assigns=_ASSIGNS, default_config=defaults)


make_static_embeddings = _factory("static_embeddings", _STATIC)  # word2vec, GloVe, fastText: one vector per word type
make_elmo_embeddings = _factory("elmo_embeddings", _ELMO)  # biLM vectors in sentence context
make_bert_embeddings = _factory("bert_embeddings", _BERT)  # transformer vectors in document context


@Language.factory("stacked_embeddings", assigns=_ASSIGNS, default_config=_defaults(_STACKED))
def make_stacked_embeddings(
    nlp: Language,
    name: str,
    sources: Optional[List[str]],
    combine: str,
    weights: Optional[List[float]],
    normalize: bool,
    doc_pooling: str,
    set_hooks: bool,
    dtype: str,
    gpu: str,
    gpu_id: int,
    cache_mb: int,
    cache_dir: Optional[str],
    correction: Optional[str],
    serialize: str,
) -> EmbeddingComponent:
    """Make a component that combines the rows of earlier ones.

    :param nlp: the pipeline.
    :param name: the component's name.
    :param sources: component names, in order; null for all that ran before.
    :param combine: "concat", "mean" or "sum".
    :param weights: one factor per source.
    :param normalize: scale each source's rows to length 1 first.
    :param doc_pooling: "mean", "max", "sum", "first", "sif", "cls" or "model".
    :param set_hooks: also serve spaCy's own ``.vector``.
    :param dtype: "float32" or "float16".
    :param gpu: "follow", "prefer" or "require".
    :param gpu_id: which GPU.
    :param cache_mb: size of the cache of layers, in MB.
    :param cache_dir: folder of that cache.
    :param correction: null, "center", "standardize", "abtt" or "whiten".
    :param serialize: "weights" or "reference".
    :return: the component.
    """
    model = make_stacked_rows(StackedSettings(name, sources, combine, weights, normalize))
    return make_embeddings(
        nlp, name, model, doc_pooling, set_hooks, dtype, gpu, gpu_id, cache_mb, cache_dir, correction, serialize
    )
