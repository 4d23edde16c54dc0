"""``spacy_ctx_embed.StackedTok2Vec.v1``: several kinds of features side by side, for a component that learns.

Enters: Docs. Leaves: one row per token: the rows of all embeddings concatenated, projected to one width, and encoded.
It goes where a ``tok2vec`` goes. Each embedding is an encoder, a listener, or any embedding layer of spaCy.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Maxout, Model, concatenate, with_array
from thinc.types import Floats2d

from spacy_ctx_embed.checks import check_positive, check_share
from spacy_ctx_embed.errors import Errors

OWNER = "spacy_ctx_embed.StackedTok2Vec.v1"
_PIECES = 3  # of the maxout that projects, as in spaCy's own embedding layers


def make_stacked_tok2vec_v1(
    *,
    embeddings: Dict[str, Any],  # Models: spaCy's config can't say so of sections with names of the user's choice
    width: Optional[int] = None,
    encode: Optional[Model[List[Floats2d], List[Floats2d]]] = None,
    dropout: float = 0.0,
) -> Model[List[Doc], List[Floats2d]]:
    """Build the layer.

    :param embeddings: models from Docs to ``(n_tokens, any width)`` rows, by names of your choice; concatenated in the
        order of these names, as a saved config may have its sections in another order.
    :param width: columns after the projection, which also brings features of different scales to one (maxout, layer
        normalisation); null for no projection.
    :param encode: model over the projected rows, such as ``spacy.MaxoutWindowEncoder.v2`` of that width; null for none.
    :param dropout: share of the concatenated values that training sets to 0, besides the dropout of the training
        config inside spaCy's layers.
    :return: the layer, Docs to ``(n_tokens, width)`` rows.
    :raises ValueError: if a setting has a value that is not accepted, or widths do not match.
    """
    if not embeddings or not all(isinstance(item, Model) for item in embeddings.values()):
        accepted = "at least one section [….embeddings.NAME] with an encoder, listener or embedding layer"
        raise ValueError(Errors.E065.format(key="embeddings", found=repr(embeddings), accepted=accepted))
    check_positive(OWNER, "width", width, optional=True)
    check_share(OWNER, "dropout", dropout)
    layers = [embeddings[name] for name in sorted(embeddings)]
    steps: List[Model] = [concatenate(*layers) if len(layers) > 1 else layers[0]]
    if dropout:
        steps.append(Model("drop_values", _drop_values, attrs={"rate": dropout}))
    if width is not None:
        steps.append(with_array(Maxout(nO=width, nP=_PIECES, dropout=0.0, normalize=True)))
    if encode is not None:
        _check_encode(encode, width)
        steps.append(encode)
    n_out = encode.get_dim("nO") if encode is not None and encode.has_dim("nO") else None
    return Model(
        "stacked_tok2vec",
        forward,
        init=init,
        dims={"nO": width if encode is None else n_out},
        layers=steps,
        attrs={"embedding_names": sorted(embeddings)},
    )


def forward(model: Model, docs: List[Doc], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    """Rows of a batch of Docs.

    :param model: the layer.
    :param docs: ``n_docs`` Docs.
    :param is_train: whether a gradient will come back.
    :return: one ``(n_tokens, nO)`` array per Doc, and the backward pass.
    """
    found: Any = docs
    backwards = []
    for step in model.layers:
        found, backward = step(found, is_train)
        backwards.append(backward)

    def backprop(gradient: Any) -> List[Doc]:
        for backward in reversed(backwards):
            gradient = backward(gradient)
        return []  # Docs have no gradient

    return found, backprop


def init(model: Model, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Initialise each step with what the one before gives for the sample Docs.

    :param model: the layer.
    :param X: sample Docs.
    :param Y: not used.
    """
    found: Any = X
    for step in model.layers:
        step.initialize(X=found)
        if X is not None:
            found = step.predict(found)
    if X:
        model.set_dim("nO", int(found[0].shape[1]))


def _check_encode(encode: Model, width: Optional[int]) -> None:
    if width is None:
        accepted = "the width that 'encode' wants, such as 96"
        raise ValueError(Errors.E065.format(key="width", found="null, with an 'encode'", accepted=accepted))
    key = "nI" if encode.has_dim("nI") else "nO"  # spaCy's own encoders have one width and name only nO
    if encode.has_dim(key) and encode.get_dim(key) != width:
        found = f"{width}, but 'encode' is {encode.get_dim(key)} wide"
        raise ValueError(Errors.E065.format(key="width", found=found, accepted="the same width in both"))


def _drop_values(model: Model, rows: List[Floats2d], is_train: bool) -> Tuple[List[Floats2d], Callable]:
    # Not Thinc's Dropout: spaCy would set its rate to training.dropout in every update.
    if not is_train:
        return rows, _same
    rate = model.attrs["rate"]
    masks = [model.ops.get_dropout_mask(part.shape, rate) for part in rows]

    def backprop(gradient: List[Floats2d]) -> List[Floats2d]:
        return [cast(Floats2d, part * mask) for part, mask in zip(gradient, masks)]

    return [cast(Floats2d, part * mask) for part, mask in zip(rows, masks)], backprop


def _same(gradient: List[Floats2d]) -> List[Floats2d]:
    return gradient
